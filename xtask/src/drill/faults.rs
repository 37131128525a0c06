//! The faults by name. Each is a small file: how it hurts and how it heals; the sale around it is everybody's.

mod inventory_kill;
mod postgres_restart;
mod redis_absent;
mod redis_flush;
mod redis_freeze;
mod redis_kill;
mod redis_slow;
mod redis_stale_replica;

use super::shop::Shop;

/// One thing that goes wrong. Its steps run beside the load and may wait.
pub trait Fault {
    /// Before inventory starts.
    fn prepare(&mut self, _: &mut Shop) -> anyhow::Result<()> {
        Ok(())
    }

    /// In the middle of the sale.
    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()>;

    /// What an operator, or the platform, would do; the sale has to find its way back by itself.
    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    RedisKill,
    RedisStaleReplica,
    RedisFlush,
    RedisFreeze,
    RedisSlow,
    RedisAbsent,
    InventoryKill,
    PostgresRestart,
}

impl Name {
    pub const ALL: [Name; 8] = [
        Name::RedisKill,
        Name::RedisStaleReplica,
        Name::RedisFlush,
        Name::RedisFreeze,
        Name::RedisSlow,
        Name::RedisAbsent,
        Name::InventoryKill,
        Name::PostgresRestart,
    ];

    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Name::RedisKill => "redis-kill",
            Name::RedisStaleReplica => "redis-stale-replica",
            Name::RedisFlush => "redis-flush",
            Name::RedisFreeze => "redis-freeze",
            Name::RedisSlow => "redis-slow",
            Name::RedisAbsent => "redis-absent",
            Name::InventoryKill => "inventory-kill",
            Name::PostgresRestart => "postgres-restart",
        }
    }

    pub fn says(self) -> &'static str {
        match self {
            Name::RedisKill => "kill -9 of Redis; it comes back without its last second",
            Name::RedisStaleReplica => "Redis dies; a replica that was behind takes its place",
            Name::RedisFlush => "FLUSHALL while everybody buys",
            Name::RedisFreeze => "Redis stops answering (SIGSTOP) and goes on later with what it was sent",
            Name::RedisSlow => "500 ms between inventory and Redis, each way",
            Name::RedisAbsent => "no Redis when inventory starts; it comes later",
            Name::InventoryKill => "kill -9 of one inventory process, then of all; they are started again",
            Name::PostgresRestart => "kill -9 of Postgres; it recovers",
        }
    }

    pub fn fault(self) -> Box<dyn Fault> {
        match self {
            Name::RedisKill => Box::<redis_kill::RedisKill>::default(),
            Name::RedisStaleReplica => Box::<redis_stale_replica::RedisStaleReplica>::default(),
            Name::RedisFlush => Box::new(redis_flush::RedisFlush),
            Name::RedisFreeze => Box::new(redis_freeze::RedisFreeze),
            Name::RedisSlow => Box::new(redis_slow::RedisSlow),
            Name::RedisAbsent => Box::new(redis_absent::RedisAbsent),
            Name::InventoryKill => Box::new(inventory_kill::InventoryKill),
            Name::PostgresRestart => Box::new(postgres_restart::PostgresRestart),
        }
    }

    /// Whether a process that buyers are connected to is ended by it.
    pub fn breaks_connections(self) -> bool {
        matches!(self, Name::InventoryKill)
    }
}
