//! Good and bad requests for a route, from its descriptor alone: what its body, its query and its path may be, and what they may not.

mod body;
mod path;
mod query;

use http::Method;
use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::{Map, Value};
use stampede_transcode::Route;

use super::sample;

/// One request.
#[derive(Debug)]
pub struct Case {
    /// The same on every route it is made for.
    pub name: &'static str,
    pub method: Method,
    /// Path and query as they go over the wire.
    pub target: String,
    /// Nothing is no body and no content type.
    pub body: Option<String>,
    pub reply: Reply,
}

/// What the backend answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Something in every field.
    Full,
    /// A message of no bytes.
    Empty,
}

/// The good request of a route, of which every case is a variation.
struct Base<'r> {
    route: &'r Route,
    input: MessageDescriptor,
    method: Method,
    /// The template with a value for every variable.
    path: String,
    /// Everything the path does not bind, when the route takes it as a body.
    body: Option<Map<String, Value>>,
    /// The same as a query, when it does not.
    query: String,
}

/// What every variable of a path is.
const VARIABLE: &str = "w7";

/// Every case that has a meaning for this route.
pub fn of(route: &Route) -> anyhow::Result<Vec<Case>> {
    let base = Base::of(route)?;
    let mut cases = path::cases(&base);
    cases.extend(body::cases(&base));
    cases.extend(query::cases(&base));
    Ok(cases)
}

impl Base<'_> {
    fn of(route: &Route) -> anyhow::Result<Base<'_>> {
        let input = route.descriptor().input();
        let variables = variables(route.template());
        let mut path = route.template().to_owned();
        for variable in &variables {
            path = path.replace(&format!("{{{variable}}}"), VARIABLE);
        }
        let mut fields = sample::message(&input).as_object().cloned().unwrap_or_default();
        for variable in &variables {
            remove(&input, &mut fields, variable);
        }
        let query = query::of(&input, &fields);
        let body = route.takes_body().then_some(fields);
        let method = route.http_method().parse()?;
        Ok(Base { route, input, method, path, body, query })
    }

    /// The good request.
    fn good(&self, name: &'static str) -> Case {
        let query =
            if self.body.is_some() || self.query.is_empty() { "" } else { &format!("?{}", self.query) };
        Case {
            name,
            method: self.method.clone(),
            target: format!("{}{query}", self.path),
            body: self.body.as_ref().map(|body| Value::Object(body.clone()).to_string()),
            reply: Reply::Full,
        }
    }

    fn to(&self, name: &'static str, target: String) -> Case {
        Case { target, ..self.good(name) }
    }
}

/// What stands in braces.
fn variables(template: &str) -> Vec<String> {
    let inside = template.split('{').skip(1);
    inside.filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
}

/// Takes the field of a path such as `sku.sku_id` out.
fn remove(message: &MessageDescriptor, fields: &mut Map<String, Value>, path: &str) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(field) = message.get_field_by_name(first) else { return };
    match (rest, field.kind().as_message(), fields.get_mut(field.json_name())) {
        (Some(rest), Some(inner), Some(Value::Object(inside))) => remove(inner, inside, rest),
        _ => drop(fields.remove(field.json_name())),
    }
}

/// Where the first field that is wanted stands, as a JSON pointer into a sample.
fn find(
    message: &MessageDescriptor,
    value: &Map<String, Value>,
    wanted: &dyn Fn(&FieldDescriptor) -> bool,
) -> Option<String> {
    for field in message.fields() {
        let Some(there) = value.get(field.json_name()) else { continue };
        let place = format!("/{}", field.json_name());
        if wanted(&field) {
            return Some(if field.is_list() { format!("{place}/0") } else { place });
        }
        let kind = field.kind();
        let Some(inner) = kind.as_message().filter(|_| !field.is_map()) else { continue };
        let (place, there) = match there.as_array() {
            Some(items) => (format!("{place}/0"), items.first()),
            None => (place, Some(there)),
        };
        if let Some(Value::Object(inside)) = there
            && let Some(found) = find(inner, inside, wanted)
        {
            return Some(format!("{place}{found}"));
        }
    }
    None
}
