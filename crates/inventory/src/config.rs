//! Every setting of inventory. Key `redis.url` is the variable `INVENTORY_REDIS_URL`.

use stampede_kit::Secret;
use stampede_kit::config::{Problems, Reader, Server};

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    /// `database.url`: Postgres, the ledger.
    pub database_url: Secret,
    /// `database.connections`: at most so many at once.
    pub connections: u32,
    /// `nats.url`: where events go.
    pub nats_url: Secret,
    /// `redis.url`: the gate.
    pub redis_url: Secret,
    /// `redis.prefix`: begins every key, so that several stacks may share one Redis.
    pub redis_prefix: String,
}

impl Config {
    /// Reads everything before it complains about anything.
    pub fn read(reader: &mut Reader) -> Result<Self, Problems> {
        let server = Server::read(reader);
        let database_url = reader.required("database.url");
        let connections = reader.or("database.connections", 16);
        let nats_url = reader.required("nats.url");
        let redis_url = reader.required("redis.url");
        let redis_prefix: String = reader.or("redis.prefix", "stampede".to_owned());
        if redis_prefix.contains(['{', '}']) {
            reader.refuse("redis.prefix", "must not contain braces: they mark the pool's hash tag");
        }
        reader.finish(|| {
            Some(Self {
                server: server?,
                database_url: database_url?,
                connections,
                nats_url: nats_url?,
                redis_url: redis_url?,
                redis_prefix,
            })
        })
    }
}
