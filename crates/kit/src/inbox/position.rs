//! Putting a consumer back: it hears everything from a position of its stream again, and its inbox lets through what it has not
//! had. It never puts one forward: what was not handled is never passed over, nor what is still to come.

use anyhow::{Context as _, bail, ensure};
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{DeliverPolicy, FromConsumer as _, Info, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream as Stored};
use time::OffsetDateTime;

/// A consumer that runs may be quicker and make itself anew, as new, between the two steps.
const TRIES: usize = 10;

/// Where a consumer goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The number of a message in the stream, counted from 1.
    Sequence(u64),
    /// When the stream took the message.
    Time(OffsetDateTime),
}

/// Puts a durable consumer of the stream back to a position; how many messages it then has before it. A consumer that runs
/// notices, and goes on from there within seconds.
///
/// # Errors
/// NATS does not answer; there is no such stream or consumer; the position is later than `now` or the stream's end; or it is
/// behind something the consumer has not handled.
pub async fn put_back(
    client: &Client,
    stream: &str,
    consumer: &str,
    to: Position,
    now: OffsetDateTime,
) -> anyhow::Result<u64> {
    let stored = jetstream::new(client.clone()).get_stream(stream).await;
    let stored = stored.with_context(|| format!("the stream {stream}"))?;
    let present = stored.consumer_info(consumer).await;
    let present = present.with_context(|| format!("the consumer {consumer}"))?;
    is_no_later(&stored, to, now)?;
    passes_over_nothing(&stored, &present, to).await?;
    let mut config = pull::Config::try_from_consumer_config(present.config)
        .map_err(|error| anyhow::anyhow!(error).context("the consumer's own settings"))?;
    config.deliver_policy = match to {
        Position::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        Position::Time(start_time) => DeliverPolicy::ByStartTime { start_time },
    };
    for _ in 0..TRIES {
        // Gone already is as good.
        let _ = stored.delete_consumer(consumer).await;
        if let Ok(mut made) = stored.create_consumer_strict(config.clone()).await {
            return Ok(made.info().await?.num_pending);
        }
    }
    bail!("the consumer {consumer} could not be put back; is something making it anew all the time?")
}

/// What is still to come would be passed over by a position that lies ahead of the stream's end.
fn is_no_later(stored: &Stored, to: Position, now: OffsetDateTime) -> anyhow::Result<()> {
    let ahead = match to {
        Position::Sequence(sequence) => sequence > stored.cached_info().state.last_sequence + 1,
        Position::Time(time) => time > now,
    };
    ensure!(!ahead, "the position lies ahead of the stream: the consumer would pass over what comes next");
    Ok(())
}

/// What comes first of what the consumer has not acknowledged must be at the position or behind it.
async fn passes_over_nothing(stored: &Stored, present: &Info, to: Position) -> anyhow::Result<()> {
    let from = present.ack_floor.stream_sequence + 1;
    for subject in subjects(present) {
        let Some(first) = first_of(stored, &subject, from).await? else { continue };
        let passed = match to {
            Position::Sequence(sequence) => sequence > first.sequence,
            Position::Time(time) => first.time.unix_timestamp_nanos() < time.unix_timestamp_nanos(),
        };
        let number = first.sequence;
        ensure!(
            !passed,
            "the consumer has not handled {number} of {subject}: it would pass over what is there"
        );
    }
    Ok(())
}

/// The subjects the consumer asks for; one without a filter asks for all.
fn subjects(present: &Info) -> Vec<String> {
    let one = Some(present.config.filter_subject.clone()).filter(|subject| !subject.is_empty());
    let mut subjects: Vec<_> = one.into_iter().chain(present.config.filter_subjects.clone()).collect();
    if subjects.is_empty() {
        subjects.push(">".to_owned());
    }
    subjects
}

/// The first message of the subject that is there at this number or behind it: letters that were put back, and what its age has
/// taken, leave holes.
async fn first_of(stored: &Stored, subject: &str, from: u64) -> anyhow::Result<Option<StreamMessage>> {
    match stored.raw_message_builder().sequence(from).next_by_subject(subject).send().await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context("the consumer's next message")),
    }
}
