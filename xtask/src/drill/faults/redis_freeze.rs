//! A Redis that stops in the middle of everything and goes on later, with every command it was sent meanwhile.

use anyhow::Context as _;

use super::Fault;
use crate::drill::shop::Shop;
use crate::pids::Signal;
use crate::servers::Kind;

pub struct RedisFreeze;

impl Fault for RedisFreeze {
    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        signal(shop, Signal::Stop)
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        signal(shop, Signal::Continue)
    }
}

fn signal(shop: &Shop, signal: Signal) -> anyhow::Result<()> {
    shop.stack.servers().pid(Kind::Redis).context("Redis does not run")?.signal(signal)
}
