//! The walk over a message's bytes: every field is checked as it passes, what is missing when the message ends. Merging must
//! not smuggle anything past a rule, so a message given twice is refused, and of a number given twice the last one counts.

use super::model::{
    Cardinality, FieldRules, Instant, Kind, MessageId, MessageRules, Range, Ruleset, ValueRules,
};
use super::path::Path;
use super::scalar::{Distinct, Scalar, distinct, packed_value, scalar, truncated};
use super::wire::{Malformed, Reader, Value};
use super::{MAX_DEPTH, MAX_VIOLATIONS, Violation};

const MALFORMED: &str = "is not encoded as its type demands";
const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// 0001-01-01 to 9999-12-31, as google.protobuf.Timestamp allows.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About ten thousand years either way, as google.protobuf.Duration allows.
const DURATION_SECONDS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;

pub(super) struct Walk<'r> {
    rules: &'r Ruleset,
    found: Vec<Violation>,
}

/// What the walk remembers of one message: how often each field came, and which items must differ.
struct Seen<'a> {
    counts: Vec<u32>,
    distinct: Vec<(usize, Distinct<'a>)>,
}

/// The walk ends early: the bytes make no sense, or enough violations are known.
struct Stop;

type Step<T = ()> = Result<T, Stop>;

impl<'r> Walk<'r> {
    pub(super) fn new(rules: &'r Ruleset) -> Self {
        Walk { rules, found: Vec::new() }
    }

    pub(super) fn message(&mut self, message: MessageId, bytes: &[u8]) {
        // Whoever stops the walk has told why.
        let _stopped: Step = self.walk(message, bytes, &Path::ROOT, 0);
    }

    pub(super) fn found(self) -> Vec<Violation> {
        self.found
    }

    fn walk(&mut self, message: MessageId, bytes: &[u8], path: &Path<'_>, depth: usize) -> Step {
        if depth > MAX_DEPTH {
            self.tell(path, "is nested too deep".to_owned())?;
            return Err(Stop);
        }
        let rules = self.rules;
        let rules = &rules.messages[message.0];
        let mut seen = Seen { counts: vec![0; rules.fields.len()], distinct: Vec::new() };
        let mut reader = Reader(bytes);
        while !reader.is_empty() {
            let Ok((number, value)) = reader.field() else { return self.malformed(path) };
            if let Ok(at) = rules.fields.binary_search_by_key(&number, |field| field.number) {
                self.field(&rules.fields[at], at, value, &mut seen, path, depth)?;
            }
        }
        self.end(rules, &mut seen, path)
    }

