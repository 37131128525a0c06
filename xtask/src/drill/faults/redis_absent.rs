//! No Redis when inventory starts: the sale begins without a gate, and gets one when Redis comes.

use super::Fault;
use crate::drill::shop::Shop;
use crate::servers::Kind;

pub struct RedisAbsent;

impl Fault for RedisAbsent {
    fn prepare(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.stack.servers_mut().stop_one(Kind::Redis)
    }

    /// It has been hurting from the start.
    fn hurt(&mut self, _: &mut Shop) -> anyhow::Result<()> {
        Ok(())
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.stack.servers_mut().restart(Kind::Redis)
    }
}
