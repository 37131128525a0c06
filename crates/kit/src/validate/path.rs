//! Where in a message the walk is. Kept on the stack; text is made only for a violation.

use std::fmt;

/// A map's key is the caller's text: what is told of it has to fit the headers that carry a refusal.
const KEY_CHARACTERS: usize = 40;

#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Field(&'a str),
    Index(u32),
    Text(&'a str),
    Number(i128),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root };

    pub(super) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), segment: Segment::Field(name) }
    }

    pub(super) fn index(&'a self, index: u32) -> Path<'a> {
        Path { parent: Some(self), segment: Segment::Index(index) }
    }

    pub(super) fn text_key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), segment: Segment::Text(key) }
    }

    pub(super) fn number_key(&'a self, key: i128) -> Path<'a> {
        Path { parent: Some(self), segment: Segment::Number(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Field(name)
                if self.parent.is_none_or(|parent| matches!(parent.segment, Segment::Root)) =>
            {
                f.write_str(name)
            }
            Segment::Field(name) => write!(f, ".{name}"),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Text(key) => {
                let end = key.char_indices().nth(KEY_CHARACTERS).map_or(key.len(), |(at, _)| at);
                write!(f, "[{:?}]", &key[..end])
            }
            Segment::Number(key) => write!(f, "[{key}]"),
        }
    }
}
