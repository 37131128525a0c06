//! Half a second between inventory and Redis, each way: longer than anybody can wait, although nothing is broken.

use std::time::Duration;

use super::Fault;
use crate::drill::shop::Shop;

const DELAY: Duration = Duration::from_millis(500);

pub struct RedisSlow;

impl Fault for RedisSlow {
    fn prepare(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.put_proxy_before_redis()
    }

    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.front()?.delay(DELAY);
        Ok(())
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.front()?.delay(Duration::ZERO);
        Ok(())
    }
}
