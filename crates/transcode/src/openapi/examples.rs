//! The smallest request a method takes, made from the rules of its fields: what must be there, each with a value its rule
//! allows. Made anew for every document, always the same; where no value is found there is no example.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Proto};
use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value, json};

use super::required;
use super::rules::{flag, get, of_field, repeated_items};

/// Messages within messages.
const MAX_DEPTH: usize = 6;
/// Characters in a repetition that may be longer or shorter.
const USUAL_REPEATS: u32 = 4;
/// An example longer than this shows nothing.
const MAX_BYTES: usize = 1024;
const UUID: &str = "0190b2c4-7e1f-7000-8000-000000000001";
const TIMESTAMP: &str = "2030-01-31T12:00:00Z";
const DURATION: &str = "60s";

/// A body with what is required and nothing else; `None` when nothing is, or a value is not found.
pub(super) fn of(message: &MessageDescriptor, bound: &[&str]) -> Option<Value> {
    object(message, bound, 0).filter(|members| !members.is_empty()).map(Value::Object)
}

/// A value for one field, by its rules.
pub(super) fn field(field: &FieldDescriptor) -> Option<Value> {
    value(field, 0)
}

fn object(message: &MessageDescriptor, bound: &[&str], depth: usize) -> Option<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut members = Map::new();
    for field in message.fields().filter(|field| !bound.contains(&field.name()) && required::field(field)) {
        members.insert(field.json_name().to_owned(), value(&field, depth)?);
    }
    for oneof in message.oneofs().filter(required::oneof) {
        let (name, value) =
            oneof.fields().find_map(|field| Some((field.json_name().to_owned(), value(&field, depth)?)))?;
        members.insert(name, value);
    }
    Some(members)
}

fn value(field: &FieldDescriptor, depth: usize) -> Option<Value> {
    let rules = of_field(field);
    if field.is_map() {
        return None;
    }
    if field.is_list() {
        let items = rules.as_ref().and_then(repeated_items);
        return Some(json!([one(field, items.as_ref(), depth)?]));
    }
    one(field, rules.as_ref(), depth)
}

fn one(field: &FieldDescriptor, rules: Option<&DynamicMessage>, depth: usize) -> Option<Value> {
    let of_kind = |name: &str| rules.and_then(|rules| get(rules, name)?.as_message().cloned());
    match field.kind() {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => Some(TIMESTAMP.into()),
            "google.protobuf.Duration" => Some(DURATION.into()),
            name if name.starts_with("google.protobuf.") => None,
            _ => object(&message, &[], depth + 1).map(Value::Object),
        },
        Kind::Enum(values) => {
            values.values().find(|value| value.number() != 0).map(|value| value.name().into())
        }
        Kind::String => text(field.name(), of_kind("string").as_ref()).map(Value::from),
        Kind::Bool => Some(true.into()),
        Kind::Bytes => bytes(of_kind("bytes").as_ref()).map(Value::from),
        Kind::Double | Kind::Float => Some(json!(1.5)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => whole(rules, "int32").map(Value::from),
        Kind::Uint32 | Kind::Fixed32 => whole(rules, "uint32").map(Value::from),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            whole(rules, "int64").map(|number| number.to_string().into())
        }
        Kind::Uint64 | Kind::Fixed64 => whole(rules, "uint64").map(|number| number.to_string().into()),
    }
}

/// As many zeros as the rule asks for.
fn bytes(rules: Option<&DynamicMessage>) -> Option<String> {
    let length = |name: &str| rules.and_then(|rules| get(rules, name)?.as_u64());
    let count = length("len").or(length("min_len")).unwrap_or(1).max(1);
    Some(STANDARD.encode(vec![0; usize::try_from(count).ok().filter(|count| *count <= MAX_BYTES)?]))
}

/// One, or the nearest number the rules allow.
#[expect(clippy::cast_possible_truncation, reason = "a bound beyond an i64 gives no example")]
fn whole(rules: Option<&DynamicMessage>, kind: &str) -> Option<i64> {
    let Some(rules) = rules.and_then(|rules| get(rules, kind)?.as_message().cloned()) else { return Some(1) };
    let bound = |name: &str| get(&rules, name).as_ref().and_then(required::number).map(|bound| bound as i64);
    let least = bound("gte").or(bound("gt").map(|bound| bound + 1)).unwrap_or(i64::MIN);
    let most = bound("lte").or(bound("lt").map(|bound| bound - 1)).unwrap_or(i64::MAX);
    (least <= most).then(|| 1.clamp(least, most))
}

/// A text of the rule's shape: one that reads well where it fits, else the smallest the pattern matches.
fn text(name: &str, rules: Option<&DynamicMessage>) -> Option<String> {
    let words = name.trim_end_matches("_ids").trim_end_matches("_id").replace('_', "-");
    let Some(rules) = rules else { return Some(words) };
    if flag(rules, "uuid") {
        return Some(UUID.to_owned());
    }
    if let Some(example) = get(rules, "example").and_then(|list| list.as_list()?.first().cloned()) {
        return example.as_str().map(str::to_owned);
    }
    let length = |name: &str| get(rules, name).as_ref().and_then(Proto::as_u64);
    let fits = |text: &str| {
        let count = text.chars().count() as u64;
        length("min_len").is_none_or(|least| count >= least)
            && length("max_len").is_none_or(|most| count <= most)
    };
    let Some(pattern) = get(rules, "pattern").and_then(|pattern| pattern.as_str().map(str::to_owned)) else {
        return fits(&words).then_some(words);
    };
    let matcher = Regex::new(&pattern).ok()?;
    let made = regex_syntax::parse(&pattern).ok().and_then(|hir| smallest(&hir));
    let candidates = [Some(format!("{words}-1")), Some(words), Some("EUR".to_owned()), made];
    candidates.into_iter().flatten().find(|text| matcher.is_match(text) && fits(text))
}

/// A short text that a pattern matches.
fn smallest(pattern: &Hir) -> Option<String> {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        HirKind::Class(Class::Unicode(class)) => {
            let has = |wanted: char| {
                class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&wanted))
            };
            let usual = ['a', 'A', '1'].into_iter().find(|wanted| has(*wanted));
            usual.or_else(|| class.ranges().first().map(|range| range.start())).map(String::from)
        }
        HirKind::Class(Class::Bytes(_)) => None,
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            let times = repetition.min.max(USUAL_REPEATS.min(most));
            Some(smallest(&repetition.sub)?.repeat(usize::try_from(times).ok()?))
        }
        HirKind::Capture(capture) => smallest(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(smallest).collect(),
        HirKind::Alternation(choices) => choices.first().and_then(smallest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_a_pattern_matches_it() {
        for pattern in
            ["^[A-Z]{3}$", "^tok_[A-Za-z0-9_]{1,120}$", "^(a|b)?x+$", "^[!-~]{1,64}$", "^[0-9a-f]{64}$"]
        {
            let made = smallest(&regex_syntax::parse(pattern).unwrap()).unwrap();
            assert!(Regex::new(pattern).unwrap().is_match(&made), "{pattern}: {made}");
        }
    }
}
