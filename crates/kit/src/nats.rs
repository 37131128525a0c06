//! The way to NATS JetStream: a client that never gives up reconnecting, and the one stream every event goes through.
//! It never fails because the server is away: whoever publishes or consumes waits for it.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};

use crate::Secret;

/// The server forgets an event id after this, so a relay that repeats later is deduplicated by the inboxes.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// How long an event can be read again; a consumer that was away longer has to be told by other means.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// NATS's own default for one message; the outbox takes less.
const MAX_MESSAGE_BYTES: i32 = 1024 * 1024;
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
const RECONNECT_AT_MOST: Duration = Duration::from_secs(2);

/// The stream's name and what its subjects begin with. Subjects elsewhere in the kit are relative: `order.placed` is
/// published as `stampede.order.placed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub name: String,
    pub prefix: String,
}

impl Default for Stream {
    fn default() -> Self {
        Self { name: "STAMPEDE".to_owned(), prefix: "stampede".to_owned() }
    }
}

impl Stream {
    /// The subject on the wire.
    pub fn subject(&self, relative: &str) -> String {
        format!("{}.{relative}", self.prefix)
    }

    /// A subject beside the stream, which does not keep it: for what is true for a moment only and may be lost.
    pub fn live(&self, relative: &str) -> String {
        format!("{}-live.{relative}", self.prefix)
    }

    /// The subject without the prefix.
    pub fn relative<'a>(&self, subject: &'a str) -> &'a str {
        subject.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('.')).unwrap_or(subject)
    }
}

/// Whether NATS would deliver `subject` to a subscription of `pattern`: `*` is one word, a last `>` is one or more.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for asked in pattern.split('.') {
        match (asked, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (asked, Some(word)) if asked == word => {}
            (_, Some(_) | None) => return false,
        }
    }
    words.next().is_none()
}

/// Names of the headers that events carry.
pub mod header {
    /// The stream drops a message whose id it has had within its duplicate window.
    pub const MESSAGE_ID: &str = "Nats-Msg-Id";
    pub const CONTENT_TYPE: &str = "content-type";
    pub const TRACEPARENT: &str = "traceparent";
    pub const CE_SPECVERSION: &str = "ce-specversion";
    pub const CE_ID: &str = "ce-id";
    pub const CE_TYPE: &str = "ce-type";
    pub const CE_SOURCE: &str = "ce-source";
    pub const CE_TIME: &str = "ce-time";
    pub const CE_PARTITION_KEY: &str = "ce-partitionkey";
    pub const CE_SUBJECT: &str = "ce-subject";
    pub const CE_DATACONTENTTYPE: &str = "ce-datacontenttype";
    /// On a dead letter: the subject it came from, in which stream and at which number, how often it was tried, and why it
    /// is dead.
    pub const DEAD_SUBJECT: &str = "stampede-dead-subject";
    pub const DEAD_STREAM: &str = "stampede-dead-stream";
    pub const DEAD_SEQUENCE: &str = "stampede-dead-sequence";
    pub const DEAD_ATTEMPTS: &str = "stampede-dead-attempts";
    pub const DEAD_REASON: &str = "stampede-dead-reason";
    /// On an event that was a dead letter: the one consumer it is for.
    pub const REPLAYED_FOR: &str = "stampede-replayed-for";

    /// An attribute of CloudEvents as the value of a header: what is not plain visible ASCII, and the double quote and the per
    /// cent sign, as `%` and two hexadecimal digits a byte of UTF-8 (HTTP binding 1.0.2, section 3.1.3.2).
    pub fn encoded(value: &str) -> String {
        let mut text = String::with_capacity(value.len());
        for byte in value.bytes() {
            match byte {
                b'"' | b'%' | 0..=0x20 | 0x7f.. => text.push_str(&format!("%{byte:02X}")),
                plain => text.push(char::from(plain)),
            }
        }
        text
    }

    /// What was encoded. A per cent sign without two digits stands for itself.
    pub fn decoded(value: &str) -> String {
        let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
        while let [first, after @ ..] = rest {
            let digits = after.get(..2).filter(|two| *first == b'%' && two.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
            match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &after[2..];
                }
                None => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A client that connects in the background and reconnects for ever. The URL may hold a password.
pub async fn connect(url: &Secret) -> anyhow::Result<async_nats::Client> {
    async_nats::ConnectOptions::new()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .request_timeout(Some(REQUEST_WITHIN))
        .reconnect_delay_callback(|attempt| {
            let delay = Duration::from_millis(50)
                * 2_u32.saturating_pow(u32::try_from(attempt).unwrap_or(u32::MAX).min(6));
            delay.min(RECONNECT_AT_MOST)
        })
        .event_callback(|event| async move { tracing::info!(%event, "nats") })
        .connect(url.expose())
        .await
        .map_err(|error| anyhow::anyhow!("the NATS URL cannot be used: {}", error.kind()))
}

/// Makes the default stream, or leaves it as it is when it is there. The relay and the consumers do this themselves.
pub async fn stream(client: &async_nats::Client) -> anyhow::Result<()> {
    ensure(client, &Stream::default()).await.map(|_| ())
}

/// Makes the stream unless it is there; either way its info, which says when it was made.
pub async fn ensure(client: &async_nats::Client, stream: &Stream) -> anyhow::Result<Info> {
    let made = jetstream::new(client.clone())
        .get_or_create_stream(Config {
            name: stream.name.clone(),
            subjects: vec![stream.subject(">")],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            duplicate_window: DUPLICATE_WINDOW,
            max_age: KEEP,
            max_message_size: MAX_MESSAGE_BYTES,
            ..Config::default()
        })
        .await?;
    Ok(made.cached_info().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_nats_would_deliver() {
        for (pattern, subject, expected) in [
            ("order.placed", "order.placed", true),
            ("order.placed", "order.placed.v2", false),
            ("order.placed.v2", "order.placed", false),
            ("order.*", "order.placed", true),
            ("order.*", "order.placed.v2", false),
            ("*.placed", "order.placed", true),
            ("order.>", "order.placed.v2", true),
            ("order.>", "order", false),
            (">", "dead.payment", true),
            ("order.>", "dead.payment", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn an_attribute_survives_its_way_through_a_header() {
        for (value, text) in [("order-1", "order-1"), ("50% \"ä\"", "50%25%20%22%C3%A4%22"), ("", "")] {
            assert_eq!(header::encoded(value), text);
            assert_eq!(header::decoded(text), value);
        }
        assert_eq!(header::decoded("100%"), "100%");
        assert_eq!(header::decoded("%zz%+1"), "%zz%+1");
    }

    #[test]
    fn a_subject_is_relative_to_its_stream() {
        let stream = Stream::default();
        assert_eq!(stream.subject("order.placed"), "stampede.order.placed");
        assert_eq!(stream.relative("stampede.order.placed"), "order.placed");
        assert_eq!(stream.relative("stampedes.order"), "stampedes.order");
    }

    #[test]
    fn a_live_subject_is_not_kept_by_the_stream() {
        let stream = Stream::default();
        assert!(matches(&stream.subject(">"), &stream.subject("order.placed")));
        assert!(!matches(&stream.subject(">"), &stream.live("order.placed")));
    }
}
