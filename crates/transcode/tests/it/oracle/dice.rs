//! Random messages of any type, spelt out by bytes.

use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use crate::support::POOL;

/// What stands in every Any.
const SCALARS: &str = "test.rich.v1.Scalars";

/// A message spelt out by a stream of random bytes: simple, and it shrinks well.
pub struct Dice<'a>(pub &'a [u8]);

impl Dice<'_> {
    pub fn byte(&mut self) -> u8 {
        let [first, rest @ ..] = self.0 else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn number(&mut self) -> u64 {
        match self.byte() % 6 {
            0 => 0,
            1 => u64::from(self.byte()),
            2 => u64::MAX,
            3 => 1 << 63,
            4 => i64::MAX as u64,
            _ => u64::from_le_bytes([(); 8].map(|()| self.byte())),
        }
    }

    pub fn text(&mut self) -> String {
        let alphabet = ['a', '"', '\\', '\n', '\u{1}', 'é', '中', '😀', ' ', '/', '\u{7f}', '\u{2028}'];
        (0..self.byte() % 6).map(|_| alphabet[usize::from(self.byte()) % alphabet.len()]).collect()
    }

    pub fn message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
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
                let inner = self.message(&POOL.get_message_by_name(SCALARS).unwrap(), depth + 1);
                let url = format!("type.googleapis.com/{}", SCALARS);
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

    pub fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
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

    pub fn value(&mut self, kind: &Kind, depth: usize) -> Value {
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
            Kind::Enum(descriptor) if self.byte().is_multiple_of(2) => {
                let place = usize::from(self.byte()) % descriptor.values().len();
                Value::EnumNumber(descriptor.values().nth(place).unwrap().number())
            }
            Kind::Enum(_) => Value::EnumNumber(i32::from(self.byte() as i8 % 5)),
            Kind::Message(descriptor) => Value::Message(self.message(descriptor, depth + 1)),
        }
    }
}
