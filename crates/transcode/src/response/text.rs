//! Scalars as canonical JSON text. 64-bit integers are strings, enums names, bytes base64, odd floats words.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::calendar;
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::plan::{EnumPlan, Kind};
use crate::scan;
use crate::schema::Schema;
use crate::wire::{self, Raw};

/// One scalar.
pub(super) fn scalar(out: &mut Vec<u8>, schema: &Schema, kind: Kind, raw: Raw<'_>) -> Result<(), Fail> {
    match (kind, raw) {
        (Kind::String, Raw::Bytes(bytes)) => return string(out, bytes),
        (Kind::Bytes, Raw::Bytes(bytes)) => base64(out, bytes),
        (Kind::Bool, Raw::Varint(value)) => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" })
        }
        (Kind::Enum(id), Raw::Varint(value)) => enumeration(out, schema.enumeration(id), value as i32),
        (Kind::Double, Raw::Fixed64(bits)) => double(out, f64::from_bits(bits)),
        (Kind::Float, Raw::Fixed32(bits)) => float(out, f32::from_bits(bits)),
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64, raw) => {
            out.push(b'"');
            integer(out, kind, raw)?;
            out.push(b'"');
        }
        (kind, raw) => integer(out, kind, raw)?,
    }
    Ok(())
}

/// The digits of an integer, without quotes.
pub(super) fn integer(out: &mut Vec<u8>, kind: Kind, raw: Raw<'_>) -> Result<(), Fail> {
    let (negative, magnitude) = match (kind, raw) {
        (Kind::Int32, Raw::Varint(value)) => split(i64::from(value as i32)),
        (Kind::Sint32, Raw::Varint(value)) => split(i64::from(wire::unzigzag(value & 0xffff_ffff) as i32)),
        (Kind::Sfixed32, Raw::Fixed32(value)) => split(i64::from(value as i32)),
        (Kind::Int64, Raw::Varint(value)) | (Kind::Sfixed64, Raw::Fixed64(value)) => split(value as i64),
        (Kind::Sint64, Raw::Varint(value)) => split(wire::unzigzag(value)),
        (Kind::Uint32, Raw::Varint(value)) => (false, u64::from(value as u32)),
        (Kind::Fixed32, Raw::Fixed32(value)) => (false, u64::from(value)),
        (Kind::Uint64, Raw::Varint(value)) | (Kind::Fixed64, Raw::Fixed64(value)) => (false, value),
        (_, _) => return Err(wire::malformed("A value has the wire type of another field type.")),
    };
    if negative {
        out.push(b'-');
    }
    digits(out, magnitude);
    Ok(())
}

fn split(value: i64) -> (bool, u64) {
    (value < 0, value.unsigned_abs())
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    // 2^64 has 20 digits.
    let mut text = [0u8; 20];
    let mut at = text.len();
    while value >= 10 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&calendar::pair((value % 100) as u8));
        value /= 100;
    }
    if value > 0 || at == text.len() {
        at -= 1;
        text[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&text[at..]);
}

/// A known value by name, another by number, and `NullValue` as null.
pub(super) fn enumeration(out: &mut Vec<u8>, plan: &EnumPlan, number: i32) {
    if plan.is_null {
        return out.extend_from_slice(b"null");
    }
    match plan.quoted_name(number) {
        Some(name) => name.put(out),
        None => write!(out, "{number}").expect("a Vec takes every write"),
    }
}

pub(super) fn double(out: &mut Vec<u8>, value: f64) {
    match word(value) {
        Some(word) => out.extend_from_slice(word),
        None => serde_json::to_writer(out, &value).expect("a finite float is always JSON"),
    }
}

fn float(out: &mut Vec<u8>, value: f32) {
    match word(f64::from(value)) {
        Some(word) => out.extend_from_slice(word),
        None => serde_json::to_writer(out, &value).expect("a finite float is always JSON"),
    }
}

fn word(value: f64) -> Option<&'static [u8]> {
    match value {
        value if value.is_nan() => Some(b"\"NaN\""),
        f64::INFINITY => Some(b"\"Infinity\""),
        f64::NEG_INFINITY => Some(b"\"-Infinity\""),
        _ => None,
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Fail> {
    std::str::from_utf8(bytes)
        .map_err(|_| TranscodeError::new(ErrorKind::InvalidUtf8, None, "A string is not UTF-8."))
}

pub(super) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written =
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("four characters for every three bytes");
    out.truncate(start + written);
    out.push(b'"');
}

/// A JSON string from bytes of the wire, which must be UTF-8.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fail> {
    let plain = scan::plain_ascii(bytes);
    if plain < bytes.len() {
        quoted(out, utf8(bytes)?);
        return Ok(());
    }
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
    Ok(())
}

/// A JSON string.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let [_, ..] = rest {
        let (plain, after) = rest.split_at(scan::plain(rest));
        out.extend_from_slice(plain);
        let [special, after @ ..] = after else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => write!(out, "\\u{byte:04x}").expect("a Vec takes every write"),
        }
        rest = after;
    }
    out.push(b'"');
}
