//! The well-known types whose JSON is not an object of their fields. Their field numbers are fixed by protobuf, so
//! they are written as numbers here.

use super::encode::Encoder;
use super::json::{Json, Next};
use super::scalar::at_offset;
use crate::calendar;
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::plan::{MessagePlan, Shape};
use crate::schema::MessageId;
use crate::wire::{self, FIXED64, LENGTH, VARINT};

impl Encoder<'_, '_> {
    /// Timestamp, Duration and FieldMask: one string.
    pub(super) fn text_shape(&mut self, json: &mut Json<'_>, shape: Shape) -> Result<(), Fail> {
        json.peek();
        let offset = json.offset();
        let text = json.string()?;
        self.string_shape(&text, shape, false).map_err(|error| at_offset(error, offset))
    }

    /// A message from the text of a query parameter.
    pub(super) fn message_text(&mut self, text: &str, id: MessageId) -> Result<(), Fail> {
        let plan = self.schema.plan(id);
        let Some(inner) = plan.fields.first().filter(|_| plan.shape == Shape::Wrapper) else {
            return self.string_shape(text, plan.shape, true);
        };
        let before = self.out.len();
        inner.put_tag(self.out);
        if self.scalar_text(text, inner.kind)? {
            self.out.truncate(before);
        }
        Ok(())
    }

    fn string_shape(&mut self, text: &str, shape: Shape, in_query: bool) -> Result<(), Fail> {
        let fail = |message: &str| Err(TranscodeError::new(ErrorKind::WrongType, None, message));
        match shape {
            Shape::Timestamp => match calendar::parse_timestamp(text) {
                Some(value) => self.seconds_and_nanos(value),
                None => {
                    fail("Expected a time such as \"2030-01-31T23:59:59Z\" between the years 1 and 9999.")
                }
            },
            Shape::Duration => match calendar::parse_duration(text) {
                Some(value) => self.seconds_and_nanos(value),
                None => fail("Expected a duration in seconds such as \"1.5s\"."),
            },
            Shape::FieldMask => self.field_mask(text, in_query),
            Shape::Ordinary
            | Shape::Any
            | Shape::Struct
            | Shape::Value
            | Shape::ListValue
            | Shape::Wrapper => fail("Expected a message."),
        }
    }

    fn seconds_and_nanos(&mut self, (seconds, nanos): (i64, i32)) -> Result<(), Fail> {
        if seconds != 0 {
            wire::put_tag(self.out, 1, VARINT);
            wire::put_varint(self.out, seconds as u64);
        }
        if nanos != 0 {
            wire::put_tag(self.out, 2, VARINT);
            wire::put_varint(self.out, i64::from(nanos) as u64);
        }
        Ok(())
    }

    /// `a.bC,d` to `a.b_c` and `d`. In a query the original names are taken as well.
    fn field_mask(&mut self, text: &str, in_query: bool) -> Result<(), Fail> {
        if text.is_empty() {
            return Ok(());
        }
        for path in text.split(',') {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || (byte == b'_' && in_query);
            if path.is_empty() || !path.bytes().all(known) {
                let message = "Expected field paths in lowerCamelCase, separated by commas.";
                return Err(TranscodeError::new(ErrorKind::WrongType, None, message));
            }
            wire::put_tag(self.out, 1, LENGTH);
            let start = wire::open(self.out);
            for byte in path.bytes() {
                if byte.is_ascii_uppercase() {
                    self.out.push(b'_');
                }
                self.out.push(byte.to_ascii_lowercase());
            }
            wire::close(self.out, start);
        }
        Ok(())
    }

    pub(super) fn wrapper(&mut self, json: &mut Json<'_>, plan: &MessagePlan) -> Result<(), Fail> {
        let Some(field) = plan.fields.first() else {
            return Err(json.fail(ErrorKind::Unsupported, "The wrapper has no field."));
        };
        let before = self.out.len();
        field.put_tag(self.out);
        if self.scalar(json, field.kind)? {
            self.out.truncate(before);
        }
        Ok(())
    }

    /// `Struct`: `map<string, Value> fields = 1`.
    pub(super) fn structure(&mut self, json: &mut Json<'_>, depth: usize) -> Result<(), Fail> {
        deep(json, depth + 2)?;
        json.begin_object()?;
        let mut keys = std::collections::HashSet::new();
        let mut first = true;
        while let Some(key) = json.next_key(&mut first)? {
            wire::put_tag(self.out, 1, LENGTH);
            let entry = wire::open(self.out);
            wire::put_tag(self.out, 1, LENGTH);
            self.put_bytes(key.as_bytes());
            wire::put_tag(self.out, 2, LENGTH);
            let value = wire::open(self.out);
            self.value(json, depth + 2).map_err(|error| error.inside_key(&key))?;
            wire::close(self.out, value);
            wire::close(self.out, entry);
            if let Some(twice) = keys.replace(key) {
                return Err(json.fail(ErrorKind::Duplicate, "The key is given twice.").inside_key(&twice));
            }
        }
        Ok(())
    }

    /// `ListValue`: `repeated Value values = 1`.
    pub(super) fn list_value(&mut self, json: &mut Json<'_>, depth: usize) -> Result<(), Fail> {
        deep(json, depth + 1)?;
        json.begin_array()?;
        let (mut index, mut first) = (0, true);
        while json.next_element(&mut first)? {
            wire::put_tag(self.out, 1, LENGTH);
            let value = wire::open(self.out);
            self.value(json, depth + 1).map_err(|error| error.inside_index(index))?;
            wire::close(self.out, value);
            index += 1;
        }
        Ok(())
    }

    /// `Value`: null 1, number 2, string 3, bool 4, struct 5, list 6.
    pub(super) fn value(&mut self, json: &mut Json<'_>, depth: usize) -> Result<(), Fail> {
        deep(json, depth)?;
        let at = json.peek();
        match at {
            Next::Null => {
                json.literal("null")?;
                wire::put_tag(self.out, 1, VARINT);
                wire::put_varint(self.out, 0);
            }
            Next::Number => {
                wire::put_tag(self.out, 2, FIXED64);
                self.scalar(json, crate::plan::Kind::Double)?;
            }
            Next::String => {
                wire::put_tag(self.out, 3, LENGTH);
                self.scalar(json, crate::plan::Kind::String)?;
            }
            Next::True | Next::False => {
                wire::put_tag(self.out, 4, VARINT);
                self.scalar(json, crate::plan::Kind::Bool)?;
            }
            Next::Object | Next::Array => {
                wire::put_tag(self.out, if at == Next::Object { 5 } else { 6 }, LENGTH);
                let start = wire::open(self.out);
                if at == Next::Object {
                    self.structure(json, depth + 1)?;
                } else {
                    self.list_value(json, depth + 1)?;
                }
                wire::close(self.out, start);
            }
            Next::End | Next::Other => return Err(json.wrong_type("a value")),
        }
        Ok(())
    }
}

fn deep(json: &Json<'_>, depth: usize) -> Result<(), Fail> {
    if depth > crate::MAX_DEPTH {
        return Err(json.fail(ErrorKind::TooDeep, "The body is nested too deep."));
    }
    Ok(())
}
