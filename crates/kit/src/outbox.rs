//! (being written)
use sqlx::PgConnection;
use uuid::Uuid;

/// One thing that others must hear.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Also the message id by which the stream and the inboxes know a repetition.
    pub id: Uuid,
    /// Relative to the stream's prefix: `order.placed`.
    pub subject: String,
    /// Events of one key are delivered in order: the order id, the SKU.
    pub key: String,
    pub payload: Vec<u8>,
}

pub async fn append(_conn: &mut PgConnection, _events: &[NewEvent]) -> Result<(), sqlx::Error> {
    unimplemented!()
}

#[derive(Debug, Clone, Default)]
pub struct Wake(std::sync::Arc<tokio::sync::Notify>);
impl Wake {
    /// Call it after the commit.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

#[derive(Debug, Clone)]
pub struct Relay {
    pub pool: sqlx::PgPool,
    pub client: async_nats::Client,
    pub stream: crate::nats::Stream,
    pub wake: Wake,
}

impl Relay {
    pub fn new(pool: sqlx::PgPool, client: async_nats::Client) -> Self {
        Self { pool, client, stream: Default::default(), wake: Default::default() }
    }
    pub fn stream(self, stream: crate::nats::Stream) -> Self {
        Self { stream, ..self }
    }
    pub fn wake(self, wake: Wake) -> Self {
        Self { wake, ..self }
    }
    pub async fn run(self, _stop: tokio_util::sync::CancellationToken) -> anyhow::Result<()> {
        unimplemented!()
    }
}

pub async fn relay(pool: sqlx::PgPool, client: async_nats::Client, stop: tokio_util::sync::CancellationToken) -> anyhow::Result<()> {
    Relay::new(pool, client).run(stop).await
}
