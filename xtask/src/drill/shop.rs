//! The shop a drill hurts: processes of inventory alone, with Postgres, Redis and NATS of its own, in a folder that is wiped when it opens.
//! It never touches what `up` started, and stops everything it started when it is dropped.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use stampede_kit::{self as kit, Contract};
use tokio::runtime::{Handle, Runtime};

use super::plan::Plan;
use super::proxy::Proxy;
use crate::stack::{self, Layout, Stack};
use crate::terminal::Step;
use crate::{ports, servers};

/// The service under the drill.
const INVENTORY: &str = "inventory";
const READY_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

pub struct Shop {
    pub stack: Stack,
    /// What the buyers and the proxies run on; faults run beside it and may wait.
    runtime: Runtime,
    plan: Plan,
    /// Stands between inventory and Redis, where a drill needs it.
    front: Option<Proxy>,
}

impl Shop {
    /// Starts the stores; inventory is started by [`Shop::start`], after the drill has prepared them.
    pub fn open(plan: &Plan, step: &Step) -> anyhow::Result<Shop> {
        Shop::wipe(plan)?;
        let layout = Layout {
            binaries: plan.binaries.clone(),
            instances: vec![(INVENTORY, plan.processes)],
            ..Layout::private(&plan.dir)
        };
        let stack = Stack::open(layout, step)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Shop { stack, runtime, plan: plan.clone(), front: None })
    }

    /// Removes what an earlier drill left.
    pub fn wipe(plan: &Plan) -> anyhow::Result<()> {
        servers::wipe(&plan.dir.join("replica"))?;
        stack::wipe(&plan.dir)
    }

    /// The processes of inventory.
    pub fn processes(&self) -> Vec<String> {
        self.stack.names().into_iter().filter(|name| name.starts_with(INVENTORY)).collect()
    }

    /// Starts every process of inventory that does not run.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let processes = self.processes();
        processes.iter().try_for_each(|name| self.stack.start(name))?;
        processes.iter().try_for_each(|name| self.stack.wait_ready(name, READY_WITHIN))
    }

    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Puts a proxy between inventory and Redis; before inventory is started.
    pub fn put_proxy_before_redis(&mut self) -> anyhow::Result<()> {
        self.front = Some(Proxy::open(self.runtime(), self.redis_address()?)?);
        self.stack.set(INVENTORY, "redis.url", Some(self.gate_url()?));
        Ok(())
    }

    /// The proxy between inventory and Redis.
    pub fn front(&self) -> anyhow::Result<&Proxy> {
        self.front.as_ref().context("no proxy stands before Redis in this drill")
    }

    /// The Redis that inventory meets, whichever it is now.
    pub fn gate_url(&self) -> anyhow::Result<String> {
        let url = self.stack.servers().redis_url();
        self.front.as_ref().map_or(Ok(url.clone()), |front| with_address(&url, front.address()))
    }

    /// Where the shop's own Redis listens, past any proxy.
    pub fn redis_address(&self) -> anyhow::Result<SocketAddr> {
        address_of(&self.stack.servers().redis_url())
    }

    pub fn ledger_url(&self) -> String {
        self.stack.servers().database_url(INVENTORY)
    }

    /// So many channels to each process of inventory, as the peer `name`; neighbours lead to different processes.
    pub fn channels(&self, name: &str, count: usize) -> anyhow::Result<Vec<kit::client::Channel>> {
        let folder = self.stack.folder();
        let tls = kit::tls::Client::read(&folder.cert_path(name), &folder.key_path(name), &folder.ca_path())?;
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let processes = self.processes();
        let addresses = processes.iter().map(|process| Ok(self.stack.address(process)?.to_string()));
        let addresses = addresses.collect::<anyhow::Result<Vec<_>>>()?;
        let _entered = self.runtime.enter();
        let each = (0..count).flat_map(|_| &addresses);
        Ok(each.map(|address| kit::client::connect(&tls, INVENTORY, address, contract.clone())).collect())
    }
}

impl Drop for Shop {
    /// What cannot be stopped is complained about by the next drill, which wipes the folder.
    fn drop(&mut self) {
        for process in self.processes() {
            self.stack.kill9(&process).ok();
        }
        servers::stop(&self.plan.dir.join("replica")).ok();
        servers::stop(&self.plan.dir).ok();
    }
}

/// A connection of the drill's own to a Redis.
pub fn redis_at(url: &str) -> anyhow::Result<redis::Connection> {
    let client = redis::Client::open(url).context("the Redis address")?;
    client.get_connection_with_timeout(CONNECT_WITHIN).context("the drill's Redis is not there")
}

/// The address in a URL of a store.
pub fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let url = reqwest::Url::parse(url).context("this is not a URL of a store")?;
    Ok(ports::loopback(url.port().context("a URL of a store names its port")?))
}

/// The same URL, password included, at another address.
fn with_address(url: &str, address: SocketAddr) -> anyhow::Result<String> {
    let mut url = reqwest::Url::parse(url).context("this is not a URL of a store")?;
    url.set_port(Some(address.port())).map_err(|()| anyhow::anyhow!("a URL of a store takes a port"))?;
    Ok(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxied_url_keeps_its_password() {
        let url = with_address("redis://:secret@127.0.0.1:20001", ports::loopback(20_002)).unwrap();
        assert_eq!(url, "redis://:secret@127.0.0.1:20002");
        assert_eq!(address_of(&url).unwrap(), ports::loopback(20_002));
    }
}
