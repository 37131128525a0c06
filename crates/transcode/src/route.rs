//! Routing by `google.api.http`: which method a request means, and which parts of its path are fields.
//!
//! Two bindings that could answer the same request are an error when the router is built, never a surprise later.

mod rule;
mod template;
mod tree;

use std::borrow::Cow;
use std::fmt;

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::error::{Fail, TranscodeError};
use crate::percent::{self, Place};
use crate::request::{self, RequestOptions};
use crate::response::{self, ResponseOptions};
use crate::schema::{MessageId, Schema};

pub(crate) use template::Segment;

use rule::Rule;
use template::Template;
use tree::Tree;

/// Why the routes of a pool cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// Two bindings answer the same requests.
    Conflict {
        /// Full name of the method that had the route first.
        first: String,
        /// Full name of the method that wants it too.
        second: String,
        /// The HTTP method and the template of the second.
        route: String,
    },
    /// A rule that is not well formed, or names fields that do not exist.
    Rule {
        /// Full name of the method.
        method: String,
        /// The HTTP method and the template.
        route: String,
        /// What is wrong with it, in one sentence.
        message: String,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { first, second, route } => {
                write!(f, "{first} and {second} both answer {route}")
            }
            Self::Rule { method, route, message } => write!(f, "{method}, {route}: {message}"),
        }
    }
}

impl std::error::Error for RouteError {}

/// Where a request's body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// Every field the path does not bind.
    Whole,
    /// Index of the one field.
    Field(usize),
}

/// A path variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// As the template has it: `order.id`.
    pub(crate) field_path: String,
    /// The same as indices of fields.
    pub(crate) indices: Vec<usize>,
    /// The segments it covers; no end means all that follow.
    pub(crate) from: usize,
    pub(crate) to: Option<usize>,
    /// More than one segment may be in it, so `%2F` stays encoded.
    pub(crate) multi: bool,
}

/// How a request of one route is put together.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) input: MessageId,
    pub(crate) variables: Vec<Variable>,
    pub(crate) body: Body,
}

/// One binding of one method.
#[derive(Debug)]
pub struct Route {
    schema: Schema,
    index: usize,
    method: MethodDescriptor,
    grpc_path: String,
    http_method: String,
    template: Template,
    binding: Binding,
    output: MessageId,
    response_body: Option<usize>,
}

impl Route {
    /// Its place in [`Router::routes`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// The method that answers.
    pub fn descriptor(&self) -> &MethodDescriptor {
        &self.method
    }

    /// `/package.Service/Method`.
    pub fn grpc_path(&self) -> &str {
        &self.grpc_path
    }

    /// `GET`, `POST`, ...; `*` for every method.
    pub fn http_method(&self) -> &str {
        &self.http_method
    }

    /// The path template as declared.
    pub fn template(&self) -> &str {
        &self.template.text
    }

    /// The caller may send many messages.
    pub fn is_client_streaming(&self) -> bool {
        self.method.is_client_streaming()
    }

    /// The answer is many messages.
    pub fn is_server_streaming(&self) -> bool {
        self.method.is_server_streaming()
    }

    /// Whether the body carries fields.
    pub fn takes_body(&self) -> bool {
        self.binding.body != Body::None
    }

    /// The request message.
    pub fn input(&self) -> MessageId {
        self.binding.input
    }

    /// The response message.
    pub fn output(&self) -> MessageId {
        self.output
    }

    /// One response message to JSON, appended to `out`; with `response_body`, only that field of it.
    ///
    /// # Errors
    /// Bytes that are not a message of the response's type.
    pub fn response(
        &self,
        wire: &[u8],
        options: &ResponseOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let written = match self.response_body {
            None => response::message(&self.schema, self.output, wire, options, out),
            Some(field) => response::field(&self.schema, self.output, field, wire, options, out),
        };
        written.map_err(|error| *error)
    }

    pub(crate) fn binding(&self) -> &Binding {
        &self.binding
    }

    pub(crate) fn parsed_template(&self) -> &Template {
        &self.template
    }

    /// The number of the field at an index of the request or the response.
    pub(crate) fn field_number(&self, message: MessageId, index: usize) -> Option<u32> {
        self.schema.plan(message).fields.get(index).map(|field| field.number)
    }

    pub(crate) fn response_body(&self) -> Option<usize> {
        self.response_body
    }
}

/// A request that found its route.
#[derive(Clone, Debug)]
pub struct Match<'r, 'p> {
    /// The route.
    pub route: &'r Route,
    /// The path's segments, still encoded, without the first slash and the verb.
    path: &'p str,
}

