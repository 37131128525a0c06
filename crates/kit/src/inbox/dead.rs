//! Dead letters: events that could not be handled, kept on the subject `dead.<consumer>` with the reason, until a person
//! has them replayed or the stream's own age limit takes them. It never drops one by itself: a letter goes only after its
//! event is back in the stream.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream as Stored};
use futures::StreamExt as _;
use opentelemetry::KeyValue;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::ConsumerConfig;
use crate::metrics;
use crate::nats::{Stream, header};

/// How much of the reason a header carries.
const REASON_BYTES: usize = 500;
/// How often a consumer counts its letters.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// What is known of one dead letter; its payload stays in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number in the stream that keeps it.
    pub number: u64,
    /// Who could not handle it.
    pub consumer: String,
    /// The event's id, as its `ce-id` says; empty when it has none.
    pub event: String,
    /// Where it came from, relative to the stream's prefix.
    pub subject: String,
    /// The stream the event was taken from, and its number there; empty and 0 in letters of earlier versions.
    pub stream: String,
    pub sequence: u64,
    /// Attempts to handle it; 0 when it could not even be read.
    pub attempts: u32,
    pub reason: String,
    /// When it was buried.
    pub at: OffsetDateTime,
}

/// Stores the message on the dead-letter subject with all it had; the id keeps a repeated burial one letter.
pub(super) async fn bury(
    client: &Client,
    config: &ConsumerConfig,
    taken: &jetstream::Message,
    attempts: u32,
    reason: &str,
) -> anyhow::Result<()> {
    let mut headers = taken.headers.clone().unwrap_or_default();
    let info = taken.info().map_err(|error| anyhow::anyhow!(error))?;
    headers
        .insert(header::MESSAGE_ID, format!("dead-{}-{}-{}", config.name, info.stream, info.stream_sequence));
    headers.insert(header::DEAD_SUBJECT, config.stream.relative(&taken.subject));
    headers.insert(header::DEAD_STREAM, info.stream);
    headers.insert(header::DEAD_SEQUENCE, info.stream_sequence.to_string());
    headers.insert(header::DEAD_ATTEMPTS, attempts.to_string());
    headers.insert(header::DEAD_REASON, one_line(reason));
    let subject = config.stream.subject(&format!("{DEAD}.{}", config.name));
    let stored =
        jetstream::new(client.clone()).publish_with_headers(subject, headers, taken.payload.clone()).await?;
    stored.await?;
    Ok(())
}

/// First word of the subjects letters are kept on.
const DEAD: &str = "dead";

/// The letters the stream keeps, oldest first, up to `most` of them, each asked for by itself; `from` is the number of the first
/// one that is looked at.
///
/// # Errors
/// NATS does not answer, or there is no such stream.
pub async fn letters(
    client: &Client,
    stream: &Stream,
    mut from: u64,
    most: usize,
) -> anyhow::Result<Vec<Letter>> {
    let stored = stored(client, stream).await?;
    let mut letters = Vec::new();
    while letters.len() < most {
        let Some(message) = next(&stored, stream, from).await? else { break };
        from = message.sequence + 1;
        letters.push(letter(stream, &message)?);
    }
    Ok(letters)
}

/// Sends a letter's event back to the subject it came from, and then removes the letter. It says whose letter it was, and all other
/// consumers of that subject pass it over: a letter may be older than what their inboxes remember. Replaying one twice, or dying
/// in between, does no harm.
///
/// # Errors
/// NATS does not answer, the letter is gone, or its event came from another stream: that one's consumer is put back instead.
pub async fn replay(client: &Client, stream: &Stream, letter: &Letter) -> anyhow::Result<()> {
    ensure!(
        letter.stream.is_empty() || letter.stream == stream.name,
        "the event came from the stream {}, which somebody else fills: put the consumer {} back to {} there",
        letter.stream,
        letter.consumer,
        letter.sequence
    );
    let stored = stored(client, stream).await?;
    let message = stored.get_raw_message(letter.number).await.context("the letter")?;
    let mut headers = message.headers;
    // A new message id, or the stream takes it for the message it has had; the event's own id stays.
    headers.insert(header::MESSAGE_ID, format!("replay-{}", letter.number));
    headers.insert(header::REPLAYED_FOR, letter.consumer.as_str());
    let jetstream = jetstream::new(client.clone());
    jetstream.publish_with_headers(stream.subject(&letter.subject), headers, message.payload).await?.await?;
    stored.delete_message(letter.number).await.context("removing the letter")?;
    Ok(())
}

