//! Bindings to path items and operations.

use std::collections::{BTreeMap, HashSet};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::first_sentence;
use super::schemas::{Schemas, is_text_like};
use super::{MethodExtras, OpenApiOptions, bodies};
use crate::route::{Body, Route, Router, Segment};

/// The methods a path item can name.
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// How deep query parameters reach into messages.
const MAX_QUERY_NESTING: usize = 3;

pub(super) fn all(router: &Router, options: &OpenApiOptions<'_>, schemas: &mut Schemas<'_>) -> Value {
    // OpenAPI takes two paths that differ in parameter names only for one: the first names stay.
    let mut items: BTreeMap<String, (Path, Map<String, Value>)> = BTreeMap::new();
    let mut ids = HashSet::new();
    for route in router.routes().iter().filter(|route| METHODS.contains(&route.http_method())) {
        let path = Path::of(route);
        let (path, item) = items.entry(path.shape.clone()).or_insert_with(|| (path, Map::new()));
        let extras = (options.method_extras)(route);
        let operation = operation(route, path, &extras, operation_id(route, &mut ids), schemas);
        item.insert(route.http_method().to_ascii_lowercase(), operation);
    }
    Value::Object(items.into_values().map(|(path, item)| (path.text, Value::Object(item))).collect())
}

/// A template as OpenAPI writes it.
struct Path {
    text: String,
    /// The same with nameless parameters.
    shape: String,
    /// The parameters' names, in order.
    names: Vec<String>,
}

impl Path {
    fn of(route: &Route) -> Self {
        let template = route.parsed_template();
        let mut path = Self { text: String::new(), shape: String::new(), names: Vec::new() };
        for (index, segment) in template.segments.iter().enumerate() {
            let Segment::Literal(text) = segment else {
                let name = parameter_name(route, index);
                path.text += &format!("/{{{name}}}");
                path.shape += "/{}";
                path.names.push(name);
                continue;
            };
            path.text += &format!("/{text}");
            path.shape += &format!("/{text}");
        }
        if template.segments.is_empty() {
            path.text.push('/');
            path.shape.push('/');
        }
        if let Some(verb) = &template.verb {
            path.text += &format!(":{verb}");
            path.shape += &format!(":{verb}");
        }
        path
    }
}

/// A variable of one wildcard has its field's name; where it has several they are numbered.
fn parameter_name(route: &Route, index: usize) -> String {
    let segments = &route.parsed_template().segments;
    let covers = |from: usize, to: Option<usize>| from <= index && to.is_none_or(|to| index < to);
    let Some(variable) = route.binding().variables.iter().find(|variable| covers(variable.from, variable.to))
    else {
        return format!("segment_{index}");
    };
    let covered = &segments[variable.from..variable.to.unwrap_or(segments.len())];
    let wildcards = covered.iter().filter(|segment| !matches!(segment, Segment::Literal(_))).count();
    if wildcards == 1 { variable.field_path.clone() } else { format!("{}_{index}", variable.field_path) }
}

/// `Service_Method`; where another package has the same, or the method several bindings, made unique.
fn operation_id(route: &Route, taken: &mut HashSet<String>) -> String {
    let method = route.descriptor();
    let short = format!("{}_{}", method.parent_service().name(), method.name());
    let mut id = short.clone();
    let mut number = 2;
    while !taken.insert(id.clone()) {
        id = format!("{short}_{number}");
        number += 1;
    }
    id
}

fn operation(
    route: &Route,
    path: &Path,
    extras: &MethodExtras,
    id: String,
    schemas: &mut Schemas<'_>,
) -> Value {
    let method = route.descriptor();
    let mut operation = Map::new();
    operation.insert("operationId".into(), id.into());
    operation.insert("tags".into(), json!([method.parent_service().full_name()]));
    if let Some(comment) = schemas.comments.of(&method.parent_file(), method.path()) {
        operation.insert("summary".into(), first_sentence(comment).into());
        operation.insert("description".into(), comment.into());
    }
    let deprecated =
        method.method_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated());
    if deprecated {
        operation.insert("deprecated".into(), true.into());
    }
    let parameters = parameters(route, path, extras, schemas);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = bodies::request(route, schemas) {
        operation.insert("requestBody".into(), body);
    }
    operation.insert("responses".into(), bodies::responses(route, extras, schemas));
    operation.insert("security".into(), security(extras));
    operation.extend(extras.extensions.clone());
    Value::Object(operation)
}

/// Any one of the ways is enough; none is asked for where there is no way.
fn security(extras: &MethodExtras) -> Value {
    if extras.public {
        return json!([]);
    }
    let ways = std::iter::once("bearer").chain(extras.also_secured_by.iter().map(String::as_str));
    ways.map(|scheme| json!({ scheme: [] })).collect()
}

fn parameters(route: &Route, path: &Path, extras: &MethodExtras, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let input = route.descriptor().input();
    let mut parameters = Vec::new();
    let own = Path::of(route);
    for (name, own_name) in path.names.iter().zip(&own.names) {
        let mut parameter =
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
        if let Some(field) = field_at(&input, own_name) {
            describe(&mut parameter, &field, schemas);
        }
        parameters.push(parameter);
    }
    let bound: Vec<_> =
        route.binding().variables.iter().map(|variable| variable.field_path.as_str()).collect();
    let body_field = match route.binding().body {
        Body::Whole => None,
        Body::None => Some(None),
        Body::Field(index) => Some(route.field_number(route.input(), index)),
    };
    if let Some(body_field) = body_field {
        let fields = input.fields().filter(|field| Some(field.number()) != body_field);
        let mut query = Query { bound: &bound, schemas, parameters: &mut parameters };
        query.fields(fields, "", "", 0);
    }
    for header in &extras.headers {
        parameters.push(json!({
            "name": header.name, "in": "header", "description": header.description,
            "required": header.required, "schema": header.schema,
        }));
    }
    parameters
}

fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name)?;
    match rest {
        None => Some(field),
        Some(rest) => field_at(field.kind().as_message()?, rest),
    }
}

/// Schema and comment of a field on its parameter.
fn describe(parameter: &mut Value, field: &FieldDescriptor, schemas: &mut Schemas<'_>) {
    let mut schema = schemas.field(field);
    if let Some(description) = schema.as_object_mut().and_then(|schema| schema.remove("description")) {
        parameter["description"] = description;
    }
    parameter["schema"] = schema;
}

struct Query<'q, 's, 'c> {
    bound: &'q [&'q str],
    schemas: &'s mut Schemas<'c>,
    parameters: &'q mut Vec<Value>,
}

impl Query<'_, '_, '_> {
    fn fields(
        &mut self,
        fields: impl Iterator<Item = FieldDescriptor>,
        prefix: &str,
        json_prefix: &str,
        depth: usize,
    ) {
        for field in fields {
            let path = format!("{prefix}{}", field.name());
            let name = format!("{json_prefix}{}", field.json_name());
            if self.bound.contains(&path.as_str()) || field.is_map() {
                continue;
            }
            if let Kind::Message(inner) = field.kind()
                && !is_text_like(&inner)
            {
                let nests = !field.is_list() && depth < MAX_QUERY_NESTING && !self.schemas.is_inline(&inner);
                if nests {
                    self.fields(inner.fields(), &format!("{path}."), &format!("{name}."), depth + 1);
                }
                continue;
            }
            let required = depth == 0 && self.schemas.is_required(&field);
            let mut parameter = json!({ "name": name, "in": "query", "required": required });
            describe(&mut parameter, &field, self.schemas);
            self.parameters.push(parameter);
        }
    }
}
