//! Scalars and enums from JSON, or from the plain text of a path or a query, to their wire form without tag.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::encode::Encoder;
use super::json::{Json, Next};
use super::number::{self, NoInteger};
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::plan::{EnumPlan, Kind};
use crate::wire;

/// Both alphabets are read, padded or not.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether what was written is the type's zero, which fields without presence leave out.
pub(super) type IsZero = bool;

impl Encoder<'_, '_> {
    /// One scalar from JSON.
    pub(super) fn scalar(&mut self, json: &mut Json<'_>, kind: Kind) -> Result<IsZero, Fail> {
        let at = json.peek();
        let offset = json.offset();
        let here = |error: Fail| at_offset(error, offset);
        match kind {
            Kind::String => {
                let text = json.string()?;
                Ok(self.put_bytes(text.as_bytes()))
            }
            Kind::Bytes => {
                let text = json.string()?;
                self.base64(&text).map_err(here)
            }
            Kind::Bool => {
                let value = json.boolean()?;
                Ok(self.put_varint(u64::from(value)))
            }
            Kind::Enum(id) => {
                let plan = self.schema.enumeration(id);
                match at {
                    Next::String => {
                        let name = json.string()?;
                        let number = plan.number(&name).ok_or_else(|| here(unknown_value(plan, &name)))?;
                        Ok(self.put_varint(number as i64 as u64))
                    }
                    Next::Number => {
                        let text = json.number()?;
                        self.integer(Kind::Int32, text).map_err(here)
                    }
                    Next::Null if plan.is_null => json.literal("null").map(|()| self.put_varint(0)),
                    Next::Object
                    | Next::Array
                    | Next::True
                    | Next::False
                    | Next::Null
                    | Next::End
                    | Next::Other => Err(json.wrong_type("the name or number of an enum value")),
                }
            }
            Kind::Double
            | Kind::Float
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32 => self.numeric(json, at, kind),
            Kind::Sint64 | Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => {
                self.numeric(json, at, kind)
            }
            Kind::Message(_) | Kind::Group(_) => Err(json.wrong_type("a scalar")),
        }
    }

    fn numeric(&mut self, json: &mut Json<'_>, at: Next, kind: Kind) -> Result<IsZero, Fail> {
        let offset = json.offset();
        if !matches!(kind, Kind::Double | Kind::Float)
            && let Some(value) = json.short_integer()
        {
            return self.put_integer(kind, i128::from(value)).map_err(|error| at_offset(error, offset));
        }
        let here = |error: Fail| at_offset(error, offset);
        match at {
            Next::Number => {
                let text = json.number()?;
                self.number(kind, text, false).map_err(here)
            }
            Next::String => {
                let text = json.string()?;
                self.number(kind, &text, true).map_err(here)
            }
            Next::Object | Next::Array | Next::True | Next::False | Next::Null | Next::End | Next::Other => {
                Err(json.wrong_type("a number"))
            }
        }
    }

    /// One scalar from the text of a path variable or a query parameter.
    pub(super) fn scalar_text(&mut self, text: &str, kind: Kind) -> Result<IsZero, Fail> {
        match kind {
            Kind::String => Ok(self.put_bytes(text.as_bytes())),
            Kind::Bytes => self.base64(text),
            Kind::Bool => match text {
                "true" => Ok(self.put_varint(1)),
                "false" => Ok(self.put_varint(0)),
                _ => Err(TranscodeError::new(ErrorKind::WrongType, None, "Expected `true` or `false`.")),
            },
            Kind::Enum(id) => {
                let plan = self.schema.enumeration(id);
                match plan.number(text) {
                    Some(number) => Ok(self.put_varint(number as i64 as u64)),
                    None if number::scan(text.as_bytes()) == Some(text.len()) => {
                        self.integer(Kind::Int32, text)
                    }
                    None => Err(unknown_value(plan, text)),
                }
            }
            Kind::Double
            | Kind::Float
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32 => self.number(kind, text, true),
            Kind::Sint64 | Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => {
                self.number(kind, text, true)
            }
            Kind::Message(_) | Kind::Group(_) => Err(TranscodeError::new(
                ErrorKind::Unsupported,
                None,
                "A message cannot be given as text; name its fields.",
            )),
        }
    }

