//! The way to Redis: one shared connection that comes back by itself, a deadline on every call, and a breaker that leaves
//! a Redis which failed alone for a moment. It never tells whether a failed call had an effect: assume either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, Script, ScriptInvocation};
use stampede_kit::Secret;

/// A Redis that takes longer does not help anybody.
const TIMEOUT: Duration = Duration::from_millis(500);
/// After a failure the ledger is asked directly for this long.
const REST: Duration = Duration::from_secs(1);

/// Redis is not there, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct Down;

pub struct Link {
    connection: ConnectionManager,
    started: Instant,
    /// Milliseconds since `started`; calls before it are not made.
    rests_until: AtomicU64,
    /// Grows with every failure: what was loaded in an earlier generation may be wrong.
    generation: AtomicU64,
}

impl Link {
    /// Does not wait for the server.
    pub fn new(url: &Secret) -> anyhow::Result<Self> {
        // The parser's complaint may quote the URL, which holds a password.
        let info =
            url.expose().into_connection_info().map_err(|_| anyhow::anyhow!("the Redis URL is not one"))?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(TIMEOUT))
            .set_connection_timeout(Some(TIMEOUT))
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(redis::Client::open(info)?, config)?;
        let (rests_until, generation) = (AtomicU64::new(0), AtomicU64::new(1));
        Ok(Self { connection, started: Instant::now(), rests_until, generation })
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn is_resting(&self) -> bool {
        self.millis() < self.rests_until.load(Ordering::Acquire)
    }

    /// Everything loaded so far may be wrong.
    pub fn doubt(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Runs a script, which is loaded when Redis does not know it.
    pub async fn script<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Down> {
        let mut connection = self.connection.clone();
        self.within(async move { call.invoke_async(&mut connection).await }).await
    }

    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Down> {
        let mut connection = self.connection.clone();
        self.within(async move { command.query_async(&mut connection).await }).await
    }

    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Down> {
        let mut connection = self.connection.clone();
        self.within(async move { pipeline.query_async(&mut connection).await }).await
    }

    async fn within<T>(&self, call: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Down> {
        if self.is_resting() {
            return Err(Down);
        }
        // The connection's own deadline does not cover its reconnecting.
        match tokio::time::timeout(TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.failed(&error);
                Err(Down)
            }
            Err(elapsed) => {
                self.failed(&elapsed);
                Err(Down)
            }
        }
    }

    fn failed(&self, error: &dyn std::error::Error) {
        let until = self.millis().saturating_add(u64::try_from(REST.as_millis()).unwrap_or(u64::MAX));
        if !self.is_resting() {
            tracing::warn!(%error, "Redis failed: the ledger decides alone for a while");
        }
        self.rests_until.fetch_max(until, Ordering::AcqRel);
        // The call may have had an effect, and what the ledger decides meanwhile passes Redis by.
        self.doubt();
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The scripts of the gate.
pub struct Scripts {
    pub admit: Script,
    pub settle: Script,
    pub level: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            admit: Script::new(include_str!("admit.lua")),
            settle: Script::new(include_str!("settle.lua")),
            level: Script::new(include_str!("level.lua")),
        }
    }
}

/// Redis's `run_id`: another one is another process, which may have lost or never had what we put there.
pub async fn run_id(link: &Link) -> Result<Option<String>, Down> {
    let info: String = link.command(redis::cmd("INFO").arg("server")).await?;
    Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned()))
}
