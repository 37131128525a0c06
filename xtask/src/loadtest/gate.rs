//! What the stock gate has in Redis, read beside it. It never writes.

use anyhow::Context as _;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

/// A connection to the gate's Redis.
pub struct Gate {
    redis: MultiplexedConnection,
}

impl Gate {
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = redis::Client::open(url).context("the Redis address")?;
        let redis =
            client.get_multiplexed_async_connection().await.context("the gate's Redis is not there")?;
        Ok(Self { redis })
    }

    /// Free units of one SKU in one pool; nothing when the gate has not loaded it.
    pub async fn free(&mut self, pool: &str, sku: &str) -> anyhow::Result<Option<i64>> {
        // The name is the gate's own: crates/inventory/src/gate/cells.rs.
        let key = format!("stampede:{{pool:{pool}}}:counters:{sku}");
        self.redis.hget(key, "free").await.context("the gate could not be read")
    }
}
