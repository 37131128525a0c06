//! Random messages and random bytes, with prost-reflect as the judge of what they mean.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, SerializeOptions,
    Value,
};
use stampede_transcode::ResponseOptions;

use crate::support::{POOL, ROUTER, decode, schema, to_json, to_wire};

const MESSAGES: [&str; 6] = [
    "test.rich.v1.Scalars",
    "test.rich.v1.Lists",
    "test.rich.v1.Maps",
    "test.rich.v1.Tree",
    "test.rich.v1.Known",
    "test.shop.v1.CreateOrderRequest",
];

/// A message spelt out by a stream of random bytes: simple, and it shrinks well.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        let [first, rest @ ..] = self.0 else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 6 {
            0 => 0,
            1 => u64::from(self.byte()),
            2 => u64::MAX,
            3 => 1 << 63,
            4 => i64::MAX as u64,
            _ => u64::from_le_bytes([(); 8].map(|()| self.byte())),
        }
    }

    fn text(&mut self) -> String {
        let alphabet = ['a', '"', '\\', '\n', '\u{1}', 'é', '中', '😀', ' ', '/', '\u{7f}', '\u{2028}'];
        (0..self.byte() % 6).map(|_| alphabet[usize::from(self.byte()) % alphabet.len()]).collect()
    }

    fn message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                message.set_field_by_number(1, Value::I64((self.number() % 253_402_300_799) as i64));
                message.set_field_by_number(2, Value::I32((self.number() % 1_000_000_000) as i32));
                return message;
            }
            "google.protobuf.Duration" => {
                let sign = if self.byte().is_multiple_of(2) { 1 } else { -1 };
                message.set_field_by_number(1, Value::I64(sign * (self.number() % 315_576_000_000) as i64));
                message
                    .set_field_by_number(2, Value::I32(sign as i32 * (self.number() % 1_000_000_000) as i32));
                return message;
            }
            "google.protobuf.FieldMask" => {
                let paths = (0..self.byte() % 3).map(|_| Value::String("a.b_c.d".into())).collect();
                message.set_field_by_number(1, Value::List(paths));
                return message;
            }
            "google.protobuf.Any" => {
                let inner = self.message(&POOL.get_message_by_name(MESSAGES[0]).unwrap(), depth + 1);
                let url = format!("type.googleapis.com/{}", MESSAGES[0]);
                message.set_field_by_number(1, Value::String(url));
                message.set_field_by_number(2, Value::Bytes(inner.encode_to_vec().into()));
                return message;
            }
            "google.protobuf.Value" => {
                let number =
                    if depth > 6 { u32::from(self.byte() % 4) + 1 } else { u32::from(self.byte() % 6) + 1 };
                let field = descriptor.get_field(number).unwrap();
                let value = self.value(&field.kind(), depth);
                let value = if let Value::F64(value) = value {
                    Value::F64(if value.is_finite() { value } else { 1.5 })
                } else {
                    value
                };
                message.set_field(&field, value);
                return message;
            }
            // The oracle writes null where these are not finite; the specification has the words here as well.
            "google.protobuf.DoubleValue" => {
                message.set_field_by_number(1, Value::F64(self.number() as f64 / 3.0));
                return message;
            }
            "google.protobuf.FloatValue" => {
                message.set_field_by_number(1, Value::F32(self.number() as f32 / 3.0));
                return message;
            }
            _ => {}
        }
        for field in descriptor.fields() {
            let skip = !self.byte().is_multiple_of(3) || (depth > 4 && field.kind().as_message().is_some());
            if !skip {
                let value = self.field(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        let count = self.byte() % 4;
        if field.is_map() {
            let kind = field.kind();
            let entry = kind.as_message().unwrap();
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            let pair = |_| {
                let key = self.value(&key, depth).into_map_key().unwrap_or(MapKey::String(String::new()));
                (key, self.value(&value, depth))
            };
            return Value::Map((0..count).map(pair).collect());
        }
        if field.is_list() {
            return Value::List((0..count).map(|_| self.value(&field.kind(), depth)).collect());
        }
        self.value(&field.kind(), depth)
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Value {
        match kind {
            Kind::Double => Value::F64(match self.byte() % 5 {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => 0.1,
                _ => f64::from_bits(self.number()),
            }),
            Kind::Float => Value::F32(match self.byte() % 4 {
                0 => f32::NEG_INFINITY,
                1 => 0.1,
                _ => f32::from_bits(self.number() as u32),
            }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.number() as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.number() as i64),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.number() as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.number()),
            Kind::Bool => Value::Bool(!self.byte().is_multiple_of(2)),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes((0..self.byte() % 8).map(|_| self.byte()).collect::<Vec<_>>().into()),
            Kind::Enum(descriptor) if descriptor.full_name() == "google.protobuf.NullValue" => {
                Value::EnumNumber(0)
            }
            Kind::Enum(_) => Value::EnumNumber(i32::from(self.byte() as i8 % 5)),
            Kind::Message(descriptor) => Value::Message(self.message(descriptor, depth + 1)),
        }
    }
}

/// NaN is not itself, so messages are compared as JSON, where it is a word.
fn as_json(message: &DynamicMessage, defaults: bool) -> serde_json::Value {
    serde_json::from_str(&as_text(message, defaults, false)).unwrap()
}

fn as_text(message: &DynamicMessage, defaults: bool, pretty: bool) -> String {
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
fn tame(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::Number(number) => Json::from(number.as_f64().unwrap() as f32),
        Json::Array(items) => items.into_iter().map(tame).collect(),
        Json::Object(members) => members.into_iter().map(|(key, value)| (key, tame(value))).collect(),
        plain @ (Json::Null | Json::Bool(_) | Json::String(_)) => plain,
    }
}

fn oracle_reads(descriptor: &MessageDescriptor, json: &str) -> Result<DynamicMessage, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut deserializer, &options)?;
    deserializer.end().map(|()| message)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wire_to_json_is_what_the_oracle_writes(seed in vec(any::<u8>(), 0..600), which in 0..MESSAGES.len(), defaults: bool) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let message = Dice(&seed).message(&descriptor, 0);
        let text = to_json(MESSAGES[which], &message.encode_to_vec(), defaults).unwrap();
        let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(ours, as_json(&message, defaults));
    }

    #[test]
    fn json_to_wire_is_what_the_oracle_reads(seed in vec(any::<u8>(), 0..600), which in 0..MESSAGES.len(), pretty: bool) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let message = Dice(&seed).message(&descriptor, 0);
        let text = as_text(&message, false, pretty);
        let wire = to_wire(MESSAGES[which], &text).unwrap();
        prop_assert_eq!(as_json(&decode(MESSAGES[which], &wire), false), as_json(&message, false));
        prop_assert!(oracle_reads(&descriptor, &text).is_ok());
    }

    #[test]
    fn shuffled_and_split_fields_mean_what_they_mean_to_the_oracle(seeds in vec(vec(any::<u8>(), 0..200), 1..4), which in 0..4usize) {
        // Encodings one after the other are a merge, and out of order.
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let wire: Vec<u8> = seeds.iter().flat_map(|seed| Dice(seed).message(&descriptor, 0).encode_to_vec()).collect();
        let text = to_json(MESSAGES[which], &wire, false).unwrap();
        let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(ours, as_json(&decode(MESSAGES[which], &wire), false));
    }

    #[test]
    fn damaged_json_never_panics_and_is_never_taken_where_the_oracle_refuses(
        seed in vec(any::<u8>(), 0..200), which in 0..MESSAGES.len(), cut in any::<prop::sample::Index>(), byte in "[ -~]",
    ) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let mut text = as_text(&Dice(&seed).message(&descriptor, 0), true, false);
        let at = text.floor_char_boundary(cut.index(text.len()));
        prop_assert!(to_wire(MESSAGES[which], &text[..at]).is_err() || at == 0);
        text.replace_range(at..at + text[at..].chars().next().map_or(0, char::len_utf8), &byte);
        if let Ok(wire) = to_wire(MESSAGES[which], &text) {
            decode(MESSAGES[which], &wire);
            let message = oracle_reads(&descriptor, &text);
            prop_assert!(message.is_ok(), "the oracle refuses {}", text);
            let message = message.unwrap();
            prop_assert_eq!(
                tame(as_json(&decode(MESSAGES[which], &wire), false)),
                tame(as_json(&message, false))
            );
        }
    }

    #[test]
    fn garbage_never_panics(garbage in vec(any::<u8>(), 0..300), which in 0..MESSAGES.len(), defaults: bool) {
        let id = schema().message(MESSAGES[which]).unwrap();
        let mut out = Vec::new();
        let _ = schema().to_wire(id, &garbage, &Default::default(), &mut out);
        if schema().to_json(id, &garbage, &ResponseOptions { emit_defaults: defaults }, &mut out).is_ok() {
            let _: serde_json::Value = serde_json::from_slice(&out).unwrap();
        }
    }

    #[test]
    fn truncated_wire_never_panics(seed in vec(any::<u8>(), 0..300), which in 0..MESSAGES.len(), cut in any::<prop::sample::Index>()) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let wire = Dice(&seed).message(&descriptor, 0).encode_to_vec();
        let at = cut.index(wire.len() + 1);
        let _ = to_json(MESSAGES[which], &wire[..at], true);
    }

    #[test]
    fn no_path_or_query_panics(path in "/(v1|v2|\\*)(/(orders|shelves|:|%2f|%|[a-z:]{0,4})){0,5}(:watch|:cancel|:)?", query in "([a-zA-Z.&=%+]{0,12}|view=[A-Z1]{0,3}|again\\.){0,6}") {
        for method in [http::Method::GET, http::Method::POST, http::Method::PATCH] {
            if let stampede_transcode::Found::Match(found) = ROUTER.find(&method, &path) {
                let _ = found.request(Some(&query), b"", &Default::default(), &mut Vec::new());
            }
        }
    }
}
