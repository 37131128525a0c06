//! A message of a type with something in every field, as canonical JSON. The same type gives the same message.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// Messages in messages in messages: deep enough for every rule.
const DEPTH: usize = 4;

/// A filled message; of a oneof its first member.
pub fn message(descriptor: &MessageDescriptor) -> Value {
    of(descriptor, DEPTH)
}

fn of(descriptor: &MessageDescriptor, depth: usize) -> Value {
    if let Some(value) = well_known(descriptor.full_name()) {
        return value;
    }
    let mut object = Map::new();
    if depth == 0 {
        return Value::Object(object);
    }
    for field in descriptor.fields() {
        if is_later_member(&field) {
            continue;
        }
        let value = one(&field, depth - 1);
        let value = if field.is_map() {
            json!({"k": value})
        } else if field.is_list() {
            json!([value])
        } else {
            value
        };
        object.insert(field.json_name().to_owned(), value);
    }
    Value::Object(object)
}

/// Not the first of its oneof.
fn is_later_member(field: &FieldDescriptor) -> bool {
    let first = field.containing_oneof().and_then(|oneof| oneof.fields().next());
    first.is_some_and(|first| first.number() != field.number())
}

fn one(field: &FieldDescriptor, depth: usize) -> Value {
    match field.kind() {
        Kind::Double | Kind::Float => json!(1.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => json!(7),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => json!("7"),
        Kind::Bool => json!(true),
        Kind::String => json!("s1"),
        Kind::Bytes => json!("++//AQ=="),
        Kind::Enum(kind) => {
            let named =
                kind.values().find(|value| value.number() != 0).unwrap_or_else(|| kind.default_value());
            json!(named.name())
        }
        Kind::Message(entry) if field.is_map() => one(&entry.map_entry_value_field(), depth),
        Kind::Message(inner) => of(&inner, depth),
    }
}

fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!("2026-01-02T03:04:05.600Z"),
        "google.protobuf.Duration" => json!("1.500s"),
        "google.protobuf.FieldMask" => json!("title,onHand"),
        "google.protobuf.Struct" => json!({"a": 1.0}),
        _ => return None,
    })
}
