//! Messages whose fields lie in any order: each field's values are gathered, then written by the rules of the wire:
//! the last scalar wins, messages merge, lists join, and of a oneof the last member stays.

use super::decode::{Decoder, Done, Stop, fits, is_zero};
use crate::error::Fail;
use crate::plan::{FieldPlan, MessagePlan, Repetition};
use crate::schema::MessageId;
use crate::wire::{Raw, Reader};

impl<'s> Decoder<'s, '_> {
    pub(super) fn gathered(&mut self, plan: &'s MessagePlan, wire: &[u8], depth: usize, first: bool) -> Done {
        let (mut next, mut first) = (0, first);
        for (index, raws) in gather(plan, wire)? {
            let field = &plan.fields[index];
            self.defaults(&plan.fields[next..index], &mut first);
            next = index + 1;
            let written = if field.repetition == Repetition::Once {
                self.gathered_single(field, &raws, depth, &mut first)
            } else {
                self.repeated(field, &raws, depth, &mut first)
            };
            written.map_err(|stop| stop.inside(field))?;
        }
        self.defaults(&plan.fields[next..], &mut first);
        Ok(())
    }

    fn gathered_single(
        &mut self,
        field: &'s FieldPlan,
        raws: &[Raw<'_>],
        depth: usize,
        first: &mut bool,
    ) -> Done {
        let Some(last) = raws.last() else { return Ok(()) };
        if !self.options.emit_defaults && field.implicit && is_zero(*last) {
            return Ok(());
        }
        self.key(field, first);
        self.merged(field, raws, *last, depth)
    }

    /// A singular value out of all its occurrences.
    pub(super) fn merged(
        &mut self,
        field: &FieldPlan,
        raws: &[Raw<'_>],
        last: Raw<'_>,
        depth: usize,
    ) -> Done {
        match field.kind.message() {
            Some(id) if raws.len() > 1 => self.message(id, &joined(raws), depth + 1),
            Some(_) | None => self.element(field, last, depth),
        }
    }

    /// `response_body`: only this field's value.
    pub(super) fn only_field(&mut self, id: MessageId, index: usize, wire: &[u8]) -> Done {
        let plan = self.schema.plan(id);
        let field = &plan.fields[index];
        let found = gather(plan, wire)?.into_iter().find(|(other, _)| *other == index);
        let raws = found.map(|(_, raws)| raws).unwrap_or_default();
        let Some(last) = raws.last() else {
            self.default_value(field);
            return Ok(());
        };
        let written = if field.repetition == Repetition::Once {
            self.merged(field, &raws, *last, 0)
        } else {
            self.repeated_value(field, &raws, 0).map(drop)
        };
        written.map_err(|stop: Stop| stop.inside(field))
    }
}

/// The fields that are there, by rising number, each with what is left of its values.
fn gather<'w>(plan: &MessagePlan, wire: &'w [u8]) -> Result<Vec<(usize, Vec<Raw<'w>>)>, Fail> {
    let mut found: Vec<(usize, Raw<'w>)> = Vec::new();
    // Where the member set last of each oneof begins.
    let mut members: Vec<Option<(usize, usize)>> = vec![None; plan.oneofs.len()];
    let mut reader = Reader::new(wire);
    while let Some((number, raw)) = reader.field()? {
        let Some(index) = plan.field_numbered(number).filter(|index| fits(&plan.fields[*index], raw)) else {
            continue;
        };
        if let Some(oneof) = plan.fields[index].oneof {
            match members[oneof] {
                Some((member, _)) if member == index => {}
                Some(_) | None => members[oneof] = Some((index, found.len())),
            }
        }
        found.push((index, raw));
    }
    let mut gathered: Vec<(usize, usize, Raw<'w>)> = Vec::with_capacity(found.len());
    for (position, (index, raw)) in found.into_iter().enumerate() {
        let overtaken = plan.fields[index]
            .oneof
            .and_then(|oneof| members[oneof])
            .is_some_and(|(member, since)| member != index || position < since);
        if !overtaken {
            gathered.push((index, position, raw));
        }
    }
    gathered.sort_by_key(|(index, position, _)| (*index, *position));
    let mut fields: Vec<(usize, Vec<Raw<'w>>)> = Vec::new();
    for (index, _, raw) in gathered {
        match fields.last_mut() {
            Some((last, raws)) if *last == index => raws.push(raw),
            Some(_) | None => fields.push((index, vec![raw])),
        }
    }
    Ok(fields)
}

/// Messages merge by standing one after the other.
pub(super) fn joined(raws: &[Raw<'_>]) -> Vec<u8> {
    raws.iter().fold(Vec::new(), |mut bytes, raw| {
        if let Raw::Bytes(inner) | Raw::Group(inner) = raw {
            bytes.extend_from_slice(inner);
        }
        bytes
    })
}
