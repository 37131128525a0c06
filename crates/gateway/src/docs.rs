//! The contract for people: `/openapi.json`, made once at start from the descriptors, and a page that shows it with nothing from
//! elsewhere. It documents what the descriptors say and nothing else.

use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use kit::contract::{Contract, Idempotency, Method, RateClass};
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};
use stampede_kit as kit;
use stampede_proto::Declared;
use stampede_proto::common::v1::ErrorReason;
use stampede_transcode as transcode;
use transcode::openapi::{self, HeaderParameter, MethodExtras, OpenApiOptions};

use crate::errors::APPLICATION_JSON;
use crate::front::Missing;
use crate::targets::Entry;

const PAGE: &str = include_str!("docs/page.html");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// The page brings its own style and script, reads `/openapi.json` and talks to nobody else.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const DESCRIPTION: &str = "A flash-sale backend: catalogue, stock, orders and payments. Every call carries a bearer token; \
    every refusal is a google.rpc.Status with a reason word. The same calls are served as gRPC and gRPC-web on this port.";

/// The pages, and marks for the gateway's own errors where there is none.
pub(crate) fn router(routes: &transcode::Router, contract: &Contract) -> anyhow::Result<Router> {
    let document = Bytes::from(serde_json::to_vec(&document(routes, contract))?);
    Ok(Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(page))
        .route("/openapi.json", get(move || openapi_json(document.clone())))
        .fallback(|| async { missing(StatusCode::NOT_FOUND, Missing::Page) })
        .method_not_allowed_fallback(|| async { missing(StatusCode::METHOD_NOT_ALLOWED, Missing::Method) }))
}

/// The OpenAPI document of the contract.
pub(crate) fn document(routes: &transcode::Router, contract: &Contract) -> Value {
    let mut document = openapi::document(
        routes,
        &OpenApiOptions {
            title: "Stampede".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: DESCRIPTION.to_owned(),
            servers: vec!["/".to_owned()],
            method_extras: &|descriptor| extras(contract, descriptor),
        },
    );
    document["x-error-reasons"] = reasons();
    document
}

/// Every reason word with what it means on each face.
fn reasons() -> Value {
    let declared = (1..).map_while(|number| ErrorReason::try_from(number).ok()).map(ErrorReason::declared);
    let meaning = |reason: &Declared| json!({ "code": screaming(&format!("{:?}", reason.code)), "http": reason.http_status, "en": reason.en, "zh-CN": reason.zh_cn });
    declared.map(|reason| (reason.word.to_owned(), meaning(reason))).collect()
}

/// `NotFound` to `NOT_FOUND`, as the specification spells it.
fn screaming(code: &str) -> String {
    let mut name = String::new();
    for letter in code.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

async fn page() -> Response {
    ([(CONTENT_TYPE, HTML), (CACHE_CONTROL, NO_CACHE), (CONTENT_SECURITY_POLICY, PAGE_POLICY)], PAGE)
        .into_response()
}

async fn openapi_json(document: Bytes) -> Response {
    ([(CONTENT_TYPE, APPLICATION_JSON), (CACHE_CONTROL, NO_CACHE)], document).into_response()
}

fn missing(status: StatusCode, what: Missing) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(what);
    response
}

fn extras(contract: &Contract, descriptor: &MethodDescriptor) -> MethodExtras {
    let path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
    let Some(method) = contract.method(&path) else { return MethodExtras::default() };
    let open = Entry::of(method) == Entry::Open;
    MethodExtras {
        public: open,
        extensions: extensions(method, open),
        headers: headers(method),
        errors: errors(method, open),
    }
}

fn extensions(method: &Method, open: bool) -> Map<String, Value> {
    let mut extensions = Map::new();
    let mut say = |name: &str, value: Value| drop(extensions.insert(name.to_owned(), value));
    if !open {
        say("x-permission", json!(method.access.permission));
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
    let header = |name: &str, description: &str, required| HeaderParameter {
        name: name.to_owned(),
        description: description.to_owned(),
        required,
    };
    let mut headers = Vec::new();
    if method.calling.idempotency == Idempotency::ByKey {
        let text = "Chosen by the caller, 1 to 128 visible ASCII characters; the same on every retry.";
        headers.push(header("Idempotency-Key", text, true));
    }
    if method.server_streaming {
        let text = "The id of the last event seen, to go on after it; browsers send it by themselves.";
        headers.push(header("Last-Event-ID", text, false));
    }
    headers.push(header("Accept-Language", "en or zh-CN: the language of the text in a refusal.", false));
    headers
}

/// What every call may meet at the edge; the reasons of the services come as the same body.
fn errors(method: &Method, open: bool) -> Vec<(u16, String)> {
    let mut errors =
        vec![(400, "INVALID_ARGUMENT: the request is malformed or a field breaks its rule.".to_owned())];
    if !open {
        errors.push((
            401,
            "TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_ISSUER, TOKEN_AUDIENCE.".to_owned(),
        ));
        errors.push((
            403,
            format!("PERMISSION_DENIED: the token does not grant {}.", method.access.permission),
        ));
    }
    let deadline = seconds(method.calling.deadline);
    errors.extend([
        (413, "MESSAGE_TOO_LARGE: the body is beyond the limit.".to_owned()),
        (415, "MEDIA_TYPE: the body is not application/json.".to_owned()),
        (503, "UNAVAILABLE or OVERLOADED: come back after Retry-After.".to_owned()),
        (504, format!("DEADLINE_EXCEEDED: not done within {deadline} s.")),
    ]);
    if method.calling.planned || method.client_streaming {
        errors.push((501, "NOT_IMPLEMENTED: declared, and built later.".to_owned()));
    }
    errors
}

fn seconds(deadline: Duration) -> f64 {
    deadline.as_secs_f64()
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
