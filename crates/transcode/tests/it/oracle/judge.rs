//! prost-reflect's word: what it reads, and what it writes.

use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};

/// What the oracle says where it refuses what we take on purpose (differences.rs).
const TAKEN_ON_PURPOSE: [&str; 6] = [
    "invalid digit found in string",
    "invalid type: floating point",
    "invalid rfc3339 timestamp",
    "expected '@type' field",
    "expected null",
    "EOF while parsing a value at line",
];

/// Whether the oracle refused what is ours to take.
pub fn taken_on_purpose(refusal: &serde_json::Error) -> bool {
    let refusal = refusal.to_string();
    TAKEN_ON_PURPOSE.iter().any(|known| refusal.contains(known))
}

/// NaN is not itself, so messages are compared as JSON, where it is a word.
pub fn as_json(message: &DynamicMessage, defaults: bool) -> serde_json::Value {
    serde_json::from_str(&as_text(message, defaults, false)).unwrap()
}

pub fn as_text(message: &DynamicMessage, defaults: bool, pretty: bool) -> String {
    let options = SerializeOptions::new().skip_default_fields(!defaults);
    let mut text = Vec::new();
    if pretty {
        message.serialize_with_options(&mut serde_json::Serializer::pretty(&mut text), &options).unwrap();
    } else {
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options).unwrap();
    }
    String::from_utf8(text).unwrap()
}

/// The oracle reads floats through serde_json, which may miss the last digit.
pub fn tame(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::Number(number) => Json::from(number.as_f64().unwrap() as f32),
        Json::Array(items) => items.into_iter().map(tame).collect(),
        Json::Object(members) => members.into_iter().map(|(key, value)| (key, tame(value))).collect(),
        plain @ (Json::Null | Json::Bool(_) | Json::String(_)) => plain,
    }
}

pub fn oracle_reads(descriptor: &MessageDescriptor, json: &str) -> Result<DynamicMessage, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut deserializer, &options)?;
    deserializer.end().map(|()| message)
}