impl<'r, 'p> Match<'r, 'p> {
    /// The path variables: field path and decoded value.
    ///
    /// # Errors
    /// A value that is not UTF-8, or has a broken percent escape.
    pub fn variables(&self) -> Result<Vec<(&'r str, String)>, TranscodeError> {
        let value = |variable: &'r Variable| match self.value(variable) {
            Ok(value) => Ok((variable.field_path.as_str(), value.into_owned())),
            Err(error) => Err(*error),
        };
        self.route.binding.variables.iter().map(value).collect()
    }

    fn value(&self, variable: &Variable) -> Result<Cow<'p, str>, Fail> {
        let place = if variable.multi { Place::Segments } else { Place::Segment };
        percent::decode(covered(self.path, variable.from, variable.to), place)
            .map_err(|error| error.inside(&variable.field_path))
    }

    /// The request message, from the path, the query and the body, appended to `out`. A blank body is `{}`. For a
    /// client stream call it once for each message. On an error `out` keeps the length it came with.
    ///
    /// # Errors
    /// Whatever the caller did wrong, with the field path and, in the body, the byte offset.
    pub fn request(
        &self,
        query: Option<&str>,
        body: &[u8],
        options: &RequestOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let before = out.len();
        let route = self.route;
        let query = query.unwrap_or_default();
        let values = |variable: &_| self.value(variable);
        request::routed(&route.schema, &route.binding, values, query, body, options, out).map_err(|error| {
            out.truncate(before);
            *error
        })
    }
}

/// The segments of a path from one to before another, or to the end, as they stand in it.
fn covered(path: &str, from: usize, to: Option<usize>) -> &str {
    let mut rest = path;
    for _ in 0..from {
        match rest.split_once('/') {
            Some((_, after)) => rest = after,
            None => return "",
        }
    }
    let last = to.and_then(|to| to.checked_sub(from + 1));
    match last.and_then(|last| rest.match_indices('/').nth(last)) {
        Some((end, _)) => &rest[..end],
        None => rest,
    }
}

/// What [`Router::find`] found.
#[derive(Clone, Debug)]
pub enum Found<'r, 'p> {
    /// The route.
    Match(Match<'r, 'p>),
    /// No template has this path.
    NotFound,
    /// Templates have this path, for other HTTP methods.
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: String,
    },
}

/// Every route of a descriptor pool.
#[derive(Debug)]
pub struct Router {
    schema: Schema,
    routes: Vec<Route>,
    tree: Tree,
}

impl Router {
    /// Compiles the messages of the pool and every `google.api.http` rule of its services.
    ///
    /// # Errors
    /// A rule that is not well formed, or two that answer the same requests.
    pub fn build(pool: &DescriptorPool) -> Result<Self, RouteError> {
        Self::with_schema(Schema::build(pool))
    }

    /// The same over a schema that was compiled already.
    ///
    /// # Errors
    /// As [`Router::build`].
    pub fn with_schema(schema: Schema) -> Result<Self, RouteError> {
        let mut router = Self { schema: schema.clone(), routes: Vec::new(), tree: Tree::default() };
        for service in schema.pool().services() {
            for method in service.methods() {
                for rule in rule::of(&method) {
                    router.add(&method, rule)?;
                }
            }
        }
        Ok(router)
    }

    fn add(&mut self, method: &MethodDescriptor, rule: Rule) -> Result<(), RouteError> {
        let name = format!("{} {}", rule.http_method, rule.path);
        let route = rule::compile(&self.schema, method, rule, self.routes.len()).map_err(|message| {
            RouteError::Rule { method: method.full_name().into(), route: name.clone(), message }
        })?;
        if let Some(first) = self.tree.insert(&route.template, &route.http_method, route.index) {
            return Err(RouteError::Conflict {
                first: self.routes[first].method.full_name().into(),
                second: method.full_name().into(),
                route: name,
            });
        }
        self.routes.push(route);
        Ok(())
    }

    /// The compiled messages.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Every binding, in the order of the descriptors.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route for a request. `path` is as it came: percent-encoded, without the query.
    pub fn find<'r, 'p>(&'r self, method: &http::Method, path: &'p str) -> Found<'r, 'p> {
        match self.tree.find(method.as_str(), path) {
            tree::Outcome::Route { index, path } => Found::Match(Match { route: &self.routes[index], path }),
            tree::Outcome::Allow(methods) if methods.is_empty() => Found::NotFound,
            tree::Outcome::Allow(methods) => Found::MethodNotAllowed { allow: methods.join(", ") },
        }
    }
}
