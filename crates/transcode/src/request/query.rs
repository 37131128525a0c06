//! The query string: which field each parameter names, and whether it may. Never turns text into values.

use super::overlay::Overlay;
use super::{RequestOptions, UnknownFields, excerpt};
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::percent::{self, Place};
use crate::plan::{Repetition, Shape};
use crate::route::{Binding, Body};
use crate::schema::{MessageId, Schema};
use crate::{MAX_DEPTH, MAX_QUERY_PARAMETERS};

pub(super) fn collect<'a>(
    schema: &Schema,
    binding: &Binding,
    query: &'a str,
    options: &RequestOptions,
    overlay: &mut Overlay<'a>,
) -> Result<(), Fail> {
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if index >= MAX_QUERY_PARAMETERS {
            let message = format!("More than {MAX_QUERY_PARAMETERS} query parameters.");
            return Err(TranscodeError::new(ErrorKind::TooMany, None, message));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent::decode(name, Place::Query)?;
        let value = percent::decode(value, Place::Query).map_err(|error| error.inside(&name))?;
        let added = match resolve(schema, binding, &name) {
            Ok(Target { indices, repeated }) => overlay.add(&indices, name.clone(), value, repeated),
            Err(error) if error.kind == ErrorKind::UnknownField => match options.unknown_fields {
                UnknownFields::Ignore => Ok(()),
                UnknownFields::Refuse => Err(error),
            },
            Err(error) => Err(error),
        };
        added.map_err(|error| error.inside(&name))?;
    }
    Ok(())
}

struct Target {
    indices: Vec<usize>,
    repeated: bool,
}

fn resolve(schema: &Schema, binding: &Binding, name: &str) -> Result<Target, Fail> {
    let fail = |kind, message: String| Err(TranscodeError::new(kind, None, message));
    let mut message: Option<MessageId> = Some(binding.input);
    let (mut indices, mut repeated) = (Vec::new(), false);
    for segment in name.split('.') {
        let Some(id) = message else {
            return fail(
                ErrorKind::UnknownField,
                format!("Nothing is inside the field before {}.", excerpt(segment)),
            );
        };
        let plan = schema.plan(id);
        if plan.shape != Shape::Ordinary {
            return fail(ErrorKind::Unsupported, format!("{} is given as one value.", plan.full_name));
        }
        if repeated {
            return fail(ErrorKind::Unsupported, "A query cannot reach into a repeated field.".into());
        }
        if indices.len() >= MAX_DEPTH {
            return fail(ErrorKind::TooDeep, "The parameter is nested too deep.".into());
        }
        let Some(index) = plan.field_named(segment, 0) else {
            return fail(
                ErrorKind::UnknownField,
                format!("{} has no field {}.", plan.full_name, excerpt(segment)),
            );
        };
        if indices.is_empty() {
            check_source(binding, index)?;
        }
        let field = &plan.fields[index];
        indices.push(index);
        message = field.kind.message();
        repeated = field.repetition != Repetition::Once;
        if field.repetition == Repetition::Map {
            return fail(ErrorKind::Unsupported, "A map cannot be given in a query.".into());
        }
    }
    if let Some(id) = message {
        let plan = schema.plan(id);
        match plan.shape {
            Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper => {}
            Shape::Ordinary => {
                return fail(ErrorKind::WrongType, "The field is a message; name a field inside it.".into());
            }
            Shape::Any | Shape::Struct | Shape::Value | Shape::ListValue => {
                return fail(
                    ErrorKind::Unsupported,
                    format!("{} cannot be given in a query.", plan.full_name),
                );
            }
        }
    }
    Ok(Target { indices, repeated })
}

fn check_source(binding: &Binding, index: usize) -> Result<(), Fail> {
    let from_body = match binding.body {
        Body::Whole => true,
        Body::Field(field) => field == index,
        Body::None => false,
    };
    if from_body {
        let message = "The field is taken from the request body, not from the query.";
        return Err(TranscodeError::new(ErrorKind::PathBound, None, message));
    }
    Ok(())
}
