//! A pull reader of JSON (RFC 8259) over checked UTF-8. Strict, bounded, borrows what needs no unescaping, and
//! never builds a tree.

use std::borrow::Cow;

use super::number;
use crate::error::{ErrorKind, Fail, TranscodeError};
use crate::scan;

/// What stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
    End,
    Other,
}

impl Next {
    /// For the sentence "Expected ..., found ...".
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::True | Self::False => "a boolean",
            Self::Null => "null",
            Self::End => "the end of the body",
            Self::Other => "a stray character",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    /// Checks the whole body for UTF-8 once; slices of it then need no further check.
    pub(crate) fn new(body: &'a [u8]) -> Result<Self, Fail> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(TranscodeError::new(
                ErrorKind::InvalidUtf8,
                Some(error.valid_up_to()),
                "The body is not UTF-8.",
            )),
        }
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    pub(crate) fn peek(&mut self) -> Next {
        self.skip_space();
        match self.byte() {
            None => Next::End,
            Some(b'{') => Next::Object,
            Some(b'[') => Next::Array,
            Some(b'"') => Next::String,
            Some(b'-' | b'0'..=b'9') => Next::Number,
            Some(b't') => Next::True,
            Some(b'f') => Next::False,
            Some(b'n') => Next::Null,
            Some(_) => Next::Other,
        }
    }

    pub(crate) fn fail(&self, kind: ErrorKind, message: impl Into<String>) -> Fail {
        TranscodeError::new(kind, Some(self.at), message)
    }

    /// The value here is not what the field takes; when it is not even JSON, says that instead.
    pub(crate) fn wrong_type(&mut self, expected: &str) -> Fail {
        let found = self.peek();
        match found {
            Next::End => self.fail(ErrorKind::Syntax, format!("Expected {expected}, the body ends here.")),
            Next::Other => self.fail(ErrorKind::Syntax, format!("Expected {expected}, found no JSON value.")),
            Next::Object
            | Next::Array
            | Next::String
            | Next::Number
            | Next::True
            | Next::False
            | Next::Null => {
                self.fail(ErrorKind::WrongType, format!("Expected {expected}, found {}.", found.noun()))
            }
        }
    }

    fn syntax(&self, expected: &str) -> Fail {
        let found = if self.at >= self.text.len() { ", the body ends here" } else { "" };
        self.fail(ErrorKind::Syntax, format!("Expected {expected}{found}."))
    }

    fn expect(&mut self, byte: u8, expected: &str) -> Result<(), Fail> {
        self.skip_space();
        if self.byte() != Some(byte) {
            return Err(self.syntax(expected));
        }
        self.at += 1;
        Ok(())
    }

    pub(crate) fn begin_object(&mut self) -> Result<(), Fail> {
        if self.peek() != Next::Object {
            return Err(self.wrong_type("an object"));
        }
        self.at += 1;
        Ok(())
    }

    pub(crate) fn begin_array(&mut self) -> Result<(), Fail> {
        if self.peek() != Next::Array {
            return Err(self.wrong_type("an array"));
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the object begun, its colon read; nothing once the object is closed.
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Fail> {
        if self.before_key(first)? { self.key().map(Some) } else { Ok(None) }
    }

    /// Whether the object begun has another key. Its quote is what stands next.
    pub(crate) fn before_key(&mut self, first: &mut bool) -> Result<bool, Fail> {
        self.skip_space();
        if self.byte() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "a comma or the end of the object")?;
            self.skip_space();
        }
        Ok(true)
    }

    /// Reads over the key if it is this one, given as `"key":`. A key spelt in another way is not found.
    pub(crate) fn takes_key(&mut self, quoted: &[u8]) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(quoted);
        if found {
            self.at += quoted.len();
        }
        found
    }

    /// The key here, its colon read.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Fail> {
        if self.byte() != Some(b'"') {
            return Err(self.syntax("a quoted field name"));
        }
        let key = self.string()?;
        self.expect(b':', "a colon")?;
        Ok(key)
    }

    /// Whether the array begun has another element.
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool, Fail> {
        self.skip_space();
        if self.byte() == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "a comma or the end of the array")?;
        }
        Ok(true)
    }

    pub(crate) fn literal(&mut self, word: &str) -> Result<(), Fail> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax(&format!("`{word}`")));
        }
        self.at += word.len();
        Ok(())
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Fail> {
        match self.peek() {
            Next::True => self.literal("true").map(|()| true),
            Next::False => self.literal("false").map(|()| false),
            Next::Object
            | Next::Array
            | Next::String
            | Next::Number
            | Next::Null
            | Next::End
            | Next::Other => Err(self.wrong_type("a boolean")),
        }
    }

    pub(crate) fn number(&mut self) -> Result<&'a str, Fail> {
        let rest = &self.text[self.at..];
        let Some(length) = number::scan(rest.as_bytes()) else {
            return Err(self.fail(ErrorKind::Syntax, "This is not a JSON number."));
        };
        self.at += length;
        Ok(&rest[..length])
    }

    /// The string here, unescaped; borrowed when it has no escape.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fail> {
        self.skip_space();
        if self.byte() != Some(b'"') {
            return Err(self.wrong_type("a string"));
        }
        self.at += 1;
        let start = self.at;
        self.at += scan::plain(&self.text.as_bytes()[start..]);
        let plain = &self.text[start..self.at];
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.unescape(plain.to_owned()).map(Cow::Owned)
    }

    fn unescape(&mut self, mut text: String) -> Result<String, Fail> {
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(_) => {
                    return Err(
                        self.fail(ErrorKind::Syntax, "A control character in a string must be escaped.")
                    );
                }
                None => return Err(self.fail(ErrorKind::Syntax, "A string is not closed.")),
            }
            let rest = &self.text[self.at..];
            let length = scan::plain(rest.as_bytes());
            text.push_str(&rest[..length]);
            self.at += length;
        }
    }

    /// An integer of at most 18 digits and nothing else, quoted or not. Reads nothing when it is another value, which then
    /// may still be a number.
    pub(crate) fn short_integer(&mut self) -> Option<i64> {
        let rest = &self.text.as_bytes()[self.at..];
        let (quoted, rest) = match rest {
            [b'"', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (negative, rest) = match rest {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (mut value, mut length) = (0i64, 0);
        while let Some(digit) = rest.get(length).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
            && length < 19
        {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            length += 1;
        }
        let ends = match rest.get(length) {
            Some(b'"') => quoted,
            Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') => !quoted,
            Some(_) | None => false,
        };
        if !ends || !(1..=18).contains(&length) || (rest[0] == b'0' && length > 1) {
            return None;
        }
        self.at += length + usize::from(negative) + 2 * usize::from(quoted);
        Some(if negative { -value } else { value })
    }

    fn escape(&mut self) -> Result<char, Fail> {
        let character = match self.byte() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            Some(_) | None => return Err(self.fail(ErrorKind::Syntax, "This escape is not known.")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, Fail> {
        let high = self.four_digits()?;
        let code = match high {
            0xd800..=0xdbff if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                let low = self.four_digits()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.fail(ErrorKind::Syntax, "A surrogate has no partner."));
                }
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.fail(ErrorKind::Syntax, "A surrogate has no partner."))
    }

    fn four_digits(&mut self) -> Result<u32, Fail> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
        });
        let value = value.ok_or_else(|| self.fail(ErrorKind::Syntax, "Expected four hexadecimal digits."))?;
        self.at += 4;
        Ok(value)
    }

    /// Reads over one value of any kind. Its depth is bounded as if it were a message.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<(), Fail> {
        if depth > crate::MAX_DEPTH {
            return Err(self.fail(ErrorKind::TooDeep, "The body is nested too deep."));
        }
        let mut first = true;
        match self.peek() {
            Next::Object => {
                self.begin_object()?;
                while self.next_key(&mut first)?.is_some() {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            Next::Array => {
                self.begin_array()?;
                while self.next_element(&mut first)? {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            Next::String => self.string().map(drop),
            Next::Number => self.number().map(drop),
            Next::True => self.literal("true"),
            Next::False => self.literal("false"),
            Next::Null => self.literal("null"),
            Next::End | Next::Other => Err(self.wrong_type("a value")),
        }
    }

    /// Nothing but space may follow.
    pub(crate) fn finish(&mut self) -> Result<(), Fail> {
        if self.peek() == Next::End {
            return Ok(());
        }
        Err(self.fail(ErrorKind::TrailingData, "Something follows the JSON value."))
    }
}
