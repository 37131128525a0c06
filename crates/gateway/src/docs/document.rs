//! The OpenAPI document of this house's contract: what `transcode` writes from the descriptors, and what the policy options
//! declare beyond them: who may call, how, with which headers, and with which refusals.

use kit::contract::{Contract, Idempotency, Method, RateClass};
use serde_json::{Map, Value, json};
use stampede_kit as kit;
use stampede_proto::Declared;
use stampede_proto::common::v1::ErrorReason;
use stampede_transcode as transcode;
use transcode::Route;
use transcode::openapi::{self, HeaderParameter, MethodExtras, OpenApiOptions};

use super::refusals;
use crate::descriptors;
use crate::targets::Entry;

const DESCRIPTION: &str = "A flash-sale backend: catalogue, stock, orders and payments. Every call carries a bearer token; \
    every refusal is a google.rpc.Status with a reason word. The same calls are served as gRPC, gRPC-web and JSON-RPC (POST /rpc) on this port.";
const REFUSED: &str = "Any other refusal. The first of `details` is an ErrorInfo with the reason; `x-error-reasons` has the \
    HTTP status of every reason.";
const KEY: &str = "Chosen by the caller, 1 to 128 visible ASCII characters; the same on every retry.";
const LAST_EVENT: &str = "The id of the last event seen, to go on after it; browsers send it by themselves.";
const LANGUAGE: &str = "en or zh-CN: the language of the text in a refusal.";
/// As `stream::query_token` reads it.
const ACCESS_TOKEN: &str = "access_token";
/// Names of components.
const FEED_TOKEN: &str = "feedToken";
pub(super) const RETRY_AFTER: &str = "Retry-After";
pub(super) const WWW_AUTHENTICATE: &str = "WWW-Authenticate";
const REQUEST_ID: &str = "X-Request-Id";

/// The OpenAPI document of the compiled-in contract, as `/openapi.json` serves it; no process is needed for it.
///
/// # Errors
/// The contract is refused, or its routes conflict.
pub fn openapi_document() -> anyhow::Result<Value> {
    of(stampede_proto::DESCRIPTOR_SET)
}

/// The OpenAPI document of a contract.
pub(super) fn of(descriptors: &[u8]) -> anyhow::Result<Value> {
    let contract = descriptors::read(descriptors)?;
    let routes = transcode::Router::build(contract.pool())?;
    let roles = Roles::read(&contract);
    let mut document = openapi::document(
        &routes,
        &OpenApiOptions {
            title: "Stampede".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: DESCRIPTION.to_owned(),
            servers: vec!["/".to_owned()],
            components: components(),
            refused: REFUSED.to_owned(),
            method_extras: &|route| extras(&contract, &roles, route),
        },
    );
    document["x-error-reasons"] = reasons();
    Ok(document)
}

/// What the operations name: headers of answers, a refusal of each reason, the other way to bring a token.
fn components() -> Map<String, Value> {
    let header = |text: &str, schema: Value| json!({ "description": text, "schema": schema });
    let text = || json!({ "type": "string" });
    let mut components = Map::new();
    components.insert(
        "headers".to_owned(),
        json!({
            REQUEST_ID: header("The request's name in our logs: the caller's own, or one made here.", text()),
            RETRY_AFTER: header("When to come back, in seconds.", json!({ "type": "integer", "minimum": 1 })),
            WWW_AUTHENTICATE: header("The way to say who calls: Bearer.", text()),
        }),
    );
    let examples = ErrorReason::every().map(|reason| (reason.word.to_owned(), refusals::example(reason)));
    components.insert("examples".to_owned(), Value::Object(examples.collect()));
    components.insert("securitySchemes".to_owned(), json!({
        FEED_TOKEN: {
            "type": "apiKey", "in": "query", "name": ACCESS_TOKEN,
            "description": "The same token in the address, for a browser's EventSource, which cannot send headers. Feeds alone \
                take it; use a token that is good for minutes, because addresses are kept in logs.",
        },
    }));
    components
}

