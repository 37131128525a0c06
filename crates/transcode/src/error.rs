//! The one error of both directions: where, what kind, and a sentence for the caller. Never holds the input itself.

use std::fmt;

/// What was wrong, for code; [`TranscodeError::message`] says it for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The body is not JSON.
    Syntax,
    /// The body, the path or the query is not UTF-8, or has a broken percent escape.
    InvalidUtf8,
    /// The message has no such field.
    UnknownField,
    /// The value has another type than the field.
    WrongType,
    /// The value does not fit the field's type.
    OutOfRange,
    /// The enum has no such name.
    UnknownEnumValue,
    /// The same field or map key was given twice.
    Duplicate,
    /// Two members of one oneof were given.
    OneofConflict,
    /// Nested deeper than [`crate::MAX_DEPTH`].
    TooDeep,
    /// More parts than the limit allows.
    TooMany,
    /// Something follows the JSON value.
    TrailingData,
    /// The field is taken from the path or the body, not from where it was given.
    PathBound,
    /// The wire bytes are not a message of this type.
    MalformedWire,
    /// A feature this crate does not transcode.
    Unsupported,
    /// A required part is missing.
    Missing,
}

/// A value that could not be transcoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscodeError {
    /// The field, as the caller wrote it: `lines[3].quantity`, `labels["a"]`; empty for the whole message.
    pub path: String,
    /// Byte offset in the body, when the body is where it went wrong.
    pub offset: Option<usize>,
    /// What was wrong.
    pub kind: ErrorKind,
    /// One sentence, fit to be shown to the caller.
    pub message: String,
}

/// Boxed inside, so that the results of the hot path stay small.
pub(crate) type Fail = Box<TranscodeError>;

impl TranscodeError {
    pub(crate) fn new(kind: ErrorKind, offset: Option<usize>, message: impl Into<String>) -> Fail {
        Box::new(Self { path: String::new(), offset, kind, message: message.into() })
    }

    /// The same error seen from one level further out. Paths are only built while an error travels.
    pub(crate) fn inside(mut self: Box<Self>, segment: &str) -> Fail {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{segment}{joint}{}", self.path);
        self
    }

    pub(crate) fn inside_index(self: Box<Self>, index: usize) -> Fail {
        self.inside(&format!("[{index}]"))
    }

    pub(crate) fn inside_key(self: Box<Self>, key: &str) -> Fail {
        self.inside(&format!("[{key:?}]"))
    }
}

impl fmt::Display for TranscodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match self.offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TranscodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_from_the_inside_out() {
        let error = TranscodeError::new(ErrorKind::WrongType, Some(7), "Expected a number.")
            .inside("quantity")
            .inside_index(3)
            .inside("lines");
        assert_eq!(error.path, "lines[3].quantity");
        assert_eq!(error.to_string(), "lines[3].quantity: Expected a number. (at byte 7)");
    }
}
