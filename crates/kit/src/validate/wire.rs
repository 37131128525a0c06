//! The protobuf wire format, one field at a time. Anything that does not fit is malformed; nothing here panics.

/// Bytes that are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A field's value as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group of an unknown field, skipped.
    Group,
}

pub(super) struct Reader<'a>(pub &'a [u8]);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const START_GROUP: u64 = 3;
const END_GROUP: u64 = 4;
const FIXED32: u64 = 5;
/// Field numbers have 29 bits.
const MAX_NUMBER: u64 = (1 << 29) - 1;
/// Groups inside groups; nobody writes them any more.
const MAX_GROUPS: usize = 16;

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field's number and value.
    pub(super) fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let (number, wire_type) = self.tag()?;
        Ok((number, self.value(number, wire_type, 0)?))
    }

    fn tag(&mut self) -> Result<(u32, u64), Malformed> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MAX_NUMBER {
            return Err(Malformed);
        }
        Ok((u32::try_from(number).map_err(|_| Malformed)?, tag & 7))
    }

    fn value(&mut self, number: u32, wire_type: u64, groups: usize) -> Result<Value<'a>, Malformed> {
        match wire_type {
            VARINT => self.varint().map(Value::Varint),
            FIXED64 => self.array().map(|bytes| Value::Fixed64(u64::from_le_bytes(bytes))),
            FIXED32 => self.array().map(|bytes| Value::Fixed32(u32::from_le_bytes(bytes))),
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
                self.0 = rest;
                Ok(Value::Bytes(bytes))
            }
            START_GROUP if groups < MAX_GROUPS => loop {
                let (inner, wire_type) = self.tag()?;
                match wire_type {
                    END_GROUP if inner == number => return Ok(Value::Group),
                    END_GROUP => return Err(Malformed),
                    other => self.value(inner, other, groups + 1)?,
                };
            },
            _ => Err(Malformed),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }
}
