//! A failover to a replica that was behind: replication goes through a proxy that stalls, the master is killed, and the address
//! inventory knows leads to the replica from then on.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Fault;
use crate::drill::proxy::Proxy;
use crate::drill::shop::{Shop, address_of, redis_at};
use crate::servers::{Kind, Servers};
use crate::terminal::Step;

/// How far behind the replica is when its master dies.
const BEHIND: Duration = Duration::from_secs(1);
const SYNCED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

#[derive(Default)]
pub struct RedisStaleReplica {
    replica: Option<Servers>,
    /// Replication passes here.
    link: Option<Proxy>,
}

impl Fault for RedisStaleReplica {
    fn prepare(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.put_proxy_before_redis()?;
        let master = shop.stack.servers().redis_url();
        let link = Proxy::open(shop.runtime(), address_of(&master)?)?;
        let folder = shop.plan().dir.join("replica");
        let replica = Servers::start_some(&folder, &[Kind::Redis], &Step::silent())?;
        let mut redis = redis_at(&replica.redis_url())?;
        set(&mut redis, "masterauth", &password(&master)?)?;
        let port = link.address().port().to_string();
        redis::cmd("REPLICAOF").arg("127.0.0.1").arg(port).exec(&mut redis)?;
        for _ in 0..SYNCED_WITHIN.as_millis() / POLL.as_millis() {
            let info: String = redis::cmd("INFO").arg("replication").query(&mut redis)?;
            if info.contains("master_link_status:up") {
                (self.replica, self.link) = (Some(replica), Some(link));
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("the replica never caught up with its master")
    }

    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        let link = self.link.as_ref().context("there is no replica")?;
        link.stall();
        std::thread::sleep(BEHIND);
        shop.stack.servers_mut().kill9(Kind::Redis)?;
        link.cut();
        Ok(())
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        let replica = self.replica.as_ref().context("there is no replica")?;
        let url = replica.redis_url();
        let mut redis = redis_at(&url)?;
        redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut redis)?;
        set(&mut redis, "requirepass", &password(&shop.stack.servers().redis_url())?)?;
        shop.front()?.lead_to(address_of(&url)?);
        shop.front()?.cut();
        Ok(())
    }
}

fn set(redis: &mut redis::Connection, key: &str, value: &str) -> anyhow::Result<()> {
    redis::cmd("CONFIG")
        .arg("SET")
        .arg(key)
        .arg(value)
        .exec(redis)
        .with_context(|| format!("{key} is refused"))
}

fn password(url: &str) -> anyhow::Result<String> {
    let url = reqwest::Url::parse(url).context("this is not a URL of Redis")?;
    Ok(url.password().context("the drill's Redis has a password")?.to_owned())
}
