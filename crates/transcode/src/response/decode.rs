//! Messages whose fields lie in order, field by field to JSON. Whatever needs memory is left to `gather`.

use super::ResponseOptions;
use super::text;
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::plan::{FieldPlan, Kind, MessagePlan, Repetition, Shape};
use crate::schema::{MessageId, Schema};
use crate::wire::{self, Raw, Reader};

/// Why the straight way ended.
pub(super) enum Stop {
    Failed(Fail),
    /// The fields are not in the order the straight way needs.
    OutOfOrder,
}

impl From<Fail> for Stop {
    fn from(fail: Fail) -> Self {
        Self::Failed(fail)
    }
}

impl Stop {
    pub(super) fn inside(self, field: &FieldPlan) -> Self {
        match self {
            Self::Failed(fail) => Self::Failed(fail.inside(&field.json_name)),
            Self::OutOfOrder => Self::OutOfOrder,
        }
    }
}

pub(super) type Done = Result<(), Stop>;

pub(super) struct Decoder<'s, 'o> {
    pub(super) schema: &'s Schema,
    pub(super) options: &'s ResponseOptions,
    pub(super) out: &'o mut Vec<u8>,
    /// Gather the fields of every message before they are written.
    pub(super) gather: bool,
}

impl<'s> Decoder<'s, '_> {
    /// One message in the JSON form its type has.
    pub(super) fn message(&mut self, id: MessageId, wire: &[u8], depth: usize) -> Done {
        if depth > crate::MAX_DEPTH {
            return Err(
                TranscodeError::new(ErrorKind::TooDeep, None, "The message is nested too deep.").into()
            );
        }
        let plan = self.schema.plan(id);
        match plan.shape {
            Shape::Ordinary => {
                self.out.push(b'{');
                self.members(plan, wire, depth, true)?;
                self.out.push(b'}');
                Ok(())
            }
            Shape::Any => self.any(wire, depth),
            Shape::Struct | Shape::ListValue => self.only_repeated(plan, wire, depth),
            Shape::Value => self.value(plan, wire, depth),
            Shape::Timestamp | Shape::Duration => self.instant(plan, wire),
            Shape::FieldMask => self.field_mask(wire),
            Shape::Wrapper => self.wrapper(plan, wire, depth),
        }
    }

    /// The members of an object without its braces; `first` says whether a comma is due.
    pub(super) fn members(&mut self, plan: &'s MessagePlan, wire: &[u8], depth: usize, first: bool) -> Done {
        if self.gather {
            return self.gathered(plan, wire, depth, first);
        }
        let mut reader = Reader::new(wire);
        let (mut next, mut first) = (0, first);
        let mut oneofs = 0u64;
        let mut pending = None;
        loop {
            let (number, raw) = match pending.take() {
                Some(field) => field,
                None => match reader.field()? {
                    Some(field) => field,
                    None => break,
                },
            };
            let Some(index) = plan.field_numbered(number).filter(|index| fits(&plan.fields[*index], raw))
            else {
                continue;
            };
            if index < next {
                return Err(Stop::OutOfOrder);
            }
            let field = &plan.fields[index];
            if let Some(oneof) = field.oneof {
                if oneof >= 64 || oneofs & (1 << oneof) != 0 {
                    return Err(Stop::OutOfOrder);
                }
                oneofs |= 1 << oneof;
            }
            self.defaults(&plan.fields[next..index], &mut first);
            next = index + 1;
            pending =
                self.field(field, raw, &mut reader, depth, &mut first).map_err(|stop| stop.inside(field))?;
        }
        self.defaults(&plan.fields[next..], &mut first);
        Ok(())
    }

    /// One field, a list or map with all its elements that follow. Gives back the field after them.
    fn field<'w>(
        &mut self,
        field: &'s FieldPlan,
        raw: Raw<'w>,
        reader: &mut Reader<'w>,
        depth: usize,
        first: &mut bool,
    ) -> Result<Option<(u32, Raw<'w>)>, Stop> {
        if field.repetition == Repetition::Once {
            if !self.options.emit_defaults && field.implicit && is_zero(raw) {
                return Ok(None);
            }
            self.key(field, first);
            self.element(field, raw, depth)?;
            return Ok(None);
        }
        let (start, was_first) = (self.out.len(), *first);
        self.key(field, first);
        let (empty, after) = if field.repetition == Repetition::Map {
            let mut raws = vec![raw];
            let after = loop {
                match following(field, reader)? {
                    Following::Element(raw) => raws.push(raw),
                    Following::Other(after) => break after,
                }
            };
            (self.map(field, &raws, depth)?, after)
        } else {
            self.list_in_order(field, raw, reader, depth)?
        };
        self.unless_empty(empty, start, was_first, first);
        Ok(after)
    }

    /// A list straight from the reader. Whether it is empty, and the field after it.
    fn list_in_order<'w>(
        &mut self,
        field: &'s FieldPlan,
        raw: Raw<'w>,
        reader: &mut Reader<'w>,
        depth: usize,
    ) -> Result<(bool, Option<(u32, Raw<'w>)>), Stop> {
        self.out.push(b'[');
        let (mut index, mut raw) = (0, raw);
        let after = loop {
            self.list_raw(field, raw, depth, &mut index)?;
            match following(field, reader)? {
                Following::Element(next) => raw = next,
                Following::Other(after) => break after,
            }
        };
        self.out.push(b']');
        Ok((index == 0, after))
    }

    /// Takes an empty list or map back where empty ones are left out.
    fn unless_empty(&mut self, empty: bool, start: usize, was_first: bool, first: &mut bool) {
        if empty && !self.options.emit_defaults {
            self.out.truncate(start);
            *first = was_first;
        }
    }

    /// A list or a map with its key.
    pub(super) fn repeated(
        &mut self,
        field: &'s FieldPlan,
        raws: &[Raw<'_>],
        depth: usize,
        first: &mut bool,
    ) -> Done {
        let start = self.out.len();
        let was_first = *first;
        self.key(field, first);
        let empty = self.repeated_value(field, raws, depth)?;
        self.unless_empty(empty, start, was_first, first);
        Ok(())
    }

    /// A list or a map. Whether it is empty.
    pub(super) fn repeated_value(
        &mut self,
        field: &'s FieldPlan,
        raws: &[Raw<'_>],
        depth: usize,
    ) -> Result<bool, Stop> {
        match field.repetition {
            Repetition::Map => self.map(field, raws, depth),
            Repetition::List { .. } | Repetition::Once => self.list(field, raws, depth),
        }
    }

    fn list(&mut self, field: &'s FieldPlan, raws: &[Raw<'_>], depth: usize) -> Result<bool, Stop> {
        self.out.push(b'[');
        let mut index = 0;
        for raw in raws {
            self.list_raw(field, *raw, depth, &mut index)?;
        }
        self.out.push(b']');
        Ok(index == 0)
    }

    /// One occurrence of a list's field: an element, or a run of packed ones.
    fn list_raw(&mut self, field: &'s FieldPlan, raw: Raw<'_>, depth: usize, index: &mut usize) -> Done {
        match raw {
            Raw::Bytes(packed) if field.packable => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    let raw = match field.wire_type {
                        wire::FIXED64 => Raw::Fixed64(reader.fixed64()?),
                        wire::FIXED32 => Raw::Fixed32(reader.fixed32()?),
                        _ => Raw::Varint(reader.varint()?),
                    };
                    self.list_element(field, raw, depth, index)?;
                }
                Ok(())
            }
            Raw::Varint(_) | Raw::Fixed64(_) | Raw::Fixed32(_) | Raw::Bytes(_) | Raw::Group(_) => {
                self.list_element(field, raw, depth, index)
            }
        }
    }

    fn list_element(&mut self, field: &'s FieldPlan, raw: Raw<'_>, depth: usize, index: &mut usize) -> Done {
        if *index > 0 {
            self.out.push(b',');
        }
        self.element(field, raw, depth).map_err(|stop| match stop {
            Stop::Failed(fail) => Stop::Failed(fail.inside_index(*index)),
            Stop::OutOfOrder => Stop::OutOfOrder,
        })?;
        *index += 1;
        Ok(())
    }

    /// One value: a scalar or a message one level down.
    pub(super) fn element(&mut self, field: &FieldPlan, raw: Raw<'_>, depth: usize) -> Done {
        match (field.kind, raw) {
            (Kind::Message(id) | Kind::Group(id), Raw::Bytes(inner) | Raw::Group(inner)) => {
                self.message(id, inner, depth + 1)
            }
            (kind, raw) => Ok(text::scalar(self.out, self.schema, kind, raw)?),
        }
    }

    pub(super) fn key(&mut self, field: &FieldPlan, first: &mut bool) {
        field.put_key(self.out, first);
    }

    /// Fields that are not on the wire and are written all the same.
    pub(super) fn defaults(&mut self, fields: &[FieldPlan], first: &mut bool) {
        if self.options.emit_defaults {
            fields.iter().for_each(|field| field.put_default(self.out, first));
        }
    }

    /// The JSON of a field that is not there.
    pub(super) fn default_value(&mut self, field: &FieldPlan) {
        self.out.extend_from_slice(&field.default_json);
    }
}

