//! The well-known types whose JSON is not an object of their fields.

use super::decode::{Decoder, Done, fits};
use super::text;
use crate::calendar;
use crate::error::{ErrorKind, TranscodeError};
use crate::plan::{MessagePlan, Shape};
use crate::wire::{Raw, Reader, malformed};

/// The oneof of `google.protobuf.Value` has the numbers 1 to 6.
const VALUE_MEMBERS: std::ops::RangeInclusive<u32> = 1..=6;

impl<'s> Decoder<'s, '_> {
    /// Timestamp and Duration.
    pub(super) fn instant(&mut self, plan: &MessagePlan, wire: &[u8]) -> Done {
        let (mut seconds, mut nanos) = (0i64, 0i32);
        let mut reader = Reader::new(wire);
        while let Some((number, raw)) = reader.field()? {
            match (number, raw) {
                (1, Raw::Varint(value)) => seconds = value as i64,
                (2, Raw::Varint(value)) => nanos = value as i32,
                (_, _) => {}
            }
        }
        self.out.push(b'"');
        let written = match plan.shape {
            Shape::Duration => calendar::write_duration(self.out, seconds, nanos),
            Shape::Timestamp
            | Shape::Ordinary
            | Shape::Any
            | Shape::FieldMask
            | Shape::Struct
            | Shape::Value
            | Shape::ListValue
            | Shape::Wrapper => calendar::write_timestamp(self.out, seconds, nanos),
        };
        self.out.push(b'"');
        let message = "A time or duration is outside of its range.";
        Ok(written.ok_or_else(|| TranscodeError::new(ErrorKind::OutOfRange, None, message))?)
    }

    /// `a.b_c` and `d` to `"a.bC,d"`.
    pub(super) fn field_mask(&mut self, wire: &[u8]) -> Done {
        self.out.push(b'"');
        let mut first = true;
        let mut reader = Reader::new(wire);
        while let Some((number, raw)) = reader.field()? {
            let (1, Raw::Bytes(bytes)) = (number, raw) else { continue };
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.mask_path(text::utf8(bytes)?)?;
        }
        self.out.push(b'"');
        Ok(())
    }

    fn mask_path(&mut self, path: &str) -> Done {
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'_' => match bytes.next() {
                    Some(next) if next.is_ascii_lowercase() => self.out.push(next.to_ascii_uppercase()),
                    Some(_) | None => return Err(malformed("A field mask path has no JSON form.").into()),
                },
                b'a'..=b'z' | b'0'..=b'9' | b'.' => self.out.push(byte),
                _ => return Err(malformed("A field mask path has no JSON form.").into()),
            }
        }
        Ok(())
    }

    pub(super) fn wrapper(&mut self, plan: &'s MessagePlan, wire: &[u8], depth: usize) -> Done {
        let Some(field) = plan.fields.first() else {
            return Err(malformed("A wrapper has no field.").into());
        };
        match of_field(plan, wire, field.number)?.last() {
            Some(raw) => self.element(field, *raw, depth),
            None => {
                self.default_value(field);
                Ok(())
            }
        }
    }

    /// Struct and ListValue are their one field: a map, and a list.
    pub(super) fn only_repeated(&mut self, plan: &'s MessagePlan, wire: &[u8], depth: usize) -> Done {
        let Some(field) = plan.fields.first() else {
            return Err(malformed("A struct or list has no field.").into());
        };
        let raws = of_field(plan, wire, field.number)?;
        self.repeated_value(field, &raws, depth).map(drop)
    }

    pub(super) fn value(&mut self, plan: &'s MessagePlan, wire: &[u8], depth: usize) -> Done {
        let mut member: Option<(u32, Vec<Raw<'_>>)> = None;
        let mut reader = Reader::new(wire);
        while let Some((number, raw)) = reader.field()? {
            let known = plan.field_numbered(number).is_some_and(|index| fits(&plan.fields[index], raw));
            if !known || !VALUE_MEMBERS.contains(&number) {
                continue;
            }
            match &mut member {
                Some((same, raws)) if *same == number => raws.push(raw),
                Some(_) | None => member = Some((number, vec![raw])),
            }
        }
        let Some((number, raws)) = member else {
            self.out.extend_from_slice(b"null");
            return Ok(());
        };
        let (Some(index), Some(last)) = (plan.field_numbered(number), raws.last()) else { return Ok(()) };
        if let Raw::Fixed64(bits) = last
            && !f64::from_bits(*bits).is_finite()
        {
            return Err(malformed("A number in a Value is not finite; JSON cannot say it.").into());
        }
        self.merged(&plan.fields[index], &raws, *last, depth)
    }

    /// The type's own fields beside `@type`, or its JSON form under `value`. Of a type that is not in the pool the
    /// bytes are all there is to show.
    pub(super) fn any(&mut self, wire: &[u8], depth: usize) -> Done {
        let (mut url, mut inner): (&[u8], &[u8]) = (&[], &[]);
        let mut reader = Reader::new(wire);
        while let Some((number, raw)) = reader.field()? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => url = bytes,
                (2, Raw::Bytes(bytes)) => inner = bytes,
                (_, _) => {}
            }
        }
        let url = text::utf8(url)?;
        if url.is_empty() && inner.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        self.out.extend_from_slice(b"{\"@type\":");
        text::quoted(self.out, url);
        let id = self.schema.message(url.rsplit('/').next().unwrap_or_default());
        if depth + 1 > crate::MAX_DEPTH {
            return Err(
                TranscodeError::new(ErrorKind::TooDeep, None, "The message is nested too deep.").into()
            );
        }
        match id.map(|id| (id, self.schema.plan(id))) {
            Some((_, plan)) if !plan.boxed_in_any => self.members(plan, inner, depth + 1, false)?,
            Some((id, _)) => {
                self.out.extend_from_slice(b",\"value\":");
                self.message(id, inner, depth + 1)?;
            }
            None => {
                self.out.extend_from_slice(b",\"value\":");
                text::base64(self.out, inner);
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn of_field<'w>(plan: &MessagePlan, wire: &'w [u8], number: u32) -> Result<Vec<Raw<'w>>, crate::error::Fail> {
    let mut raws = Vec::new();
    let mut reader = Reader::new(wire);
    while let Some((other, raw)) = reader.field()? {
        let fitting = plan.field_numbered(other).is_some_and(|index| fits(&plan.fields[index], raw));
        if other == number && fitting {
            raws.push(raw);
        }
    }
    Ok(raws)
}
