//! `google.api.http` rules as the descriptors carry them, and their check against the messages they speak of.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use super::template::{self, Template};
use super::{Binding, Body, Route, Variable};
use crate::plan::{Repetition, Shape};
use crate::schema::{MessageId, Schema};

/// One binding, not checked yet.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) http_method: String,
    pub(super) path: String,
    body: String,
    response_body: String,
}

/// The bindings of a method, the main one first.
pub(super) fn of(method: &MethodDescriptor) -> Vec<Rule> {
    let Some(extension) = method.parent_pool().get_extension_by_name("google.api.http") else {
        return Vec::new();
    };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Vec::new();
    }
    let value = options.get_extension(&extension);
    let Some(rule) = value.as_message() else { return Vec::new() };
    let mut rules: Vec<Rule> = read(rule).into_iter().collect();
    if let Some(more) = rule.get_field_by_name("additional_bindings") {
        rules
            .extend(more.as_list().unwrap_or_default().iter().filter_map(Value::as_message).filter_map(read));
    }
    rules
}

fn read(rule: &DynamicMessage) -> Option<Rule> {
    let text = |message: &DynamicMessage, name: &str| {
        message
            .get_field_by_name(name)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let pattern =
        ["get", "put", "post", "delete", "patch"].into_iter().find(|name| rule.has_field_by_name(name));
    let (http_method, path) = match pattern {
        Some(name) => (name.to_ascii_uppercase(), text(rule, name)),
        None if rule.has_field_by_name("custom") => {
            let custom = rule.get_field_by_name("custom")?;
            let custom = custom.as_message()?;
            (text(custom, "kind"), text(custom, "path"))
        }
        None => return None,
    };
    Some(Rule { http_method, path, body: text(rule, "body"), response_body: text(rule, "response_body") })
}

/// Checks a rule against its method's messages. The error is a sentence.
pub(super) fn compile(
    schema: &Schema,
    method: &MethodDescriptor,
    rule: Rule,
    index: usize,
) -> Result<Route, String> {
    if rule.http_method.is_empty() {
        return Err("The custom pattern names no HTTP method.".into());
    }
    let known =
        |name: &str| schema.message(name).ok_or_else(|| format!("The message {name} is not in the pool."));
    let (input, output) = (known(method.input().full_name())?, known(method.output().full_name())?);
    let template = template::parse(&rule.path)?;
    let variables = variables(schema, input, &template)?;
    let body = match rule.body.as_str() {
        "" => Body::None,
        "*" => Body::Whole,
        name => Body::Field(top_level(schema, input, name)?),
    };
    if let Body::Field(field) = body
        && let Some(clash) = variables.iter().find(|variable| variable.indices == [field])
    {
        return Err(format!("{} is bound by the path and by the body.", clash.field_path));
    }
    let plan = schema.plan(input);
    if plan.shape != Shape::Ordinary && !variables.is_empty() {
        return Err(format!("{} has no fields a path could bind.", plan.full_name));
    }
    let response_body = match rule.response_body.as_str() {
        "" => None,
        name => Some(top_level(schema, output, name)?),
    };
    Ok(Route {
        schema: schema.clone(),
        index,
        grpc_path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        method: method.clone(),
        http_method: rule.http_method,
        template,
        binding: Binding { input, variables, body },
        output,
        response_body,
    })
}

fn top_level(schema: &Schema, message: MessageId, name: &str) -> Result<usize, String> {
    let plan = schema.plan(message);
    plan.fields
        .iter()
        .position(|field| *field.name == *name)
        .ok_or_else(|| format!("{} has no field {name}.", plan.full_name))
}

fn variables(schema: &Schema, input: MessageId, template: &Template) -> Result<Vec<Variable>, String> {
    let mut variables: Vec<Variable> = Vec::new();
    for declared in &template.variables {
        let indices = resolve(schema, input, &declared.field_path)?;
        let overlaps =
            |other: &Variable| other.indices.starts_with(&indices) || indices.starts_with(&other.indices);
        if variables.iter().any(overlaps) {
            return Err(format!("The field {} is bound twice.", declared.field_path));
        }
        variables.push(Variable { indices, ..declared.clone() });
    }
    Ok(variables)
}

fn resolve(schema: &Schema, input: MessageId, path: &str) -> Result<Vec<usize>, String> {
    let mut message = Some(input);
    let mut indices = Vec::new();
    for name in path.split('.') {
        let id = message.ok_or_else(|| format!("Nothing is inside the field before {name} in {path}."))?;
        let plan = schema.plan(id);
        if plan.shape != Shape::Ordinary {
            return Err(format!("A path cannot reach into {}.", plan.full_name));
        }
        let index = top_level(schema, id, name)?;
        let field = &plan.fields[index];
        if field.repetition != Repetition::Once {
            return Err(format!("The field {path} is repeated; a path binds singular fields."));
        }
        indices.push(index);
        message = field.kind.message();
    }
    match message {
        None => Ok(indices),
        Some(_) => Err(format!("The field {path} is a message; a path binds scalars.")),
    }
}
