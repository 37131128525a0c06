//! Path variables, query string and JSON body to protobuf wire bytes, in one pass with no message in between.
//!
//! Canonical proto3 JSON and strict: what is not understood is refused with its field path. Never writes a field
//! twice: what the path binds is left out of the body's share.

mod any;
mod encode;
mod json;
mod number;
mod overlay;
mod query;
mod scalar;
mod well_known;

use std::borrow::Cow;

use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::route::{Binding, Body, Variable};
use crate::schema::{MessageId, Schema};

use encode::{Encoder, Place};
use json::{Json, Next};
use overlay::Overlay;

/// What to do with a field or parameter the message does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFields {
    /// Say so: a misspelt field is a mistake, not a wish.
    #[default]
    Refuse,
    /// Read over it.
    Ignore,
}

/// How requests are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    /// Unknown fields and query parameters.
    pub unknown_fields: UnknownFields,
}

/// One whole message from one JSON value. A blank body is `{}`.
pub(crate) fn message(
    schema: &Schema,
    id: MessageId,
    body: &[u8],
    options: &RequestOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fail> {
    let mut json = Json::new(body)?;
    if json.peek() == Next::End {
        return Ok(());
    }
    // The wire form is nearly always the shorter one.
    out.reserve(body.len());
    Encoder::new(schema, options, out).message(&mut json, id, Place::default())?;
    json.finish()
}

/// What a route makes of its three sources. `variables` gives the value of each variable.
pub(crate) fn routed<'a>(
    schema: &Schema,
    binding: &'a Binding,
    variables: impl Fn(&'a Variable) -> Result<Cow<'a, str>, Fail>,
    query: &'a str,
    body: &[u8],
    options: &RequestOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fail> {
    let mut overlay = Overlay::default();
    for variable in &binding.variables {
        let name = Cow::Borrowed(variable.field_path.as_str());
        overlay.bind(&variable.indices, name, variables(variable)?);
    }
    query::collect(schema, binding, query, options, &mut overlay)?;
    let mut json = Json::new(body)?;
    let mut encoder = Encoder::new(schema, options, out);
    let place = Place { overlay: Some(&overlay), ..Place::default() };
    let blank = json.peek() == Next::End;
    encoder.out.reserve(body.len());
    match binding.body {
        Body::Whole if blank => encoder.overlay_only(binding.input, &overlay)?,
        Body::Whole => encoder.message(&mut json, binding.input, place)?,
        Body::Field(index) => encoder.body_field(&mut json, blank, binding.input, index, &overlay)?,
        Body::None => {
            if !blank {
                nothing(&mut json)?;
            }
            encoder.overlay_only(binding.input, &overlay)?;
        }
    }
    json.finish()
}

/// A route without body still hears `{}` from some clients.
fn nothing(json: &mut Json<'_>) -> Result<(), Fail> {
    let refused =
        TranscodeError::new(ErrorKind::PathBound, Some(json.offset()), "This route takes no request body.");
    if json.peek() != Next::Object {
        return Err(refused);
    }
    json.begin_object()?;
    match json.next_key(&mut true)? {
        None => Ok(()),
        Some(_) => Err(refused),
    }
}

/// The caller's own word, short enough for a sentence.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 64;
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short:?}...") } else { format!("{short:?}") }
}
