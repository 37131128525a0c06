//! Maps: entries to members. The wire may carry a key twice, JSON may not: the last one wins.

use std::collections::HashMap;

use super::decode::{Decoder, Stop, fits};
use super::text;
use crate::error::Fail;
use crate::plan::{FieldPlan, Kind, MessagePlan};
use crate::wire::{Raw, Reader};

impl<'s> Decoder<'s, '_> {
    /// Whether the map is empty.
    pub(super) fn map(&mut self, field: &'s FieldPlan, raws: &[Raw<'_>], depth: usize) -> Result<bool, Stop> {
        let entry = field.kind.message().map(|id| self.schema.plan(id));
        let Some((plan, [_, value_field])) = entry.map(|plan| (plan, plan.fields.as_slice())) else {
            return Err(crate::wire::malformed("A map's entry has no key and value.").into());
        };
        let mut entries: Vec<(String, Vec<Raw<'_>>)> = Vec::with_capacity(raws.len());
        let mut places: HashMap<String, usize> = HashMap::with_capacity(raws.len());
        for raw in raws {
            let Raw::Bytes(bytes) = raw else { continue };
            let (key, values) = read_entry(plan, bytes)?;
            match places.get(&key) {
                Some(place) => entries[*place].1 = values,
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, values));
                }
            }
        }
        self.out.push(b'{');
        for (index, (key, values)) in entries.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            text::quoted(self.out, key);
            self.out.push(b':');
            self.map_value(value_field, values, depth).map_err(|stop| match stop {
                Stop::Failed(fail) => Stop::Failed(fail.inside_key(key)),
                Stop::OutOfOrder => Stop::OutOfOrder,
            })?;
        }
        self.out.push(b'}');
        Ok(entries.is_empty())
    }

    fn map_value(&mut self, field: &'s FieldPlan, raws: &[Raw<'_>], depth: usize) -> Result<(), Stop> {
        // The entry is a message too: its value is two levels down.
        match (raws.last(), field.kind) {
            (Some(last), _) => self.merged(field, raws, *last, depth + 1),
            (None, Kind::Message(id) | Kind::Group(id)) => self.message(id, &[], depth + 2),
            (None, _) => {
                self.default_value(field);
                Ok(())
            }
        }
    }
}

fn read_entry<'w>(plan: &MessagePlan, wire: &'w [u8]) -> Result<(String, Vec<Raw<'w>>), Fail> {
    let (mut key, mut values) = (None, Vec::new());
    let mut reader = Reader::new(wire);
    while let Some((number, raw)) = reader.field()? {
        match plan.field_numbered(number) {
            Some(0) if fits(&plan.fields[0], raw) => key = Some(raw),
            Some(1) if fits(&plan.fields[1], raw) => values.push(raw),
            Some(_) | None => {}
        }
    }
    Ok((key_text(plan.fields[0].kind, key)?, values))
}

fn key_text(kind: Kind, raw: Option<Raw<'_>>) -> Result<String, Fail> {
    match (kind, raw) {
        (Kind::String, None) => Ok(String::new()),
        (Kind::String, Some(Raw::Bytes(bytes))) => Ok(text::utf8(bytes)?.to_owned()),
        (Kind::Bool, None) => Ok("false".into()),
        (Kind::Bool, Some(Raw::Varint(value))) => Ok((value != 0).to_string()),
        (_, None) => Ok("0".into()),
        (kind, Some(raw)) => {
            let mut digits = Vec::new();
            text::integer(&mut digits, kind, raw)?;
            Ok(digits.into_iter().map(char::from).collect())
        }
    }
}
