//! (being written)

/// Which message's rules: an index into the [`Ruleset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageId(pub usize);

#[derive(Debug, Default)]
pub(crate) struct Ruleset {}
