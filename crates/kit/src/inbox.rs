//! (being written)
use async_nats::Client;
use bytes::Bytes;
use futures::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::nats::Stream;

/// One event as a handler sees it.
#[derive(Debug, Clone)]
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
    pub attempt: u64,
}

/// Who hears what.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// The durable consumer's name, of its service: `payment-orders`. Also the inbox's.
    pub name: &'static str,
    /// Relative subjects, wildcards allowed: `order.*`.
    pub subjects: Vec<String>,
    pub stream: Stream,
}

impl ConsumerConfig {
    pub fn new(name: &'static str, subjects: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name, subjects: subjects.into_iter().map(Into::into).collect(), stream: Stream::default() }
    }
    pub fn stream(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }
}

/// An error that no repetition can mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

pub async fn first_time(_conn: &mut PgConnection, _consumer: &str, _event: Uuid) -> Result<bool, sqlx::Error> {
    unimplemented!()
}

pub async fn consume<H>(_pool: PgPool, _client: Client, _config: ConsumerConfig, _handler: H, _stop: CancellationToken) -> anyhow::Result<()>
where
    H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>> + Send + Sync + 'static,
{
    unimplemented!()
}
