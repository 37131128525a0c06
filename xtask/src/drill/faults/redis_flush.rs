//! FLUSHALL under load: every key of the gate is gone, and the connection never broke.

use super::Fault;
use crate::drill::shop::{Shop, redis_at};

pub struct RedisFlush;

impl Fault for RedisFlush {
    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        let mut redis = redis_at(&shop.gate_url()?)?;
        Ok(redis::cmd("FLUSHALL").exec(&mut redis)?)
    }

    /// Once more at the end, so that what was loaded meanwhile is lost too; nobody mends anything.
    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        self.hurt(shop)
    }
}
