//! Field rules, checked on protobuf wire bytes: no message is built, nothing is allocated for a good request beyond a few
//! counters. Bytes that are not a message of the type, and text that is not UTF-8, are the caller's mistake like any broken
//! rule. It knows rules as the contract compiled them, never `buf.validate` itself.

mod model;
mod number;
mod path;
mod scalar;
mod text;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use model::{
    BytesRules, Cardinality, EnumRules, FieldRules, Instant, Kind, MessageId, MessageRules, OneofRules,
    Range, Ruleset, ValueRules,
};
pub(crate) use number::{FloatRules, IntRules};
pub(crate) use text::StringRules;

/// More are not told: the caller learns enough from the first.
const MAX_VIOLATIONS: usize = 16;
/// Deeper is not a request of ours. Below prost's own limit of 100, so that what passes here decodes there.
const MAX_DEPTH: usize = 32;

/// The rules of one message.
#[derive(Debug, Clone)]
pub struct Rules {
    ruleset: Arc<Ruleset>,
    message: MessageId,
}

impl Rules {
    pub(crate) fn new(ruleset: Arc<Ruleset>, message: MessageId) -> Self {
        Self { ruleset, message }
    }

    /// Every rule the encoded message breaks, as the stack would tell them; none is good.
    pub fn check(&self, bytes: &[u8]) -> Vec<Violation> {
        self.ruleset.check(self.message, bytes)
    }
}

/// A rule that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// By proto names, such as `lines[3].quantity`; empty for the message itself.
    pub path: String,
    pub description: String,
}

impl Ruleset {
    /// Every rule `bytes` breaks as a `message`, at most [`MAX_VIOLATIONS`]; none is good.
    pub(crate) fn check(&self, message: MessageId, bytes: &[u8]) -> Vec<Violation> {
        let mut walk = walk::Walk::new(self);
        walk.message(message, bytes);
        walk.found()
    }
}
