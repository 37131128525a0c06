//! What has been heard: every event takes effect once, because its id is written in the transaction of its effect.
//! JetStream delivers at least once; this makes it once. It never acknowledges before the commit.

mod consume;
mod dead;
mod deliver;
mod position;

use std::time::Duration;

use bytes::Bytes;
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::clock::Clock;
use crate::nats::Stream;

pub use consume::consume;
pub use dead::{Letter, letters, replay};
pub use position::{Position, put_back};

/// An event that failed this often is dead: it leaves the main flow and waits for a person.
pub const ATTEMPTS: u32 = 5;
/// Longer than the stream keeps an event: what can still come again is still known.
const KEEP: Duration = Duration::from_secs(8 * 24 * 3600);
/// Rows that one pruning statement may delete.
const PRUNE_AT_ONCE: i64 = 5_000;

/// One event as a handler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's id, by which a repetition is known.
    pub id: Uuid,
    /// Relative to the stream's prefix: `order.placed`.
    pub subject: String,
    pub key: String,
    pub payload: Bytes,
    /// When it was written to its outbox.
    pub at: OffsetDateTime,
    /// 1 the first time.
    pub attempt: u32,
}

/// Who hears what.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// The durable consumer's name, its service first: `payment-orders`. Also the name in the inbox.
    pub name: &'static str,
    /// Relative subjects, wildcards allowed: `order.*`.
    pub subjects: Vec<String>,
    pub stream: Stream,
    /// The stream is a copy that NATS keeps of another one: it is waited for, never made.
    pub mirrored: bool,
    /// Tells how old an event is when it takes effect.
    pub clock: Clock,
}

impl ConsumerConfig {
    pub fn new(name: &'static str, subjects: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let subjects = subjects.into_iter().map(Into::into).collect();
        Self { name, subjects, stream: Stream::default(), mirrored: false, clock: Clock::default() }
    }

    pub fn stream(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Hears the copy of another place's stream (deploy/nats/README.md). Its dead letters are kept by the stream of this place
    /// that has the same prefix.
    pub fn mirror(self, stream: Stream) -> Self {
        Self { stream, mirrored: true, ..self }
    }
}

/// A handler's error that no repetition can mend, such as a payload that is none: dead at once.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

/// Whether `consumer` hears this event for the first time; it has heard it from then on, if the transaction commits.
/// Another transaction with the same event waits here for the end of this one.
pub async fn first_time(conn: &mut PgConnection, consumer: &str, event: Uuid) -> Result<bool, sqlx::Error> {
    let heard = sqlx::query(
        "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT inbox_event_once DO NOTHING",
    )
    .bind(consumer)
    .bind(event)
    .execute(conn)
    .await?;
    Ok(heard.rows_affected() == 1)
}

/// Deletes what no stream can deliver any more, a bounded number a call; how many went.
pub async fn prune(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let pruned = sqlx::query(
        "DELETE FROM inbox WHERE (consumer, event_id) IN
         (SELECT consumer, event_id FROM inbox WHERE received_at < now() - $1 LIMIT $2)",
    )
    .bind(PgInterval::try_from(KEEP).expect("whole seconds fit an interval"))
    .bind(PRUNE_AT_ONCE)
    .execute(conn)
    .await?;
    Ok(pruned.rows_affected())
}
