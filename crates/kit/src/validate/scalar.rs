//! One scalar: from the wire's value to the value a decoder would build, and its rules. It knows no fields and no paths.

use super::model::{Kind, ValueRules};
use super::wire::{Malformed, Reader, Value};

/// A scalar as the wire gave it, ready for its rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Int(i128),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A scalar that can be told from another: items of a unique list, keys of a map.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Distinct<'a> {
    Int(i128),
    Bytes(&'a [u8]),
}

impl Scalar<'_> {
    pub(super) fn is_zero(self) -> bool {
        match self {
            Scalar::Int(value) => value == 0,
            // Negative zero is a value of its own: proto3 sends it.
            Scalar::Float(value) => value.to_bits() == 0,
            Scalar::Text(text) => text.is_empty(),
            Scalar::Bytes(bytes) => bytes.is_empty(),
        }
    }

    pub(super) fn as_text_of(self, kind: Kind) -> Self {
        if kind == Kind::String { Scalar::Text("") } else { self }
    }
}

pub(super) fn distinct(scalar: Scalar<'_>) -> Option<Distinct<'_>> {
    match scalar {
        Scalar::Int(value) => Some(Distinct::Int(value)),
        Scalar::Float(value) => Some(Distinct::Int(i128::from(value.to_bits()))),
        Scalar::Text(text) => Some(Distinct::Bytes(text.as_bytes())),
        Scalar::Bytes(bytes) => Some(Distinct::Bytes(bytes)),
    }
}

impl ValueRules {
    pub(super) fn check(&self, scalar: Scalar<'_>) -> Result<(), String> {
        match (self, scalar) {
            (ValueRules::Int(rules) | ValueRules::Instant(rules), Scalar::Int(value)) => rules.check(value),
            (ValueRules::Float(rules), Scalar::Float(value)) => rules.check(value),
            (ValueRules::String(rules), Scalar::Text(text)) => rules.check(text),
            (ValueRules::Bytes(rules), Scalar::Bytes(bytes)) => {
                rules.length.check(bytes.len() as u64, "bytes")
            }
            (ValueRules::Bool(wanted), Scalar::Int(value)) if i128::from(*wanted) != value => {
                Err(format!("must be {wanted}"))
            }
            (ValueRules::Enum(rules), Scalar::Int(value)) => {
                let known = |known: &Vec<i32>| known.iter().any(|number| i128::from(*number) == value);
                if rules.defined.as_ref().is_some_and(|numbers| !known(numbers)) {
                    return Err("must be a value its enum names".to_owned());
                }
                rules.only.check(value)
            }
            // The compiler pairs rules with kinds, so nothing else meets here.
            (_, Scalar::Int(_) | Scalar::Float(_) | Scalar::Text(_) | Scalar::Bytes(_)) => Ok(()),
        }
    }
}

/// The value a decoder would build, or `None` when the wire type is not the kind's.
pub(super) fn scalar(kind: Kind, value: Value<'_>) -> Option<Scalar<'_>> {
    let int = |value: i128| Some(Scalar::Int(value));
    match (kind, value) {
        (Kind::Int32 | Kind::Enum, Value::Varint(raw)) => int(truncated(raw).into()),
        (Kind::Int64, Value::Varint(raw)) => int(raw.cast_signed().into()),
        (Kind::Uint32, Value::Varint(raw)) => int((truncated(raw).cast_unsigned()).into()),
        (Kind::Uint64, Value::Varint(raw)) => int(raw.into()),
        (Kind::Sint32, Value::Varint(raw)) => {
            let raw = truncated(raw).cast_unsigned();
            int(((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())).into())
        }
        (Kind::Sint64, Value::Varint(raw)) => {
            int(((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())).into())
        }
        (Kind::Bool, Value::Varint(raw)) => int(i128::from(raw != 0)),
        (Kind::Fixed32, Value::Fixed32(raw)) => int(raw.into()),
        (Kind::Sfixed32, Value::Fixed32(raw)) => int(raw.cast_signed().into()),
        (Kind::Fixed64, Value::Fixed64(raw)) => int(raw.into()),
        (Kind::Sfixed64, Value::Fixed64(raw)) => int(raw.cast_signed().into()),
        (Kind::Float, Value::Fixed32(raw)) => Some(Scalar::Float(f32::from_bits(raw).into())),
        (Kind::Double, Value::Fixed64(raw)) => Some(Scalar::Float(f64::from_bits(raw))),
        (Kind::String | Kind::Bytes, Value::Bytes(bytes)) => Some(Scalar::Bytes(bytes)),
        (_, Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) | Value::Bytes(_) | Value::Group) => {
            None
        }
    }
}

/// The low 32 bits, as every decoder takes a 32-bit field from a longer varint.
#[expect(clippy::cast_possible_truncation, reason = "truncation is what the wire format asks for")]
pub(super) fn truncated(raw: u64) -> i32 {
    (raw as u32).cast_signed()
}

pub(super) fn packed_value(kind: Kind, reader: &mut Reader<'_>) -> Result<Value<'static>, Malformed> {
    match kind.zero() {
        Value::Varint(_) => reader.varint().map(Value::Varint),
        Value::Fixed64(_) => reader.array().map(|bytes| Value::Fixed64(u64::from_le_bytes(bytes))),
        Value::Fixed32(_) => reader.array().map(|bytes| Value::Fixed32(u32::from_le_bytes(bytes))),
        Value::Bytes(_) | Value::Group => Err(Malformed),
    }
}

impl Kind {
    pub(super) fn is_packable(self) -> bool {
        !matches!(self.zero(), Value::Bytes(_))
    }

    /// Zero as the wire would have it, which also says the kind's wire type.
    pub(super) fn zero(self) -> Value<'static> {
        match self {
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => Value::Varint(0),
            Kind::Sint32 | Kind::Sint64 | Kind::Bool | Kind::Enum => Value::Varint(0),
            Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => Value::Fixed32(0),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => Value::Fixed64(0),
            Kind::String | Kind::Bytes | Kind::Message(_) => Value::Bytes(&[]),
        }
    }
}
