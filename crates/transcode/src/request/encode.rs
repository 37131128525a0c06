//! JSON objects, arrays and maps to wire bytes, driven by the plans. Holds the two checks that need memory: no field
//! twice, no two members of a oneof. Never looks at scalars or well-known types itself.

use std::collections::HashSet;

use super::RequestOptions;
use super::UnknownFields;
use super::excerpt;
use super::json::{Json, Next};
use super::overlay::Overlay;
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::plan::{FieldPlan, Kind, MessagePlan, Repetition, Shape};
use crate::schema::{MessageId, Schema};
use crate::wire;

/// Where in the message the encoder is.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'p> {
    /// How many messages are around this one.
    pub(super) depth: usize,
    /// Fields of this message that the path and the query bind.
    pub(super) overlay: Option<&'p Overlay<'p>>,
    /// The object is an Any's: its `@type` has been read already.
    pub(super) in_any: bool,
}

impl Place<'_> {
    pub(super) fn inner(self) -> Place<'static> {
        Place { depth: self.depth + 1, overlay: None, in_any: false }
    }
}

/// Writes one request.
pub(super) struct Encoder<'s, 'o> {
    pub(super) schema: &'s Schema,
    pub(super) options: &'s RequestOptions,
    pub(super) out: &'o mut Vec<u8>,
    /// One bit a field and one a oneof, for every message that is open; a stack.
    seen: Vec<u64>,
    pub(super) nested_any: usize,
}

impl<'s, 'o> Encoder<'s, 'o> {
    pub(super) fn new(schema: &'s Schema, options: &'s RequestOptions, out: &'o mut Vec<u8>) -> Self {
        Self { schema, options, out, seen: Vec::new(), nested_any: 0 }
    }

    /// One message without tag and length, from the JSON form its type has.
    pub(super) fn message(
        &mut self,
        json: &mut Json<'_>,
        id: MessageId,
        place: Place<'_>,
    ) -> Result<(), Fail> {
        if place.depth > crate::MAX_DEPTH {
            return Err(json.fail(ErrorKind::TooDeep, "The body is nested too deep."));
        }
        let plan = self.schema.plan(id);
        match plan.shape {
            Shape::Ordinary => self.object(json, plan, place),
            Shape::Any => self.any(json, place),
            Shape::Struct => self.structure(json, place.depth),
            Shape::Value => self.value(json, place.depth),
            Shape::ListValue => self.list_value(json, place.depth),
            Shape::Timestamp | Shape::Duration | Shape::FieldMask => self.text_shape(json, plan.shape),
            Shape::Wrapper => self.wrapper(json, plan),
        }
    }

    fn object(&mut self, json: &mut Json<'_>, plan: &'s MessagePlan, place: Place<'_>) -> Result<(), Fail> {
        json.begin_object()?;
        let base = self.enter(plan);
        let (mut hint, mut first) = (0, true);
        while json.before_key(&mut first)? {
            // Most callers write the names as we would, in order: then nothing is parsed or looked up.
            if let Some(field) = plan.fields.get(hint)
                && json.takes_key(&field.json_key)
            {
                self.member(json, plan, hint, base, place)
                    .map_err(|error| error.inside(&plan.fields[hint].json_name))?;
                hint += 1;
                continue;
            }
            let key = json.key()?;
            let Some(index) = plan.field_named(&key, hint) else {
                self.unknown(json, plan, &key, place)?;
                continue;
            };
            hint = index + 1;
            self.member(json, plan, index, base, place).map_err(|error| error.inside(&key))?;
        }
        if let Some(overlay) = place.overlay {
            self.rest_of_overlay(plan, base, overlay, place.depth)?;
        }
        self.seen.truncate(base);
        Ok(())
    }

    fn unknown(
        &mut self,
        json: &mut Json<'_>,
        plan: &MessagePlan,
        key: &str,
        place: Place<'_>,
    ) -> Result<(), Fail> {
        if place.in_any && key == "@type" {
            return json.skip(place.depth);
        }
        match self.options.unknown_fields {
            UnknownFields::Ignore => json.skip(place.depth),
            UnknownFields::Refuse => {
                let message = format!("{} has no field {}.", plan.full_name, excerpt(key));
                Err(json.fail(ErrorKind::UnknownField, message).inside(key))
            }
        }
    }

    /// One key's value, checked against what the object already had.
    fn member(
        &mut self,
        json: &mut Json<'_>,
        plan: &'s MessagePlan,
        index: usize,
        base: usize,
        place: Place<'_>,
    ) -> Result<(), Fail> {
        let field = &plan.fields[index];
        if self.mark(base, index) {
            return Err(json.fail(ErrorKind::Duplicate, "The field is given twice."));
        }
        let nullable = field.repetition == Repetition::Once && self.takes_null(field);
        if json.peek() == Next::Null && !nullable {
            return json.literal("null");
        }
        if place.overlay.is_some_and(|overlay| overlay.binds(index)) {
            // The path has the last word, yet nonsense in the body is still nonsense.
            let start = self.out.len();
            self.field(json, field, Place { overlay: None, ..place })?;
            self.out.truncate(start);
            return Ok(());
        }
        if let Some(oneof) = field.oneof
            && self.mark(base, plan.fields.len() + oneof)
        {
            return Err(oneof_conflict(plan, oneof, Some(json.offset())));
        }
        let overlay = place.overlay.and_then(|overlay| overlay.enter(index));
        self.field(json, field, Place { overlay, ..place })
    }

