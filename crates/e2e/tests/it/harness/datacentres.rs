//! Two datacentres: two NATS clusters of three nodes each, from the very files in deploy/nats, with a link that can be cut. They end
//! with the value, by the process ids they were started with.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use stampede_kit::{Secret, nats};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use xtask::drill::proxy::Proxy;
use xtask::pids::{self, Pid, Signal};
use xtask::{home, ports, servers};

use super::shop::eventually;

const NODES: usize = 3;
const STOPPED_WITHIN: Duration = Duration::from_secs(5);
/// Clusters elect leaders before they make streams, and a busy machine takes its time.
const MADE_WITHIN: Duration = Duration::from_secs(5);

pub struct Datacentres {
    pub east: Cluster,
    pub west: Cluster,
    /// One before each node of east that is dialled, and where it leads.
    link: Vec<(Proxy, u16)>,
    folder: TempDir,
}

pub struct Cluster {
    pub client: async_nats::Client,
    nodes: Vec<Pid>,
}

/// The ports of one node.
struct Node {
    client: u16,
    cluster: u16,
    leaf: u16,
}

impl Datacentres {
    pub async fn open() -> Self {
        let folder = tempfile::Builder::new().prefix("stampede-").tempdir().unwrap();
        let (east, west) = (draw(), draw());
        let link: Vec<_> = east.iter().map(|node| (through(node.leaf), node.leaf)).collect();
        let leaves = link.iter().map(|(proxy, _)| format!("nats-leaf://{}", proxy.address())).collect();
        let datacentres = Self {
            east: Cluster::start("east", &east, folder.path(), Vec::new()).await,
            west: Cluster::start("west", &west, folder.path(), leaves).await,
            link,
            folder,
        };
        datacentres.east.make("STAMPEDE").await;
        datacentres.west.make("STAMPEDE").await;
        datacentres.west.make("STAMPEDE_EAST").await;
        datacentres
    }

    /// Ends what passes the link, and refuses what comes.
    pub fn cut(&self) {
        for (proxy, _) in &self.link {
            proxy.lead_to(ports::loopback(1));
            proxy.cut();
        }
    }

    pub fn mend(&self) {
        for (proxy, leaf) in &self.link {
            proxy.lead_to(ports::loopback(*leaf));
        }
    }
}

impl Cluster {
    async fn start(name: &str, nodes: &[Node], folder: &Path, leaves: Vec<String>) -> Cluster {
        let routes: Vec<_> = nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.cluster)).collect();
        let quoted = |port: u16| format!("\"127.0.0.1:{port}\"");
        let mut started = Vec::new();
        for (number, node) in (1..).zip(nodes) {
            let node_name = format!("{name}-{number}");
            let mut command = Command::new(servers::nats_program().unwrap());
            command
                .arg("-c")
                .arg(home::root().join(format!("deploy/nats/{name}.conf")))
                .env("NATS_NAME", &node_name)
                .env("NATS_DATACENTRE", name)
                .env("NATS_LISTEN", quoted(node.client))
                .env("NATS_CLUSTER_LISTEN", quoted(node.cluster))
                .env("NATS_LEAF_LISTEN", quoted(node.leaf))
                .env("NATS_ROUTES", serde_json::to_string(&routes).unwrap())
                .env("NATS_EAST_LEAVES", serde_json::to_string(&leaves).unwrap())
                .env("NATS_STORE", serde_json::to_string(&folder.join(&node_name)).unwrap());
            let child = pids::launch(&mut command, &folder.join(format!("{node_name}.log"))).unwrap();
            started.push(Pid::of(&child, "nats-server").unwrap());
            pids::reap(child);
        }
        let url = format!("nats://127.0.0.1:{}", nodes[0].client);
        Cluster { client: nats::connect(&Secret::new(url)).await.unwrap(), nodes: started }
    }

    /// Makes the stream as its file in deploy/nats/streams says.
    async fn make(&self, stream: &str) {
        let file = home::root().join(format!("deploy/nats/streams/{stream}.json"));
        let config = std::fs::read(file).unwrap();
        eventually(async || {
            let asked = self.client.request(format!("$JS.API.STREAM.CREATE.{stream}"), config.clone().into());
            let answer = tokio::time::timeout(MADE_WITHIN, asked).await.map_err(|_| "no answer")?;
            let answer = answer.map_err(|error| error.to_string())?;
            let answer: Value = serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())?;
            answer.get("error").map_or(Ok(()), |error| Err(error.to_string()))
        })
        .await;
    }

    /// The number of the stream's last message.
    pub async fn last_of(&self, stream: &str) -> u64 {
        let found = async_nats::jetstream::new(self.client.clone()).get_stream(stream).await;
        found.map_or(0, |stream| stream.cached_info().state.last_sequence)
    }
}

impl Drop for Datacentres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["east-1", "west-1"] {
                let log = self.folder.path().join(format!("{name}.log"));
                eprintln!("---- last lines of {name}\n{}", pids::last_lines(&log, 15));
            }
        }
        for pid in self.east.nodes.iter().chain(&self.west.nodes) {
            pid.stop(Signal::Kill, STOPPED_WITHIN).ok();
        }
    }
}

fn draw() -> Vec<Node> {
    let port = || ports::keep_or_draw(None, None).unwrap();
    (0..NODES).map(|_| Node { client: port(), cluster: port(), leaf: port() }).collect()
}

fn through(port: u16) -> Proxy {
    block_in_place(|| Proxy::open(&Handle::current(), ports::loopback(port))).unwrap()
}
