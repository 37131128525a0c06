//! Rules of strings. Lengths are in characters, as `buf.validate` counts them.

use regex::Regex;

use super::model::Range;

#[derive(Debug, Default)]
pub(crate) struct StringRules {
    pub characters: Range,
    pub bytes: Range,
    pub pattern: Option<Regex>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub contains: Option<String>,
    pub not_contains: Option<String>,
    pub equal: Option<String>,
    pub within: Vec<String>,
    pub not_in: Vec<String>,
    pub uuid: bool,
}

impl StringRules {
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        self.characters.check(characters(text, self.characters), "characters")?;
        self.bytes.check(text.len() as u64, "bytes")?;
        if self.uuid && !is_uuid(text) {
            return Err("must be a UUID".to_owned());
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            return Err(format!("must match {pattern}"));
        }
        self.check_parts(text)?;
        if let Some(equal) = self.equal.as_ref().filter(|equal| *equal != text) {
            return Err(format!("must be {equal:?}"));
        }
        if !self.within.is_empty() && !self.within.iter().any(|one| one == text) {
            return Err(format!("must be one of {:?}", self.within));
        }
        if self.not_in.iter().any(|one| one == text) {
            return Err(format!("must not be one of {:?}", self.not_in));
        }
        Ok(())
    }

    fn check_parts(&self, text: &str) -> Result<(), String> {
        if let Some(prefix) = self.prefix.as_ref().filter(|prefix| !text.starts_with(*prefix)) {
            return Err(format!("must start with {prefix:?}"));
        }
        if let Some(suffix) = self.suffix.as_ref().filter(|suffix| !text.ends_with(*suffix)) {
            return Err(format!("must end with {suffix:?}"));
        }
        if let Some(part) = self.contains.as_ref().filter(|part| !text.contains(*part)) {
            return Err(format!("must contain {part:?}"));
        }
        if let Some(part) = self.not_contains.as_ref().filter(|part| text.contains(*part)) {
            return Err(format!("must not contain {part:?}"));
        }
        Ok(())
    }
}

impl Range {
    pub(super) fn check(self, count: u64, unit: &str) -> Result<(), String> {
        let Range { min, max } = self;
        if (min..=max).contains(&count) {
            return Ok(());
        }
        Err(match (min == max, count < min) {
            (true, _) => format!("must have exactly {min} {unit}"),
            (false, true) => format!("must have at least {min} {unit}"),
            (false, false) => format!("must have at most {max} {unit}"),
        })
    }

    fn is_any(self) -> bool {
        self.min == 0 && self.max == u64::MAX
    }
}

/// Counts only when somebody asks.
fn characters(text: &str, asked: Range) -> u64 {
    if asked.is_any() { 0 } else { text.chars().count() as u64 }
}

/// The form with hyphens, in either case: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