/// Counts the consumer's letters now and then, until `stop`. A NATS that is away is asked again.
pub(super) async fn count(client: &Client, config: &ConsumerConfig, stop: &CancellationToken) {
    let waiting =
        metrics::gauge("inbox_dead_letters", "Events that could not be handled and wait for a person");
    let labels = [KeyValue::new("consumer", config.name)];
    while stop.run_until_cancelled(tokio::time::sleep(COUNT_EVERY)).await.is_some() {
        match stop.run_until_cancelled(of_consumer(client, config)).await {
            Some(Ok(letters)) => waiting.record(letters, &labels),
            Some(Err(error)) => {
                tracing::debug!(error = format!("{error:#}"), "dead letters were not counted")
            }
            None => {}
        }
    }
}

/// Letters are kept by the stream that takes their subject, which for a mirror's consumer is another one than it hears.
async fn of_consumer(client: &Client, config: &ConsumerConfig) -> anyhow::Result<i64> {
    let subject = config.stream.subject(&format!("{DEAD}.{}", config.name));
    let jetstream = jetstream::new(client.clone());
    let kept_by = jetstream.stream_by_subject(subject.as_str()).await.context("where letters are kept")?;
    let stored = jetstream.get_stream(&kept_by).await.with_context(|| format!("the stream {kept_by}"))?;
    let mut subjects = stored.info_with_subjects(subject).await?;
    let mut letters = 0;
    while let Some(subject) = subjects.next().await {
        letters += i64::try_from(subject?.1)?;
    }
    Ok(letters)
}

async fn stored(client: &Client, stream: &Stream) -> anyhow::Result<Stored> {
    let found = jetstream::new(client.clone()).get_stream(&stream.name).await;
    found.with_context(|| format!("the stream {}", stream.name))
}

/// The first letter at this number or behind it.
async fn next(stored: &Stored, stream: &Stream, from: u64) -> anyhow::Result<Option<StreamMessage>> {
    let subject = stream.subject(&format!("{DEAD}.>"));
    match stored.raw_message_builder().sequence(from).next_by_subject(subject).send().await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context("reading dead letters")),
    }
}

fn letter(stream: &Stream, message: &StreamMessage) -> anyhow::Result<Letter> {
    let text = |name: &'static str| {
        message.headers.get(name).map(async_nats::HeaderValue::as_str).unwrap_or_default().to_owned()
    };
    let nanos = message.time.unix_timestamp_nanos();
    Ok(Letter {
        number: message.sequence,
        consumer: stream.relative(&message.subject).trim_start_matches("dead.").to_owned(),
        event: text(header::CE_ID),
        subject: text(header::DEAD_SUBJECT),
        stream: text(header::DEAD_STREAM),
        sequence: text(header::DEAD_SEQUENCE).parse().unwrap_or(0),
        attempts: text(header::DEAD_ATTEMPTS).parse().unwrap_or(0),
        reason: text(header::DEAD_REASON),
        at: OffsetDateTime::from_unix_timestamp_nanos(nanos).context("the stream's own time")?,
    })
}

/// A header's value is one line.
fn one_line(reason: &str) -> String {
    let line: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=REASON_BYTES.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_bounded_length_whatever_it_was() {
        assert_eq!(one_line("a\r\nb"), "a  b");
        assert!(one_line(&"ä".repeat(400)).len() <= REASON_BYTES);
    }
}
