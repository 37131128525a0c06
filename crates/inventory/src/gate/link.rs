//! The way to Redis, one node or a cluster: shared connections that come back by themselves, a deadline on every call, and
//! breakers that leave a Redis which failed alone for a moment. It never tells whether a failed call had an effect: assume
//! either. A cluster's client asks again at most `REDIRECTS` times where a slot has moved or a node has gone, so that a call may
//! have had its effect twice there; the reconciler finds that as it finds a lost one.

mod script;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{Cmd, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline, RedisResult};
use stampede_kit::Secret;
use stampede_types::Pool;

pub use script::{Script, Scripts};

/// A Redis that takes longer does not help anybody.
const TIMEOUT: Duration = Duration::from_millis(500);
/// After a failure the ledger is asked directly for this long.
const REST: Duration = Duration::from_secs(1);
/// Where a cluster's client is sent elsewhere, or has lost the connection.
const REDIRECTS: u32 = 2;
const REDIRECT_WAIT_MS: u64 = 20;
/// The pools of a cluster fail apart, a node with its pools; a single node fails with all of them.
const LANES: usize = 64;

/// Redis is not there, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct Down;

/// Which pools fail together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane(pub u64);

impl Lane {
    pub fn of(pool: &Pool) -> Self {
        let mut hasher = DefaultHasher::new();
        pool.hash(&mut hasher);
        Self(hasher.finish())
    }
}

enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

/// A breaker and what it guards.
struct Breaker {
    /// Milliseconds since `started`; calls before it are not made.
    rests_until: AtomicU64,
    /// Grows with every failure: what was loaded in an earlier generation may be wrong.
    generation: AtomicU64,
}

pub struct Link {
    connection: Connection,
    started: Instant,
    breakers: Vec<Breaker>,
}

impl Link {
    /// Does not wait for the servers. Several URLs, separated by commas, are nodes of a cluster.
    pub fn new(url: &Secret, cluster: bool) -> anyhow::Result<Self> {
        let nodes: Vec<ConnectionInfo> = url.expose().split(',').map(info).collect::<anyhow::Result<_>>()?;
        let connection = match <[ConnectionInfo; 1]>::try_from(nodes) {
            Ok([node]) if !cluster => Connection::Single(single(node)?),
            Ok(node) => Connection::Cluster(clustered(node.to_vec())?),
            Err(nodes) => Connection::Cluster(clustered(nodes)?),
        };
        let breakers = match &connection {
            Connection::Single(_) => 1,
            Connection::Cluster(_) => LANES,
        };
        let breaker = || Breaker { rests_until: AtomicU64::new(0), generation: AtomicU64::new(1) };
        let breakers = std::iter::repeat_with(breaker).take(breakers).collect();
        Ok(Self { connection, started: Instant::now(), breakers })
    }

    pub const fn is_cluster(&self) -> bool {
        match &self.connection {
            Connection::Single(_) => false,
            Connection::Cluster(_) => true,
        }
    }

    pub fn generation(&self, lane: Lane) -> u64 {
        self.breaker(lane).generation.load(Ordering::Acquire)
    }

    pub fn is_resting(&self, lane: Lane) -> bool {
        self.millis() < self.breaker(lane).rests_until.load(Ordering::Acquire)
    }

    /// Everything loaded so far may be wrong.
    pub fn doubt(&self) {
        self.breakers.iter().for_each(Breaker::doubt);
    }

    /// Runs a script where its keys are; the node learns it when it does not know it.
    pub async fn script<T: FromRedisValue>(
        &self,
        lane: Lane,
        script: &Script,
        call: &Cmd,
    ) -> Result<T, Down> {
        let connection = &self.connection;
        let called = async {
            match connection.send(call).await {
                Err(error) if script::is_unknown(&error) => connection.send(&script.whole(call)).await,
                answered => answered,
            }
        };
        self.within(lane, called).await
    }

    /// All keys carry one hash tag.
    pub async fn pipeline<T: FromRedisValue>(&self, lane: Lane, pipeline: &Pipeline) -> Result<T, Down> {
        self.within(lane, self.connection.send_all(pipeline)).await
    }

    /// Redis's `run_id`, of every node that takes writes: another one is another process, which may have lost or never had
    /// what we put there. A node that does not answer fails nothing but this.
    pub async fn run_id(&self) -> Option<String> {
        let info = redis::cmd("INFO").arg("server").to_owned();
        let infos: BTreeMap<String, String> = match &self.connection {
            Connection::Single(_) => {
                let info = tokio::time::timeout(TIMEOUT, self.connection.send(&info)).await.ok()?.ok()?;
                BTreeMap::from([(String::new(), info)])
            }
            Connection::Cluster(_) => {
                tokio::time::timeout(TIMEOUT, self.connection.send(&info)).await.ok()?.ok()?
            }
        };
        let run_id = |info: &String| {
            Some(info.lines().find_map(|line| line.strip_prefix("run_id:"))?.trim().to_owned())
        };
        infos.values().map(run_id).collect::<Option<Vec<_>>>().map(|ids| ids.join(","))
    }

    async fn within<T>(&self, lane: Lane, call: impl Future<Output = RedisResult<T>>) -> Result<T, Down> {
        if self.is_resting(lane) {
            return Err(Down);
        }
        // The connection's own deadline does not cover its reconnecting.
        match tokio::time::timeout(TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.failed(lane, &error);
                Err(Down)
            }
            Err(elapsed) => {
                self.failed(lane, &elapsed);
                Err(Down)
            }
        }
    }

    fn failed(&self, lane: Lane, error: &dyn std::error::Error) {
        let until = self.millis().saturating_add(u64::try_from(REST.as_millis()).unwrap_or(u64::MAX));
        if !self.is_resting(lane) {
            tracing::warn!(%error, "Redis failed: the ledger decides alone for a while");
        }
        let breaker = self.breaker(lane);
        breaker.rests_until.fetch_max(until, Ordering::AcqRel);
        // The call may have had an effect, and what the ledger decides meanwhile passes Redis by.
        breaker.doubt();
    }

    fn breaker(&self, Lane(lane): Lane) -> &Breaker {
        let place = lane % self.breakers.len() as u64;
        &self.breakers[usize::try_from(place).unwrap_or(0)]
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Breaker {
    fn doubt(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Connection {
    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }

    async fn send_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        match self {
            Self::Single(connection) => pipeline.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => pipeline.query_async(&mut connection.clone()).await,
        }
    }
}

fn info(url: &str) -> anyhow::Result<ConnectionInfo> {
    // The parser's complaint may quote the URL, which holds a password.
    let info = url.trim().into_connection_info().map_err(|_| anyhow::anyhow!("the Redis URL is not one"))?;
    Ok(info.set_tcp_settings(tcp()))
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn single(info: ConnectionInfo) -> anyhow::Result<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(TIMEOUT))
        .set_connection_timeout(Some(TIMEOUT))
        .set_number_of_retries(1);
    Ok(ConnectionManager::new_lazy_with_config(redis::Client::open(info)?, config)?)
}

fn clustered(nodes: Vec<ConnectionInfo>) -> anyhow::Result<ClusterConnection> {
    let client = ClusterClient::builder(nodes)
        .retries(REDIRECTS)
        .min_retry_wait(0)
        .max_retry_wait(REDIRECT_WAIT_MS)
        .connection_timeout(TIMEOUT)
        .response_timeout(TIMEOUT)
        .overall_response_timeout(Some(TIMEOUT))
        .tcp_settings(tcp())
        .build()?;
    Ok(client.get_pending_async_connection_with_config(ClusterConfig::new()))
}