    /// A field with its tag. `place.overlay` is here the overlay of the field's own message.
    pub(super) fn field(
        &mut self,
        json: &mut Json<'_>,
        field: &FieldPlan,
        place: Place<'_>,
    ) -> Result<(), Fail> {
        match field.repetition {
            Repetition::Once => {
                let start = self.out.len();
                let zero = self.single(json, field, place)?;
                if zero && field.implicit {
                    self.out.truncate(start);
                }
                Ok(())
            }
            Repetition::List { packed } => self.list(json, field, packed, place),
            Repetition::Map => self.map(json, field, place),
        }
    }

    /// Tag and value. Whether the value is a scalar's zero.
    fn single(&mut self, json: &mut Json<'_>, field: &FieldPlan, place: Place<'_>) -> Result<bool, Fail> {
        field.put_tag(self.out);
        let inner = Place { overlay: place.overlay, ..place.inner() };
        let Some(id) = field.kind.message() else {
            return self.scalar(json, field.kind);
        };
        if let Kind::Group(_) = field.kind {
            self.message(json, id, inner)?;
            wire::put_tag(self.out, field.number, wire::GROUP_END);
            return Ok(false);
        }
        let start = wire::open(self.out);
        self.message(json, id, inner)?;
        wire::close(self.out, start);
        Ok(false)
    }

    fn list(
        &mut self,
        json: &mut Json<'_>,
        field: &FieldPlan,
        packed: bool,
        place: Place<'_>,
    ) -> Result<(), Fail> {
        json.begin_array()?;
        let before = self.out.len();
        let packed_start = packed.then(|| {
            field.put_tag(self.out);
            wire::open(self.out)
        });
        let (mut index, mut first) = (0, true);
        while json.next_element(&mut first)? {
            let element = if json.peek() == Next::Null && !self.takes_null(field) {
                Err(json.wrong_type("a value"))
            } else if packed {
                self.scalar(json, field.kind)
            } else {
                self.single(json, field, Place { overlay: None, ..place })
            };
            element.map_err(|error| error.inside_index(index))?;
            index += 1;
        }
        match packed_start {
            Some(_) if index == 0 => self.out.truncate(before),
            Some(start) => wire::close(self.out, start),
            None => {}
        }
        Ok(())
    }

    fn map(&mut self, json: &mut Json<'_>, field: &FieldPlan, place: Place<'_>) -> Result<(), Fail> {
        let entry = field.kind.message().map(|id| self.schema.plan(id));
        let Some([key_field, value_field]) = entry.map(|entry| entry.fields.as_slice()) else {
            return Err(json.fail(ErrorKind::Unsupported, "The map's entry has no key and value."));
        };
        if place.depth + 1 > crate::MAX_DEPTH {
            return Err(json.fail(ErrorKind::TooDeep, "The body is nested too deep."));
        }
        json.begin_object()?;
        let mut keys: HashSet<Box<[u8]>> = HashSet::new();
        let mut first = true;
        while let Some(key) = json.next_key(&mut first)? {
            let offset = json.offset();
            field.put_tag(self.out);
            let start = wire::open(self.out);
            key_field.put_tag(self.out);
            let key_start = self.out.len();
            self.scalar_text(&key, key_field.kind)
                .map_err(|error| super::scalar::at_offset(error, offset).inside_key(&key))?;
            if !keys.insert(self.out[key_start..].into()) {
                return Err(json.fail(ErrorKind::Duplicate, "The map key is given twice.").inside_key(&key));
            }
            let value = if json.peek() == Next::Null && !self.takes_null(value_field) {
                Err(json.wrong_type("a value"))
            } else {
                self.single(json, value_field, place.inner())
            };
            value.map_err(|error| error.inside_key(&key))?;
            wire::close(self.out, start);
        }
        Ok(())
    }

    /// Null is a value only where the type says so; elsewhere it is the same as leaving the field out.
    fn takes_null(&self, field: &FieldPlan) -> bool {
        match field.kind {
            Kind::Message(id) => self.schema.plan(id).shape == Shape::Value,
            Kind::Enum(id) => self.schema.enumeration(id).is_null,
            Kind::Group(_) | Kind::Bool | Kind::String | Kind::Bytes | Kind::Double | Kind::Float => false,
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => false,
            Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => false,
        }
    }

    /// Opens the message's own bits.
    pub(super) fn enter(&mut self, plan: &MessagePlan) -> usize {
        let base = self.seen.len();
        self.seen.resize(base + (plan.fields.len() + plan.oneofs.len()).div_ceil(64), 0);
        base
    }

    /// Sets a bit of the message whose bits begin at `base`. Whether it was set before.
    pub(super) fn mark(&mut self, base: usize, bit: usize) -> bool {
        let word = &mut self.seen[base + bit / 64];
        let was = *word & (1 << (bit % 64)) != 0;
        *word |= 1 << (bit % 64);
        was
    }
}

pub(super) fn oneof_conflict(plan: &MessagePlan, oneof: usize, offset: Option<usize>) -> Fail {
    let name = &plan.oneofs[oneof];
    let message = format!("Another member of the oneof `{name}` is given already; only one may be.");
    TranscodeError::new(ErrorKind::OneofConflict, offset, message)
}