    fn number(&mut self, kind: Kind, text: &str, quoted: bool) -> Result<IsZero, Fail> {
        match kind {
            Kind::Double => {
                let value: f64 = number::float(text, quoted).ok_or_else(not_a_number)?;
                if value.is_infinite() && !text.ends_with("Infinity") {
                    return Err(out_of_range("a 64-bit float"));
                }
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(value.to_bits() == 0)
            }
            Kind::Float => {
                let value: f32 = number::float(text, quoted).ok_or_else(not_a_number)?;
                if value.is_infinite() && !text.ends_with("Infinity") {
                    return Err(out_of_range("a 32-bit float"));
                }
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(value.to_bits() == 0)
            }
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32 => self.integer(kind, text),
            Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => self.integer(kind, text),
            Kind::Bool | Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => {
                Err(not_a_number())
            }
        }
    }

    fn integer(&mut self, kind: Kind, text: &str) -> Result<IsZero, Fail> {
        let value = number::integer(text).map_err(|why| match why {
            NoInteger::NotANumber => not_a_number(),
            NoInteger::Fractional => {
                TranscodeError::new(ErrorKind::WrongType, None, "Expected a whole number, found a fraction.")
            }
            NoInteger::TooLarge => out_of_range(range(kind).0),
        })?;
        self.put_integer(kind, value)
    }

    fn put_integer(&mut self, kind: Kind, value: i128) -> Result<IsZero, Fail> {
        let (name, low, high) = range(kind);
        if !(low..=high).contains(&value) {
            return Err(out_of_range(name));
        }
        // In range, so the low 64 bits are the value, sign extended where it is negative.
        let bits = value as u64;
        match kind.wire_type() {
            wire::FIXED32 => self.out.extend_from_slice(&(bits as u32).to_le_bytes()),
            wire::FIXED64 => self.out.extend_from_slice(&bits.to_le_bytes()),
            _ if matches!(kind, Kind::Sint32 | Kind::Sint64) => {
                wire::put_varint(self.out, wire::zigzag(bits as i64));
            }
            _ => wire::put_varint(self.out, bits),
        }
        Ok(value == 0)
    }

    pub(super) fn put_varint(&mut self, value: u64) -> IsZero {
        wire::put_varint(self.out, value);
        value == 0
    }

    pub(super) fn put_bytes(&mut self, bytes: &[u8]) -> IsZero {
        wire::put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        bytes.is_empty()
    }

    fn base64(&mut self, text: &str) -> Result<IsZero, Fail> {
        let start = wire::open(self.out);
        let url = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
        let engine = if url { &URL_SAFE } else { &STANDARD };
        if engine.decode_vec(text, self.out).is_err() {
            return Err(TranscodeError::new(ErrorKind::WrongType, None, "Expected bytes in base64."));
        }
        let empty = self.out.len() == start;
        wire::close(self.out, start);
        Ok(empty)
    }
}

/// What an integer type is called, and what fits it.
fn range(kind: Kind) -> (&'static str, i128, i128) {
    let signed = matches!(
        kind,
        Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64
    );
    let narrow = matches!(kind, Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32);
    match (signed, narrow) {
        (true, true) => ("a signed 32-bit integer", i128::from(i32::MIN), i128::from(i32::MAX)),
        (true, false) => ("a signed 64-bit integer", i128::from(i64::MIN), i128::from(i64::MAX)),
        (false, true) => ("an unsigned 32-bit integer", 0, i128::from(u32::MAX)),
        (false, false) => ("an unsigned 64-bit integer", 0, i128::from(u64::MAX)),
    }
}

/// Says where in the body, unless that is known better already.
pub(super) fn at_offset(mut error: Fail, offset: usize) -> Fail {
    error.offset.get_or_insert(offset);
    error
}

fn not_a_number() -> Fail {
    TranscodeError::new(ErrorKind::WrongType, None, "Expected a number.")
}

fn out_of_range(what: &str) -> Fail {
    TranscodeError::new(ErrorKind::OutOfRange, None, format!("The number does not fit {what}."))
}

fn unknown_value(plan: &EnumPlan, name: &str) -> Fail {
    TranscodeError::new(
        ErrorKind::UnknownEnumValue,
        None,
        format!("The enum {} has no value {}.", plan.full_name, super::excerpt(name)),
    )
}
