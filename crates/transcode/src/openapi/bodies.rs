//! What goes in and what comes out of an operation: request bodies with an example, answers with their headers.

use serde_json::{Map, Value, json};

use super::schemas::{STATUS_REF, Schemas};
use super::{ErrorResponse, MethodExtras, examples};
use crate::route::{Body, Route};

pub(super) const JSON: &str = "application/json";
/// One message a line.
pub(super) const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

pub(super) fn request(route: &Route, schemas: &mut Schemas<'_>) -> Option<Value> {
    let method = route.descriptor();
    let input = method.input();
    let (schema, example) = match route.binding().body {
        Body::None => return None,
        Body::Whole => {
            let variables = route.binding().variables.iter();
            let bound: Vec<_> = variables.map(|variable| variable.field_path.as_str()).collect();
            let schema = if bound.iter().any(|path| !path.contains('.')) {
                schemas.object_without(&input, &bound)
            } else {
                schemas.message(&input)
            };
            (schema, examples::of(&input, &bound))
        }
        Body::Field(index) => {
            let number = route.field_number(route.input(), index)?;
            let field = input.get_field(number)?;
            (schemas.field(&field), examples::field(&field))
        }
    };
    let mut body = Map::new();
    // Where nothing is asked for, no body is an empty one.
    body.insert("required".into(), is_required(route, schemas).into());
    let media = if method.is_client_streaming() {
        let text = "A stream of messages: one JSON object of this schema a line (NDJSON).";
        body.insert("description".into(), text.into());
        LINES
    } else {
        JSON
    };
    let mut content = json!({ "schema": schema });
    if let Some(example) = example {
        content["example"] = if method.is_client_streaming() { line(&example) } else { example };
    }
    body.insert("content".into(), json!({ media: content }));
    Some(Value::Object(body))
}

/// A line as it is sent: the example of a stream is text.
fn line(example: &Value) -> Value {
    format!("{example}\n").into()
}

fn is_required(route: &Route, schemas: &Schemas<'_>) -> bool {
    let input = route.descriptor().input();
    let bound: Vec<_> =
        route.binding().variables.iter().map(|variable| variable.field_path.as_str()).collect();
    match route.binding().body {
        Body::None => false,
        Body::Whole => {
            let asked = |name: &str| !bound.contains(&name);
            input.fields().any(|field| asked(field.name()) && schemas.is_required(&field))
                || input.oneofs().any(|oneof| super::required::oneof(&oneof))
        }
        Body::Field(index) => route
            .field_number(route.input(), index)
            .and_then(|number| input.get_field(number))
            .is_some_and(|field| schemas.is_required(&field)),
    }
}

pub(super) fn responses(route: &Route, extras: &MethodExtras, schemas: &mut Schemas<'_>) -> Value {
    let mut responses = Map::new();
    responses.insert("200".into(), success(route, extras, schemas));
    let refused = ErrorResponse { description: schemas.refused.to_owned(), ..ErrorResponse::default() };
    responses.insert("default".into(), error(&refused, extras));
    for refusal in &extras.errors {
        responses.insert(refusal.status.to_string(), error(refusal, extras));
    }
    Value::Object(responses)
}

fn success(route: &Route, extras: &MethodExtras, schemas: &mut Schemas<'_>) -> Value {
    let method = route.descriptor();
    let output = method.output();
    let field = route.response_body().and_then(|index| route.field_number(route.output(), index));
    let schema = match field.and_then(|number| output.get_field(number)) {
        Some(field) => schemas.field(&field),
        None => schemas.message(&output),
    };
    let mut success = if method.is_server_streaming() {
        json!({
            "description": "A stream; each event's data, or each line, is one message of this schema.",
            "content": { EVENTS: { "schema": schema }, LINES: { "schema": schema } },
        })
    } else {
        json!({ "description": "OK", "content": { JSON: { "schema": schema } } })
    };
    if !extras.response_headers.is_empty() {
        success["headers"] = headers(&extras.response_headers);
    }
    success
}

fn error(refusal: &ErrorResponse, extras: &MethodExtras) -> Value {
    if refusal.bare {
        return json!({ "description": refusal.description });
    }
    let mut content = json!({ "schema": { "$ref": STATUS_REF } });
    if !refusal.examples.is_empty() {
        content["examples"] = named("examples", &refusal.examples);
    }
    let mut response = json!({ "description": refusal.description, "content": { JSON: content } });
    let all: Vec<_> = extras.response_headers.iter().chain(&refusal.headers).cloned().collect();
    if !all.is_empty() {
        response["headers"] = headers(&all);
    }
    response
}

fn headers(names: &[String]) -> Value {
    named("headers", names)
}

/// References to components, each under its own name.
fn named(kind: &str, names: &[String]) -> Value {
    let reference = |name: &String| (name.clone(), json!({ "$ref": format!("#/components/{kind}/{name}") }));
    Value::Object(names.iter().map(reference).collect())
}
