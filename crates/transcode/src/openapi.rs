//! OpenAPI 3.1 from the same descriptors the routes come from: paths from the bindings, schemas from the messages,
//! limits from `buf.validate`, words from the comments.
//!
//! Knows no service: what a house declares beyond the standard options comes in through `method_extras`. A binding
//! whose HTTP method OpenAPI cannot name (`custom` with `*` or an own verb) is left out.

mod bodies;
mod comments;
mod examples;
mod paths;
mod required;
mod rules;
mod schemas;

use serde_json::{Map, Value, json};

use crate::route::{Route, Router};

use comments::Comments;
use schemas::Schemas;

/// A header a method takes.
#[derive(Clone, Debug, Default)]
pub struct HeaderParameter {
    /// Such as `Idempotency-Key`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether a request without it is refused.
    pub required: bool,
    /// JSON Schema of its text.
    pub schema: Value,
}

/// A documented refusal; its body is a `google.rpc.Status` unless it is bare.
#[derive(Clone, Debug, Default)]
pub struct ErrorResponse {
    /// HTTP status.
    pub status: u16,
    /// When it is given. Markdown.
    pub description: String,
    /// Names in `components.headers`.
    pub headers: Vec<String>,
    /// Names in `components.examples`.
    pub examples: Vec<String>,
    /// It comes from the connection itself: no body, and none of the headers that every answer carries.
    pub bare: bool,
}

/// What a house knows about a method beyond the standard options.
#[derive(Clone, Debug, Default)]
pub struct MethodExtras {
    /// No bearer token is asked for.
    pub public: bool,
    /// Members of the operation; their names begin with `x-`.
    pub extensions: Map<String, Value>,
    /// Request headers.
    pub headers: Vec<HeaderParameter>,
    /// Names in `components.securitySchemes` of ways in beside the bearer token.
    pub also_secured_by: Vec<String>,
    /// Names in `components.headers` of what every answer carries.
    pub response_headers: Vec<String>,
    /// The documented refusals; every other one is `default`.
    pub errors: Vec<ErrorResponse>,
}

/// What the descriptors do not say.
pub struct OpenApiOptions<'a> {
    /// Name of the API.
    pub title: String,
    /// Version of the API.
    pub version: String,
    /// Markdown; may be empty.
    pub description: String,
    /// Base addresses; may be empty.
    pub servers: Vec<String>,
    /// Components of the house's own, by kind (`headers`, `examples`, `securitySchemes`): whatever the extras name.
    pub components: Map<String, Value>,
    /// What `default` says: a refusal that is not documented by its status.
    pub refused: String,
    /// Asked once for every binding.
    pub method_extras: &'a dyn Fn(&Route) -> MethodExtras,
}

/// The whole document.
pub fn document(router: &Router, options: &OpenApiOptions<'_>) -> Value {
    let comments = Comments::read(router.schema().pool());
    let mut schemas = Schemas::new(&comments, &options.refused);
    let paths = paths::all(router, options, &mut schemas);
    let mut info = json!({ "title": options.title, "version": options.version });
    if !options.description.is_empty() {
        info["description"] = options.description.as_str().into();
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info,
        "paths": paths,
        "tags": tags(router, &comments),
        "components": components(schemas.finish(), &options.components),
    });
    if !options.servers.is_empty() {
        document["servers"] = options.servers.iter().map(|url| json!({ "url": url })).collect();
    }
    document
}

fn components(schemas: Value, own: &Map<String, Value>) -> Value {
    let mut components = json!({
        "schemas": schemas,
        "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
    });
    for (kind, members) in own {
        for (name, component) in members.as_object().into_iter().flatten() {
            components[kind][name] = component.clone();
        }
    }
    components
}

fn tags(router: &Router, comments: &Comments) -> Vec<Value> {
    let mut tags: Vec<Value> = Vec::new();
    for route in router.routes() {
        let service = route.descriptor().parent_service();
        if tags.iter().any(|tag| tag["name"] == service.full_name()) {
            continue;
        }
        let mut tag = json!({ "name": service.full_name() });
        if let Some(comment) = comments.of(&service.parent_file(), service.path()) {
            tag["description"] = comment.into();
        }
        tags.push(tag);
    }
    tags
}
