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

    /// Free units of one SKU in one pool, over all its buckets; nothing when the gate has not loaded it.
    pub async fn free(&mut self, pool: &str, sku: &str) -> anyhow::Result<Option<i64>> {
        // The names are the gate's own: crates/inventory/src/gate/bucket.rs.
        let first = format!("stampede:{{pool:{pool}}}:counters:{sku}");
        let (free, layout): (Option<i64>, Option<u32>) =
            self.redis.hmget(&first, &["free", "layout"]).await.context("the gate could not be read")?;
        let Some(mut free) = free else { return Ok(None) };
        for bucket in 1..layout.unwrap_or(1) {
            let other = format!("stampede:{{pool:{pool}#{bucket}}}:counters:{sku}");
            let more: Option<i64> =
                self.redis.hget(&other, "free").await.context("a bucket could not be read")?;
            free += more.unwrap_or(0);
        }
        Ok(Some(free))
    }
}
