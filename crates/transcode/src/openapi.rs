//! OpenAPI 3.1 from the same descriptors the routes come from: paths from the bindings, schemas from the messages,
//! limits from `buf.validate`, words from the comments.
//!
//! Knows no service: what a house declares beyond the standard options comes in through `method_extras`. A binding
//! whose HTTP method OpenAPI cannot name (`custom` with `*` or an own verb) is left out.

mod comments;
mod paths;
mod rules;
mod schemas;

use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use crate::route::Router;

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
    /// More documented answers: HTTP status and when it is given. Their body is a `google.rpc.Status`.
    pub errors: Vec<(u16, String)>,
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
    /// Asked once for every binding.
    pub method_extras: &'a dyn Fn(&MethodDescriptor) -> MethodExtras,
}

/// The whole document.
pub fn document(router: &Router, options: &OpenApiOptions<'_>) -> Value {
    let comments = Comments::read(router.schema().pool());
    let mut schemas = Schemas::new(&comments);
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
        "components": {
            "schemas": schemas.finish(),
            "responses": { "Error": {
                "description": "The call was refused. `details` says why: an ErrorInfo with the reason first.",
                "content": { "application/json": { "schema": { "$ref": schemas::STATUS_REF } } },
            } },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    });
    if !options.servers.is_empty() {
        document["servers"] = options.servers.iter().map(|url| json!({ "url": url })).collect();
    }
    document
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
