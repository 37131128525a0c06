//! Dead letters: events that could not be handled, kept on the subject `dead.<consumer>` with the reason, until a person
//! has them replayed or the stream's own age limit takes them. It never drops one itself.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures::StreamExt as _;
use uuid::Uuid;

use super::ConsumerConfig;
use super::deliver::header_of;
use crate::nats::{self, Stream, header};

/// How much of the reason a header carries.
const REASON_BYTES: usize = 500;
/// How long a replay waits for further letters before it is done.
const FETCH_FOR: Duration = Duration::from_secs(2);

/// Stores the message on the dead-letter subject with all it had; the id keeps a repeated burial one letter.
pub(super) async fn bury(
    client: &Client,
    config: &ConsumerConfig,
    taken: &jetstream::Message,
    reason: &str,
) -> anyhow::Result<()> {
    let mut headers = taken.headers.clone().unwrap_or_default();
    let sequence = taken.info().map_err(|error| anyhow::anyhow!(error))?.stream_sequence;
    headers.insert(header::MESSAGE_ID, format!("dead-{}-{sequence}", config.name));
    headers.insert(header::DEAD_SUBJECT, config.stream.relative(&taken.subject));
    headers.insert(header::DEAD_REASON, one_line(reason));
    let subject = dead_subject(&config.stream, config.name);
    let stored =
        jetstream::new(client.clone()).publish_with_headers(subject, headers, taken.payload.clone()).await?;
    stored.await?;
    Ok(())
}

/// Sends up to `limit` dead letters of `consumer` back to where they came from; how many it were. Everybody who hears
/// that subject gets them again, and whoever has handled them knows them by their ids.
pub async fn replay(client: &Client, stream: &Stream, consumer: &str, limit: usize) -> anyhow::Result<u64> {
    nats::ensure(client, stream).await?;
    let jetstream = jetstream::new(client.clone());
    let letters = jetstream
        .create_consumer_on_stream(
            pull::Config {
                durable_name: Some(format!("replay-{consumer}")),
                filter_subject: dead_subject(stream, consumer),
                ack_policy: AckPolicy::Explicit,
                ..pull::Config::default()
            },
            stream.name.as_str(),
        )
        .await?;
    let mut batch = letters.batch().max_messages(limit).expires(FETCH_FOR).messages().await?;
    let mut replayed = 0;
    while let Some(letter) = batch.next().await {
        let letter = letter.map_err(|error| anyhow::anyhow!(error))?;
        let subject =
            header_of(&letter, header::DEAD_SUBJECT).context("a dead letter without its subject")?;
        let subject = stream.subject(subject);
        let mut headers = letter.headers.clone().unwrap_or_default();
        // A new message id, or the stream takes it for the message it has had; the event's own id stays.
        headers.insert(header::MESSAGE_ID, format!("replay-{}", Uuid::now_v7()));
        jetstream.publish_with_headers(subject, headers, letter.payload.clone()).await?.await?;
        letter.double_ack().await.map_err(|error| anyhow::anyhow!(error))?;
        replayed += 1;
    }
    Ok(replayed)
}

fn dead_subject(stream: &Stream, consumer: &str) -> String {
    stream.subject(&format!("dead.{consumer}"))
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
