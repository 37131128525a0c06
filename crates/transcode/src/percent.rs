//! Percent-decoding of paths and queries (RFC 3986, and `+` as a space in queries). Never guesses: a broken escape is an error.

use std::borrow::Cow;

use crate::error::{ErrorKind, Fail, TranscodeError};

/// Where the text stands decides what stays encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One path segment: everything is decoded.
    Segment,
    /// A variable over several segments: `%2F` stays, or it could not be told from a separator (google.api.http).
    Segments,
    /// A query name or value.
    Query,
}

pub(crate) fn decode(text: &str, place: Place) -> Result<Cow<'_, str>, Fail> {
    let plain = |byte: u8| byte != b'%' && (byte != b'+' || place != Place::Query);
    if text.bytes().all(plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let [high, low, after @ ..] = rest else {
                    return Err(broken("A percent escape is cut short."));
                };
                let (Some(h), Some(l)) = (hex(*high), hex(*low)) else {
                    return Err(broken("A percent escape is not two hexadecimal digits."));
                };
                if place == Place::Segments && h * 16 + l == b'/' {
                    decoded.extend_from_slice(&[b'%', *high, *low]);
                } else {
                    decoded.push(h * 16 + l);
                }
                rest = after;
            }
            b'+' if place == Place::Query => decoded.push(b' '),
            byte => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| broken("The decoded text is not UTF-8."))
}

fn broken(message: &str) -> Fail {
    TranscodeError::new(ErrorKind::InvalidUtf8, None, message)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_keeps_what_it_must() {
        assert_eq!(decode("a%2Fb+c%20d", Place::Segment).unwrap(), "a/b+c d");
        assert_eq!(decode("a%2fb/c%20d", Place::Segments).unwrap(), "a%2fb/c d");
        assert_eq!(decode("a%2Bb+c", Place::Query).unwrap(), "a+b c");
        assert_eq!(decode("%E4%B8%AD", Place::Segment).unwrap(), "中");
    }

    #[test]
    fn broken_escapes_and_foreign_bytes_are_refused() {
        for text in ["%", "%1", "%zz", "%ff", "a%c3"] {
            assert_eq!(decode(text, Place::Query).unwrap_err().kind, ErrorKind::InvalidUtf8, "{text}");
        }
    }
}