/// What comes after an element of a list or a map.
enum Following<'w> {
    Element(Raw<'w>),
    Other(Option<(u32, Raw<'w>)>),
}

fn following<'w>(field: &FieldPlan, reader: &mut Reader<'w>) -> Result<Following<'w>, Fail> {
    loop {
        match reader.field()? {
            Some((number, raw)) if number == field.number => {
                if fits(field, raw) {
                    return Ok(Following::Element(raw));
                }
            }
            other => return Ok(Following::Other(other)),
        }
    }
}

/// Whether a value has a wire type its field can have. Others are unknown fields, and are dropped like them.
pub(super) fn fits(field: &FieldPlan, raw: Raw<'_>) -> bool {
    let wire_type = match raw {
        Raw::Varint(_) => wire::VARINT,
        Raw::Fixed64(_) => wire::FIXED64,
        Raw::Fixed32(_) => wire::FIXED32,
        Raw::Bytes(_) => wire::LENGTH,
        Raw::Group(_) => wire::GROUP_START,
    };
    wire_type == field.wire_type || (wire_type == wire::LENGTH && field.packable)
}

pub(super) fn is_zero(raw: Raw<'_>) -> bool {
    match raw {
        Raw::Varint(value) | Raw::Fixed64(value) => value == 0,
        Raw::Fixed32(value) => value == 0,
        Raw::Bytes(bytes) => bytes.is_empty(),
        Raw::Group(_) => false,
    }
}
