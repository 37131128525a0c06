//! The protobuf wire format: varints, tags and skipping. Knows no descriptor; never reads past its slice.

use crate::error::{ErrorKind, Fail, TranscodeError};

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH: u8 = 2;
pub(crate) const GROUP_START: u8 = 3;
pub(crate) const GROUP_END: u8 = 4;
pub(crate) const FIXED32: u8 = 5;

/// Unknown groups may nest; their depth is bounded like everything else.
const MAX_GROUP_DEPTH: usize = crate::MAX_DEPTH;

const MAX_NUMBER: u64 = 0x1fff_ffff;

/// Field number and wire type.
fn split_tag(tag: u64) -> (u32, u8) {
    ((tag >> 3) as u32, (tag & 7) as u8)
}

pub(crate) fn malformed(message: &str) -> Fail {
    TranscodeError::new(ErrorKind::MalformedWire, None, message)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, (u64::from(number) << 3) | u64::from(wire_type));
}

/// Opens a length-delimited value whose length is not known yet: one byte is kept free for it.
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Closes what [`open`] opened. A length of 128 and more needs further bytes and moves the value by as much.
pub(crate) fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let extra = (length.ilog2() / 7) as usize;
    let end = out.len();
    out.resize(end + extra, 0);
    out.copy_within(start..end, start + extra);
    let mut rest = length;
    for byte in &mut out[start - 1..start - 1 + extra] {
        *byte = (rest as u8) | 0x80;
        rest >>= 7;
    }
    out[start - 1 + extra] = rest as u8;
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// A value as it lies on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    Group(&'a [u8]),
}

/// Reads fields one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field, or nothing at the end of the message.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Raw<'a>)>, Fail> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = split_tag(self.tag()?);
        let value = self.value(number, wire_type, 0)?;
        Ok(Some((number, value)))
    }

    /// A tag whose number is one. Whole, because it then comes back in a register.
    fn tag(&mut self) -> Result<u64, Fail> {
        let tag = self.varint()?;
        if (1..=MAX_NUMBER).contains(&(tag >> 3)) {
            Ok(tag)
        } else {
            Err(malformed("A field number is out of range."))
        }
    }

    fn value(&mut self, number: u32, wire_type: u8, depth: usize) -> Result<Raw<'a>, Fail> {
        match wire_type {
            VARINT => Ok(Raw::Varint(self.varint()?)),
            FIXED64 => Ok(Raw::Fixed64(self.fixed64()?)),
            FIXED32 => Ok(Raw::Fixed32(self.fixed32()?)),
            LENGTH => Ok(Raw::Bytes(self.bytes()?)),
            GROUP_START => Ok(Raw::Group(self.group(number, depth)?)),
            GROUP_END => Err(malformed("A group ends that never began.")),
            _ => Err(malformed("A wire type is not known.")),
        }
    }

    fn group(&mut self, number: u32, depth: usize) -> Result<&'a [u8], Fail> {
        if depth >= MAX_GROUP_DEPTH {
            return Err(TranscodeError::new(ErrorKind::TooDeep, None, "Groups are nested too deep."));
        }
        let whole = self.rest;
        loop {
            let length = whole.len() - self.rest.len();
            let (inner, wire_type) = split_tag(self.tag()?);
            if wire_type == GROUP_END {
                if inner != number {
                    return Err(malformed("A group ends with another field number."));
                }
                return Ok(&whole[..length]);
            }
            self.value(inner, wire_type, depth + 1)?;
        }
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Fail> {
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (index * 7);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(malformed("A varint is cut short or too long."))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, Fail> {
        let (head, rest) =
            self.rest.split_first_chunk::<8>().ok_or_else(|| malformed("A 64-bit value is cut short."))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, Fail> {
        let (head, rest) =
            self.rest.split_first_chunk::<4>().ok_or_else(|| malformed("A 32-bit value is cut short."))?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fail> {
        let length = usize::try_from(self.varint()?).ok().filter(|length| *length <= self.rest.len());
        let length = length.ok_or_else(|| malformed("A length points past the end of the message."))?;
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_value_carries_its_length_whatever_it_is() {
        for length in [0usize, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut out = vec![9];
            let start = open(&mut out);
            out.resize(start + length, 7);
            close(&mut out, start);
            let mut reader = Reader::new(&out[1..]);
            assert_eq!(reader.bytes().unwrap(), vec![7; length]);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn zigzag_goes_there_and_back() {
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_varint_of_eleven_bytes_is_refused() {
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }
}
