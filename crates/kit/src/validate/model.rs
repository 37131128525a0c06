//! Rules as they are checked: compiled once from the contract, by field number.

use super::number::{FloatRules, IntRules};
use super::text::StringRules;

/// Which message's rules: an index into the [`Ruleset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MessageId(pub usize);

/// The rules of every message of the contract.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    pub messages: Vec<MessageRules>,
}

#[derive(Debug, Default)]
pub(crate) struct MessageRules {
    /// By number, ascending.
    pub fields: Vec<FieldRules>,
    pub oneofs: Vec<OneofRules>,
    /// A timestamp or a duration: its two numbers have ranges of their own.
    pub instant: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct OneofRules {
    pub name: String,
    pub required: bool,
}

#[derive(Debug)]
pub(crate) struct FieldRules {
    pub number: u32,
    pub name: String,
    pub kind: Kind,
    pub cardinality: Cardinality,
    /// Unset and zero are different things: messages, `optional` and members of a oneof.
    pub presence: bool,
    pub required: bool,
    /// The rules are not asked of a zero value.
    pub ignore_zero: bool,
    pub oneof: Option<usize>,
    /// Of the value, of each item, or of each value of a map.
    pub value: ValueRules,
}

#[derive(Debug)]
pub(crate) enum Cardinality {
    One,
    Many { items: Range, unique: bool },
    Map { pairs: Range, key: Kind, keys: Box<ValueRules> },
}

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub min: u64,
    pub max: u64,
}

impl Default for Range {
    fn default() -> Self {
        Range { min: 0, max: u64::MAX }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Enum,
    String,
    Bytes,
    Message(MessageId),
}

#[derive(Debug, Default)]
pub(crate) enum ValueRules {
    #[default]
    None,
    Bool(bool),
    Int(IntRules),
    Float(FloatRules),
    String(StringRules),
    Bytes(BytesRules),
    Enum(EnumRules),
    /// In nanoseconds, of a duration or a timestamp.
    Instant(IntRules),
}

#[derive(Debug, Default)]
pub(crate) struct BytesRules {
    pub length: Range,
}

#[derive(Debug, Default)]
pub(crate) struct EnumRules {
    /// The numbers the enum names, ascending, when only those are taken.
    pub defined: Option<Vec<i32>>,
    pub only: IntRules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instant {
    Timestamp,
    Duration,
}
