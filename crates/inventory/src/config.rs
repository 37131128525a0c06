//! Every setting of inventory. Key `redis.url` is the variable `INVENTORY_REDIS_URL`.

use std::time::Duration;

use stampede_kit::Secret;
use stampede_kit::config::{Problems, Reader, Server};

use crate::gate::MAX_BUCKETS;
use crate::reconcile::Keep;

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    /// `database.url`: Postgres, the ledger.
    pub database_url: Secret,
    /// `database.connections`: at most so many at once.
    pub connections: u32,
    /// `nats.url`: where events go.
    pub nats_url: Secret,
    pub gate: GateSettings,
    /// When what has ended is forgotten.
    pub keep: Keep,
}

/// Where the gate is and how it works.
#[derive(Debug, Clone)]
pub struct GateSettings {
    /// `redis.url`: the gate. Several URLs, separated by commas, are nodes of one Redis Cluster: any of them leads to all.
    pub url: Secret,
    /// `redis.cluster`: one URL is a node of a Redis Cluster too.
    pub cluster: bool,
    /// `redis.prefix`: begins every key, so that several stacks may share one Redis.
    pub prefix: String,
    /// `gate.buckets`: into how many buckets a large hot cell is divided, on the nodes of a cluster; 1 divides none.
    pub buckets: u32,
    /// `gate.buckets_min_stock`: with fewer units a cell is never divided; below half of it the buckets become one again.
    pub buckets_min_stock: i64,
    /// `gate.buckets_min_rate`: a cell that is asked less often a second, in this process, is not divided by it.
    pub buckets_min_rate: u64,
}

/// What one node decides in a batch is far above it, until the node has other work too.
const BUCKETS: u32 = 8;
const BUCKETS_MIN_STOCK: i64 = 10_000;
const BUCKETS_MIN_RATE: u64 = 20_000;

impl GateSettings {
    /// One node, or several of a cluster, and the defaults.
    pub fn new(url: impl Into<Secret>, prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            cluster: false,
            prefix: prefix.into(),
            buckets: BUCKETS,
            buckets_min_stock: BUCKETS_MIN_STOCK,
            buckets_min_rate: BUCKETS_MIN_RATE,
        }
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let url: Option<Secret> = reader.required("redis.url");
        let cluster = reader.or("redis.cluster", false);
        let prefix: String = reader.or("redis.prefix", "stampede".to_owned());
        if prefix.contains(['{', '}']) {
            reader.refuse("redis.prefix", "must not contain braces: they mark the pool's hash tag");
        }
        let buckets = reader.or("gate.buckets", BUCKETS);
        if !(1..=MAX_BUCKETS).contains(&buckets) {
            reader.refuse("gate.buckets", format!("must be 1 to {MAX_BUCKETS}"));
        }
        let buckets_min_stock = reader.or("gate.buckets_min_stock", BUCKETS_MIN_STOCK);
        let buckets_min_rate = reader.or("gate.buckets_min_rate", BUCKETS_MIN_RATE);
        Some(Self { url: url?, cluster, prefix, buckets, buckets_min_stock, buckets_min_rate })
    }
}

/// `keep.reservations_days`: how long what was sold can be returned, behind its sale and its last return; then it is forgotten.
/// `keep.movements_days`: older movements become one a cell. `keep.audit_days`: what the reconciler has found.
fn keep(reader: &mut Reader) -> Keep {
    let mut days = |key: &str, default: Duration| {
        let days: u32 = reader.or(key, u32::try_from(default.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX));
        if days == 0 {
            reader.refuse(key, "must be 1 or more");
        }
        Duration::from_secs(u64::from(days) * DAY_SECONDS)
    };
    let keep = Keep::default();
    Keep {
        reservations: days("keep.reservations_days", keep.reservations),
        movements: days("keep.movements_days", keep.movements),
        rows: days("keep.audit_days", keep.rows),
    }
}

const DAY_SECONDS: u64 = 24 * 3_600;

impl Config {
    /// Reads everything before it complains about anything.
    pub fn read(reader: &mut Reader) -> Result<Self, Problems> {
        let server = Server::read(reader);
        let database_url = reader.required("database.url");
        let connections = reader.or("database.connections", 16);
        let nats_url = reader.required("nats.url");
        let gate = GateSettings::read(reader);
        let keep = keep(reader);
        reader.finish(|| {
            Some(Self {
                server: server?,
                database_url: database_url?,
                connections,
                nats_url: nats_url?,
                gate: gate?,
                keep,
            })
        })
    }
}
