//! (being written)

pub(crate) mod deadline;
pub(crate) mod trace;

pub use deadline::Deadline;
pub(crate) struct Stack;
