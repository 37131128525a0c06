//! Queries, of routes that take no body and of routes that do.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{Base, Case};

/// Values for the first field of a kind.
const NUMBERS: [(&str, &str); 8] = [
    ("query: a number with a point", "7.0"),
    ("query: a number with an exponent", "7e0"),
    ("query: a number with a plus", "%2B7"),
    ("query: a number with a space", "%207"),
    ("query: a number beyond its type", "99999999999999999999"),
    ("query: a negative number", "-7"),
    ("query: no number", "seven"),
    ("query: an empty number", ""),
];
const BOOLS: [(&str, &str); 4] = [
    ("query: a bool as 1", "1"),
    ("query: a bool in capitals", "TRUE"),
    ("query: an empty bool", ""),
    ("query: no bool", "yes"),
];
const ENUMS: [(&str, &str); 4] = [
    ("query: an enum by number", "1"),
    ("query: an enum by an unknown number", "99"),
    ("query: an unknown enum", "NO_SUCH"),
    ("query: an empty enum", ""),
];
const TIMES: [(&str, &str); 3] = [
    ("query: a time with an offset", "2026-01-02T03:04:05%2B02:00"),
    ("query: a time with a raw plus", "2026-01-02T03:04:05+02:00"),
    ("query: no time", "yesterday"),
];
const STRINGS: [(&str, &str); 6] = [
    ("query: a plus", "a+b"),
    ("query: a space, encoded", "a%20b"),
    ("query: letters beyond ASCII, encoded", "%C3%A9"),
    ("query: encoded bytes that are no UTF-8", "%FF"),
    ("query: a broken escape", "a%zz"),
    ("query: an equals sign", "a=b"),
];

/// Everything that can stand in a query, by name.
pub fn of(message: &MessageDescriptor, fields: &Map<String, Value>) -> String {
    let pair = |field: &FieldDescriptor| {
        let value = fields.get(field.json_name())?;
        let value = value.as_array().map_or(Some(value), |items| items.first())?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(format!("{}={}", field.json_name(), text.replace('+', "%2B")))
    };
    message.fields().filter_map(|field| pair(&field)).collect::<Vec<_>>().join("&")
}

pub fn cases(base: &Base<'_>) -> Vec<Case> {
    let with = |name, query: &str| base.to(name, format!("{}?{query}", base.path));
    let mut cases = vec![
        with("query: an unknown parameter", "nosuch=1"),
        with("query: a parameter without a name", "=1"),
        with("query: only ampersands", "&&"),
    ];
    if base.body.is_some() {
        let field = base.input.fields().find(|field| field.kind() == Kind::String && !field.is_list());
        cases.extend(
            field.map(|field| with("query: a field of the body", &format!("{}=q", field.json_name()))),
        );
        return cases;
    }
    cases.push(Case { body: Some("{}".into()), ..base.good("body: an empty object where none is taken") });
    cases.push(Case { body: Some(r#"{"a":1}"#.into()), ..base.good("body: something where none is taken") });
    let bound = |field: &FieldDescriptor| base.route.template().contains(&format!("{{{}", field.name()));
    let fields: Vec<_> = base.input.fields().filter(|field| !bound(field)).collect();
    for (kind, values) in [
        (is_number as fn(&FieldDescriptor) -> bool, &NUMBERS[..]),
        (|field| field.kind() == Kind::Bool, &BOOLS),
        (|field| field.kind().as_enum().is_some(), &ENUMS),
        (is_time, &TIMES),
        (|field| field.kind() == Kind::String, &STRINGS),
    ] {
        let Some(field) = fields.iter().find(|field| kind(field)) else { continue };
        cases
            .extend(values.iter().map(|(name, value)| with(name, &format!("{}={value}", field.json_name()))));
    }
    let named = |wanted: &dyn Fn(&FieldDescriptor) -> bool| {
        fields.iter().find(|field| wanted(field)).map(|field| field.name().to_owned())
    };
    let text = |field: &FieldDescriptor| field.kind() == Kind::String;
    if let Some(name) = named(&|field| text(field) && field.is_list()) {
        cases.push(with("query: a list, repeated", &format!("{name}=a&{name}=b")));
        cases.push(with("query: a list with a comma", &format!("{name}=a,b")));
    }
    if let Some(name) = named(&|field| text(field) && !field.is_list()) {
        cases.push(with("query: a single field, twice", &format!("{name}=a&{name}=b")));
        cases.push(with("query: a field without a value", &name));
        cases.push(with("query: into a field that is no message", &format!("{name}.a=1")));
    }
    if let Some(name) = named(&|field| field.name() != field.json_name() && text(field)) {
        cases.push(with("query: the original name of a field", &format!("{name}=a")));
    }
    if let Some(name) = named(&|field| field.kind().as_message().is_some() && !is_time(field)) {
        cases.push(with("query: a message as text", &format!("{name}=a")));
    }
    cases
}

fn is_number(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64)
}

fn is_time(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|kind| kind.full_name() == "google.protobuf.Timestamp")
}
