//! How the messages of a stream are set apart: as server-sent events (the HTML standard's event stream format) or as lines
//! (NDJSON). Canonical JSON has no line breaks, so a line holds a message in both.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

/// Media types of lines.
pub(crate) const LINES: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// What browsers' EventSource reads, and what comes when nothing is asked for.
    Events,
    Lines,
}

impl Framing {
    /// Lines when `Accept` names them.
    pub(super) fn of_caller(headers: &HeaderMap) -> Self {
        let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut choices = accepted.split(',').map(|choice| choice.split(';').next().unwrap_or(choice).trim());
        match choices.any(|choice| LINES.iter().any(|line| choice.eq_ignore_ascii_case(line))) {
            true => Framing::Lines,
            false => Framing::Events,
        }
    }

    pub(super) fn media_type(self) -> HeaderValue {
        match self {
            Framing::Events => HeaderValue::from_static("text/event-stream"),
            Framing::Lines => HeaderValue::from_static("application/x-ndjson"),
        }
    }

    /// Bytes that mean nothing: a comment, or an empty line.
    pub(super) fn heartbeat(self) -> &'static [u8] {
        match self {
            Framing::Events => b": still here\n\n",
            Framing::Lines => b"\n",
        }
    }

    /// What stands before a message. Lines carry the token only as the message's own field.
    pub(super) fn open(self, token: Option<&[u8]>, out: &mut Vec<u8>) {
        match self {
            Framing::Events => {
                if let Some(token) = token {
                    out.extend_from_slice(b"id: ");
                    out.extend_from_slice(token);
                    out.push(b'\n');
                }
                out.extend_from_slice(b"data: ");
            }
            Framing::Lines => {}
        }
    }

    /// What stands after it.
    pub(super) fn close(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Framing::Events => b"\n\n",
            Framing::Lines => b"\n",
        });
    }

    /// The last piece of a stream that failed: an event of its own name, or a line with one member `error`.
    pub(super) fn error(self, status: &[u8]) -> Bytes {
        match self {
            Framing::Events => [b"event: error\ndata: ", status, b"\n\n"].concat().into(),
            Framing::Lines => [b"{\"error\":", status, b"}\n"].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_only_when_they_are_asked_for() {
        let of = |accept: &'static str| {
            Framing::of_caller(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(Framing::of_caller(&HeaderMap::new()), Framing::Events);
        assert_eq!(of("text/event-stream"), Framing::Events);
        assert_eq!(of("*/*"), Framing::Events);
        assert_eq!(of("application/X-NDJSON;q=0.9, */*"), Framing::Lines);
    }
}