    fn field<'b>(
        &mut self,
        field: &FieldRules,
        at: usize,
        value: Value<'b>,
        seen: &mut Seen<'b>,
        path: &Path<'_>,
        depth: usize,
    ) -> Step {
        let here = path.field(&field.name);
        match &field.cardinality {
            Cardinality::One => self.one(field, at, value, seen, &here, depth),
            Cardinality::Many { unique, .. } => {
                let mut item = |walk: &mut Self, value| {
                    let here = here.index(seen.counts[at]);
                    seen.counts[at] += 1;
                    let scalar = walk.value(field.kind, &field.value, value, &here, depth)?;
                    seen.distinct
                        .extend(scalar.filter(|_| *unique).and_then(distinct).map(|item| (at, item)));
                    Ok(())
                };
                let Value::Bytes(packed) = value else { return item(self, value) };
                if !field.kind.is_packable() {
                    return item(self, value);
                }
                let mut reader = Reader(packed);
                while !reader.is_empty() {
                    let Ok(value) = packed_value(field.kind, &mut reader) else {
                        return self.malformed(&here);
                    };
                    item(self, value)?;
                }
                Ok(())
            }
            Cardinality::Map { key, keys, .. } => {
                let Value::Bytes(entry) = value else { return self.malformed(&here) };
                seen.counts[at] += 1;
                let key = self.entry(field, *key, keys, entry, &here, depth)?;
                seen.distinct.extend(distinct(key).map(|key| (at, key)));
                Ok(())
            }
        }
    }

    fn one<'b>(
        &mut self,
        field: &FieldRules,
        at: usize,
        value: Value<'b>,
        seen: &mut Seen<'b>,
        here: &Path<'_>,
        depth: usize,
    ) -> Step {
        if matches!(field.kind, Kind::Message(_)) && seen.counts[at] > 0 {
            return self.tell(here, "is given twice".to_owned());
        }
        if field.presence {
            seen.counts[at] = 1;
            return self.value(field.kind, &field.value, value, here, depth).map(drop);
        }
        // Zero on the wire is the same as absent: both are judged when the message ends.
        let Some(scalar) = self.decode(field.kind, value, here)? else { return Ok(()) };
        seen.counts[at] = u32::from(!scalar.is_zero());
        if seen.counts[at] == 0 { Ok(()) } else { self.judge(&field.value, scalar, here) }
    }

    /// A map's entry is a message of a key and a value; either may be absent and is zero then.
    fn entry<'b>(
        &mut self,
        field: &FieldRules,
        key_kind: Kind,
        keys: &ValueRules,
        entry: &'b [u8],
        here: &Path<'_>,
        depth: usize,
    ) -> Step<Scalar<'b>> {
        let (mut key, mut value) = (None, None);
        let mut reader = Reader(entry);
        while !reader.is_empty() {
            match reader.field() {
                Ok((1, found)) if key.is_none() => key = Some(found),
                Ok((2, found)) if value.is_none() => value = Some(found),
                Ok((1 | 2, _)) => return self.tell(here, "is given twice".to_owned()).and(Err(Stop)),
                Ok(_) => {}
                Err(Malformed) => return self.malformed(here).and(Err(Stop)),
            }
        }
        let key = self.decode(key_kind, key.unwrap_or_else(|| key_kind.zero()), here)?.ok_or(Stop)?;
        let inner = match key {
            Scalar::Text(text) => here.text_key(text),
            Scalar::Int(number) => here.number_key(number),
            Scalar::Float(_) | Scalar::Bytes(_) => *here,
        };
        self.judge(keys, key, &inner)?;
        self.value(field.kind, &field.value, value.unwrap_or_else(|| field.kind.zero()), &inner, depth)?;
        Ok(key)
    }

    /// Checks one value; gives back what can be compared, which a message cannot.
    fn value<'b>(
        &mut self,
        kind: Kind,
        rules: &ValueRules,
        value: Value<'b>,
        here: &Path<'_>,
        depth: usize,
    ) -> Step<Option<Scalar<'b>>> {
        let Kind::Message(message) = kind else {
            let scalar = self.decode(kind, value, here)?;
            if let Some(scalar) = scalar {
                self.judge(rules, scalar, here)?;
            }
            return Ok(scalar);
        };
        let Value::Bytes(bytes) = value else { return self.malformed(here).and(Err(Stop)) };
        self.walk(message, bytes, here, depth + 1)?;
        if let Some(instant) = self.rules.messages[message.0].instant {
            self.instant(instant, rules, bytes, here)?;
        }
        Ok(None)
    }

    fn instant(&mut self, instant: Instant, rules: &ValueRules, bytes: &[u8], here: &Path<'_>) -> Step {
        let (mut seconds, mut nanos) = (0_i64, 0_i32);
        let mut reader = Reader(bytes);
        while let Ok((number, value)) = reader.field() {
            match (number, value) {
                (1, Value::Varint(raw)) => seconds = raw.cast_signed(),
                (2, Value::Varint(raw)) => nanos = truncated(raw),
                _ => {}
            }
        }
        let fits = match instant {
            Instant::Timestamp => TIMESTAMP_SECONDS.contains(&seconds) && (0..=999_999_999).contains(&nanos),
            Instant::Duration => {
                let one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
                DURATION_SECONDS.contains(&seconds)
                    && (-999_999_999..=999_999_999).contains(&nanos)
                    && one_sign
            }
        };
        if !fits {
            return self.tell(here, "is outside the range of its type".to_owned());
        }
        self.judge(rules, Scalar::Int(i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos)), here)
    }

    fn decode<'b>(&mut self, kind: Kind, value: Value<'b>, here: &Path<'_>) -> Step<Option<Scalar<'b>>> {
        match scalar(kind, value) {
            Some(Scalar::Bytes(bytes)) if kind == Kind::String => match std::str::from_utf8(bytes) {
                // Postgres has no such text, so it would be a failure of ours further in.
                Ok(text) if text.contains('\0') => {
                    self.tell(here, "must not contain U+0000".to_owned()).map(|()| None)
                }
                Ok(text) => Ok(Some(Scalar::Text(text))),
                Err(_) => self.tell(here, "must be valid UTF-8".to_owned()).map(|()| None),
            },
            Some(scalar) => Ok(Some(scalar)),
            None => self.malformed(here).and(Err(Stop)),
        }
    }

    fn judge(&mut self, rules: &ValueRules, scalar: Scalar<'_>, here: &Path<'_>) -> Step {
        match rules.check(scalar) {
            Ok(()) => Ok(()),
            Err(description) => self.tell(here, description),
        }
    }

    fn end(&mut self, rules: &MessageRules, seen: &mut Seen<'_>, path: &Path<'_>) -> Step {
        for (at, field) in rules.fields.iter().enumerate() {
            self.end_of_field(field, at, seen, &path.field(&field.name))?;
        }
        for (at, oneof) in rules.oneofs.iter().enumerate().filter(|(_, oneof)| oneof.required) {
            let mut members =
                rules.fields.iter().zip(&seen.counts).filter(|(field, _)| field.oneof == Some(at));
            if !members.any(|(_, count)| *count > 0) {
                self.tell(&path.field(&oneof.name), "exactly one of its fields is required".to_owned())?;
            }
        }
        Ok(())
    }

    fn end_of_field(&mut self, field: &FieldRules, at: usize, seen: &mut Seen<'_>, here: &Path<'_>) -> Step {
        let count = seen.counts[at];
        if field.required && count == 0 {
            return self.tell(here, "is required".to_owned());
        }
        match &field.cardinality {
            Cardinality::One if count == 0 && !field.presence && !field.ignore_zero => {
                let zero = scalar(field.kind, field.kind.zero()).map(|zero| zero.as_text_of(field.kind));
                zero.map_or(Ok(()), |zero| self.judge(&field.value, zero, here))
            }
            Cardinality::One => Ok(()),
            Cardinality::Many { items, unique } => {
                self.count(*items, u64::from(count), field.ignore_zero, "items", here)?;
                if *unique && seen.distinct_of(at) < count as usize {
                    return self.tell(here, "its items must differ".to_owned());
                }
                Ok(())
            }
            Cardinality::Map { pairs, .. } => {
                let distinct = seen.distinct_of(at) as u64;
                self.count(*pairs, distinct, field.ignore_zero, "pairs", here)
            }
        }
    }

    fn count(&mut self, allowed: Range, count: u64, ignore_zero: bool, unit: &str, here: &Path<'_>) -> Step {
        if ignore_zero && count == 0 {
            return Ok(());
        }
        allowed.check(count, unit).or_else(|description| self.tell(here, description))
    }

    fn malformed(&mut self, here: &Path<'_>) -> Step {
        self.tell(here, MALFORMED.to_owned())?;
        Err(Stop)
    }

    fn tell(&mut self, here: &Path<'_>, description: String) -> Step {
        self.found.push(Violation { path: here.to_string(), description });
        if self.found.len() < MAX_VIOLATIONS { Ok(()) } else { Err(Stop) }
    }
}

impl Seen<'_> {
    fn distinct_of(&mut self, field: usize) -> usize {
        self.distinct.sort_unstable();
        self.distinct.dedup();
        self.distinct.iter().filter(|(at, _)| *at == field).count()
    }
}