/// Every reason word with what it means on each face.
fn reasons() -> Value {
    let meaning = |reason: &Declared| json!({ "code": code(reason), "http": reason.http_status, "en": reason.en, "zh-CN": reason.zh_cn });
    ErrorReason::every().map(|reason| (reason.word.to_owned(), meaning(reason))).collect()
}

/// `NotFound` to `NOT_FOUND`, as the specification spells it.
fn code(reason: &Declared) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", reason.code).chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The roles of the contract by name, to say who is granted what.
struct Roles(Vec<String>);

impl Roles {
    fn read(contract: &Contract) -> Self {
        let role = contract.pool().get_enum_by_name("stampede.policy.v1.Role");
        let names =
            role.iter().flat_map(prost_reflect::EnumDescriptor::values).filter(|value| value.number() != 0);
        Roles(names.map(|value| value.name().trim_start_matches("ROLE_").to_ascii_lowercase()).collect())
    }

    fn granted(&self, contract: &Contract, permission: &str) -> Vec<&str> {
        let grants = |role: &&str| contract.permissions().granted_by([*role]).contains(permission);
        self.0.iter().map(String::as_str).filter(grants).collect()
    }
}

fn extras(contract: &Contract, roles: &Roles, route: &Route) -> MethodExtras {
    let Some(method) = contract.method(route.grpc_path()) else { return MethodExtras::default() };
    let entry = Entry::of(method);
    let feed = route.is_server_streaming() && route.http_method() == "GET";
    MethodExtras {
        public: entry == Entry::Open,
        extensions: extensions(contract, roles, method, entry),
        headers: headers(method),
        also_secured_by: if feed { vec![FEED_TOKEN.to_owned()] } else { Vec::new() },
        response_headers: vec![REQUEST_ID.to_owned()],
        errors: refusals::of(method, route, entry),
    }
}

fn extensions(contract: &Contract, roles: &Roles, method: &Method, entry: Entry) -> Map<String, Value> {
    let mut extensions = Map::new();
    let mut say = |name: &str, value: Value| drop(extensions.insert(name.to_owned(), value));
    match entry {
        Entry::Token => {
            say("x-permission", json!(method.access.permission));
            say("x-roles", json!(roles.granted(contract, &method.access.permission)));
        }
        Entry::Closed => {
            say("x-permission", json!(method.access.permission));
            say("x-internal", json!(true));
        }
        Entry::Open => {}
    }
    say("x-deadline-ms", json!(u64::try_from(method.calling.deadline.as_millis()).unwrap_or(u64::MAX)));
    say("x-idempotency", json!(idempotency(method.calling.idempotency)));
    say("x-retry-safe", json!(method.calling.retry_safe));
    say("x-rate-class", json!(rate_class(method.calling.rate_class)));
    say("x-grpc-method", json!(&*method.path));
    if method.calling.planned {
        say("x-planned", json!(true));
    }
    extensions
}

fn headers(method: &Method) -> Vec<HeaderParameter> {
    let header = |name: &str, description: &str, required, schema| HeaderParameter {
        name: name.to_owned(),
        description: description.to_owned(),
        required,
        schema,
    };
    let mut headers = Vec::new();
    if method.calling.idempotency == Idempotency::ByKey {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$", "examples": ["my-first-order"] });
        headers.push(header("Idempotency-Key", KEY, true, schema));
    }
    if method.server_streaming {
        headers.push(header(
            "Last-Event-ID",
            LAST_EVENT,
            false,
            json!({ "type": "string", "maxLength": 512 }),
        ));
    }
    let languages = json!({ "type": "string", "examples": ["en", "zh-CN"] });
    headers.push(header("Accept-Language", LANGUAGE, false, languages));
    headers
}

fn idempotency(declared: Idempotency) -> &'static str {
    match declared {
        Idempotency::Read => "read",
        Idempotency::ById => "by-id",
        Idempotency::ByKey => "by-key",
        Idempotency::None => "none",
    }
}

fn rate_class(declared: RateClass) -> &'static str {
    match declared {
        RateClass::Read => "read",
        RateClass::Write => "write",
        RateClass::Checkout => "checkout",
        RateClass::Stream => "stream",
        RateClass::Admin => "admin",
    }
}
