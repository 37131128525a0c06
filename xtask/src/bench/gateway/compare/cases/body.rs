//! Bodies: JSON that is right, JSON that is nearly right, and what is no JSON.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{Base, Case, Reply, find};
use crate::bench::gateway::compare::sample;

type Wanted = fn(&FieldDescriptor) -> bool;

/// Raw JSON for the first field of a kind, wherever in the body it is.
const SMALL: [(&str, &str); 10] = [
    ("body: a number in quotes", r#""7""#),
    ("body: a number with a point", "7.0"),
    ("body: a number with an exponent", "7e0"),
    ("body: half a number", "7.5"),
    ("body: a negative number", "-1"),
    ("body: a number beyond its type", "4294967296"),
    ("body: a number with a zero before it", "07"),
    ("body: an empty string for a number", r#""""#),
    ("body: a number in quotes with a space", r#"" 7""#),
    ("body: a bool for a number", "true"),
];
const LARGE: [(&str, &str); 4] = [
    ("body: a 64-bit number without quotes", "7"),
    ("body: a 64-bit number in quotes with an exponent", r#""1e1""#),
    ("body: a 64-bit number beyond 2^53, without quotes", "9007199254740993"),
    ("body: a 64-bit number beyond its type", r#""9223372036854775808""#),
];
const BOOLS: [(&str, &str); 2] =
    [("body: a bool in quotes", r#""true""#), ("body: a number for a bool", "1")];
const STRINGS: [(&str, &str); 7] = [
    ("body: a number for a string", "7"),
    ("body: a list for a string", "[]"),
    ("body: a zero byte, escaped", r#""a\u0000b""#),
    ("body: half a surrogate pair, escaped", r#""\ud800""#),
    ("body: a surrogate pair, escaped", r#""\ud83d\ude00""#),
    ("body: a line break in a string", "\"a\nb\""),
    ("body: an unknown escape", r#""\x""#),
];
const ENUMS: [(&str, &str); 6] = [
    ("body: an enum by number", "1"),
    ("body: an enum by an unknown number", "99"),
    ("body: an enum by a number in quotes", r#""1""#),
    ("body: an unknown enum", r#""NO_SUCH""#),
    ("body: an empty enum", r#""""#),
    ("body: a bool for an enum", "true"),
];
const BYTES: [(&str, &str); 6] = [
    ("body: base64 in the other alphabet", r#""--__AQ==""#),
    ("body: base64 without its end", r#""++//AQ""#),
    ("body: base64 in both alphabets", r#""+-/_AQ==""#),
    ("body: base64 with bits left over", r#""AR==""#),
    ("body: base64 with a line break", r#""++//\nAQ==""#),
    ("body: no base64", r#""*""#),
];
const TIMES: [(&str, &str); 8] = [
    ("body: a time with an offset", r#""2026-01-02T03:04:05+02:00""#),
    ("body: a time without a zone", r#""2026-01-02T03:04:05""#),
    ("body: a time in small letters", r#""2026-01-02t03:04:05z""#),
    ("body: a time with ten digits after the point", r#""2026-01-02T03:04:05.0123456789Z""#),
    ("body: a leap second", r#""2016-12-31T23:59:60Z""#),
    ("body: a day that is none", r#""2026-02-30T00:00:00Z""#),
    ("body: a time as an object", r#"{"seconds":1}"#),
    ("body: a time as a number", "1"),
];
const MASKS: [(&str, &str); 3] = [
    ("body: a field mask with underscores", r#""on_hand""#),
    ("body: an empty field mask", r#""""#),
    ("body: a field mask as an object", r#"{"paths":["title"]}"#),
];
const MESSAGES: [(&str, &str); 3] = [
    ("body: a string for a message", r#""a""#),
    ("body: a list for a message", "[]"),
    ("body: an unknown field of a message inside", r#"{"nosuch":1}"#),
];
/// In the place of a whole list.
const LISTS: [(&str, &str); 4] = [
    ("body: an object for a list", "{}"),
    ("body: null in a list", "[null]"),
    ("body: a list in a list", "[[]]"),
    ("body: an empty list", "[]"),
];
/// In the place of the whole body.
const WHOLE: [(&str, &str); 8] = [
    ("body: nothing but a space", " "),
    ("body: an empty object", "{}"),
    ("body: null", "null"),
    ("body: a list", "[]"),
    ("body: a string", r#""a""#),
    ("body: single quotes", "{'a':1}"),
    ("body: names without quotes", "{a:1}"),
    ("body: no JSON", "a=1"),
];
/// Stands for raw JSON until the body is text.
const PLACE: &str = "@raw@";

pub fn cases(base: &Base<'_>) -> Vec<Case> {
    let Some(fields) = &base.body else { return vec![empty(base)] };
    let with = |name, body: String| Case { body: Some(body), ..base.good(name) };
    let whole = Value::Object(fields.clone());
    let text = whole.to_string();
    let mut cases = vec![empty(base), Case { body: None, ..base.good("body: missing") }];
    cases.extend(WHOLE.iter().map(|(name, body)| with(name, (*body).to_owned())));
    for (wanted, values) in KINDS {
        if let Some(place) = find(&base.input, fields, &wanted) {
            cases.extend(values.iter().map(|(name, raw)| with(name, put(&whole, &place, raw))));
        }
    }
    if let Some(list) = base.input.fields().find(|field| field.is_list()) {
        let place = format!("/{}", list.json_name());
        cases.extend(LISTS.iter().map(|(name, raw)| with(name, put(&whole, &place, raw))));
    }
    let opened = text.trim_start_matches('{');
    let first = fields.iter().next().map(|(key, value)| format!("\"{key}\":{value},"));
    let nulls = fields.keys().map(|key| (key.clone(), Value::Null)).collect();
    cases.extend([
        with("body: an unknown field", format!("{{\"nosuch\":1,{opened}").replace(",}", "}")),
        with("body: null for every field", Value::Object(nulls).to_string()),
        with("body: original names of fields", original(&base.input, &whole).to_string()),
        with("body: a byte order mark", format!("\u{feff}{text}")),
        with("body: something follows", format!("{text}x")),
        with("body: a second object follows", format!("{text}{{}}")),
        with("body: a space follows", format!("{text} \n")),
        with("body: a comment", format!("{{/* c */{opened}")),
    ]);
    if let Some(first) = first {
        cases.extend([
            with("body: cut short", text[..text.len() - 1].to_owned()),
            with("body: a comma at the end", format!("{},}}", &text[..text.len() - 1])),
            with("body: the same field twice", format!("{{{first}{opened}")),
        ]);
    }
    cases.extend(oneof(base, fields).map(|body| with("body: two members of a oneof", body)));
    cases.extend(bound(base, fields).map(|body| with("body: a field the path has too", body)));
    cases
}

const KINDS: [(Wanted, &[(&str, &str)]); 9] = [
    (|field| matches!(field.kind(), Kind::Int32 | Kind::Uint32), &SMALL),
    (|field| matches!(field.kind(), Kind::Int64 | Kind::Uint64), &LARGE),
    (|field| field.kind() == Kind::Bool, &BOOLS),
    (|field| field.kind() == Kind::String, &STRINGS),
    (|field| field.kind().as_enum().is_some(), &ENUMS),
    (|field| field.kind() == Kind::Bytes, &BYTES),
    (|field| is(field, "google.protobuf.Timestamp"), &TIMES),
    (|field| is(field, "google.protobuf.FieldMask"), &MASKS),
    (
        |field| field.kind().as_message().is_some_and(|kind| kind.full_name().starts_with("stampede")),
        &MESSAGES,
    ),
];

fn is(field: &FieldDescriptor, name: &str) -> bool {
    field.kind().as_message().is_some_and(|kind| kind.full_name() == name)
}

fn empty(base: &Base<'_>) -> Case {
    Case { reply: Reply::Empty, ..base.good("answer: a message without a field set") }
}

/// Raw JSON in the place of a value.
fn put(whole: &Value, place: &str, raw: &str) -> String {
    let mut changed = whole.clone();
    if let Some(value) = changed.pointer_mut(place) {
        *value = Value::String(PLACE.to_owned());
    }
    changed.to_string().replace(&format!("\"{PLACE}\""), raw)
}

/// The same with the names of the contract's source.
fn original(message: &MessageDescriptor, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let renamed = fields.iter().map(|(key, value)| match message.get_field_by_json_name(key) {
                Some(field) => {
                    let kind = field.kind();
                    let inner = kind.as_message().filter(|_| !field.is_map());
                    let value = inner.map_or_else(|| value.clone(), |inner| original(inner, value));
                    (field.name().to_owned(), value)
                }
                None => (key.clone(), value.clone()),
            });
            Value::Object(renamed.collect())
        }
        Value::Array(items) => items.iter().map(|item| original(message, item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// With the second member of the first oneof that has one.
fn oneof(base: &Base<'_>, fields: &Map<String, Value>) -> Option<String> {
    let second = base.input.oneofs().find_map(|oneof| oneof.fields().nth(1))?;
    let kind = second.kind();
    let value = kind.as_message().map_or(Value::from("a"), sample::message);
    let mut fields = fields.clone();
    fields.insert(second.json_name().to_owned(), value);
    Some(Value::Object(fields).to_string())
}

/// With another value for the first variable of the path.
fn bound(base: &Base<'_>, fields: &Map<String, Value>) -> Option<String> {
    let variable = super::variables(base.route.template()).into_iter().find(|name| !name.contains('.'))?;
    let field = base.input.get_field_by_name(&variable)?;
    let mut fields = fields.clone();
    fields.insert(field.json_name().to_owned(), Value::from("other"));
    Some(Value::Object(fields).to_string())
}
