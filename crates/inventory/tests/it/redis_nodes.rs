//! The Redis a test looks into: the shared node, or a cluster of six of its own, three masters and a replica each, which ends
//! with the test. It never touches a process it has not started.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisFuture, Value};
use stampede_kit::testing;
use uuid::Uuid;

const NODES: usize = 6;
/// A node's bus is 10,000 above it; both stay below the ports the system gives away.
const PORTS: std::ops::Range<u16> = 12_000..22_000;
const BUS: u16 = 10_000;
const READY_WITHIN: Duration = Duration::from_secs(20);
const NODE_TIMEOUT_MS: u32 = 1_000;

/// A connection to either, for looking at keys and breaking them.
#[derive(Clone)]
pub enum Raw {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Raw {
    pub async fn shared() -> Self {
        let client = redis::Client::open(testing::redis_url()).unwrap();
        Self::Single(client.get_multiplexed_async_connection().await.unwrap())
    }
}

impl ConnectionLike for Raw {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

struct Node {
    port: u16,
    child: Child,
}

/// Six nodes of one test.
pub struct RedisNodes {
    folder: PathBuf,
    nodes: Mutex<Vec<Node>>,
    ports: Vec<u16>,
}

impl RedisNodes {
    /// Starts them and waits until every slot is served.
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("stampede-nodes-{}", Uuid::now_v7().simple()));
        let nodes: Vec<Node> = draw_ports().into_iter().map(|port| start_node(&folder, port)).collect();
        let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
        let cluster = Self { folder, nodes: Mutex::new(nodes), ports };
        cluster.ports.iter().for_each(|port| wait_listening(*port));
        let mut create = Command::new("redis-cli");
        create
            .args(["--cluster", "create"])
            .args(cluster.ports.iter().map(|port| format!("127.0.0.1:{port}")));
        let created = create.args(["--cluster-replicas", "1", "--cluster-yes"]).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        crate::shop::eventually("each master has its replica, and every node serves", async || {
            cluster.ports.iter().all(|port| {
                let info = cli(*port, &["info", "replication"]);
                (info.contains("master_link_status:up") || info.contains("state=online"))
                    && cli(*port, &["cluster", "info"]).contains("cluster_state:ok")
            })
        })
        .await;
        cluster
    }

    /// As `redis.url` takes it: two of the nodes lead to all.
    pub fn url(&self) -> String {
        let first: Vec<_> =
            self.ports.iter().rev().take(2).map(|port| format!("redis://127.0.0.1:{port}")).collect();
        first.join(",")
    }

    pub async fn raw(&self) -> Raw {
        let nodes: Vec<_> = self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        Raw::Cluster(ClusterClient::new(nodes).unwrap().get_async_connection().await.unwrap())
    }

    /// The node that takes writes of this key.
    pub fn master_of(&self, key: &str) -> u16 {
        let alive = self.alive();
        let slot: u32 = cli(alive[0], &["cluster", "keyslot", key]).trim().parse().unwrap();
        let nodes = cli(alive[0], &["cluster", "nodes"]);
        let serves = |line: &str| {
            line.split_whitespace().skip(8).any(|range| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                from.parse().is_ok_and(|from: u32| from <= slot) && to.parse().is_ok_and(|to: u32| slot <= to)
            })
        };
        let line =
            nodes.lines().find(|line| line.contains("master") && !line.contains("fail") && serves(line));
        let address = line
            .unwrap_or_else(|| panic!("nobody serves slot {slot}:\n{nodes}"))
            .split_whitespace()
            .nth(1)
            .unwrap();
        address.split('@').next().unwrap().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Ends the node as a power cut would.
    pub fn kill9(&self, port: u16) {
        let mut nodes = self.nodes.lock().unwrap();
        let at = nodes.iter().position(|node| node.port == port).unwrap();
        let mut node = nodes.remove(at);
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    /// The node answers nobody for so long.
    pub fn pause(&self, port: u16, millis: u32) {
        cli(port, &["client", "pause", &millis.to_string(), "all"]);
    }

    /// Every node forgets its scripts.
    pub fn flush_scripts(&self) {
        self.alive().into_iter().for_each(|port| drop(cli(port, &["script", "flush"])));
    }

    fn alive(&self) -> Vec<u16> {
        self.nodes.lock().unwrap().iter().map(|node| node.port).collect()
    }
}

impl Drop for RedisNodes {
    fn drop(&mut self) {
        for node in self.nodes.get_mut().unwrap() {
            // It may have ended by itself.
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Ports that are free with their buses. Tests run side by side, so each begins somewhere else.
fn draw_ports() -> Vec<u16> {
    let range = u128::from(PORTS.end - PORTS.start);
    let begin = u16::try_from(Uuid::new_v4().as_u128() % range).unwrap();
    let is_free =
        |port: u16| [port, port + BUS].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let ports = (0..PORTS.end - PORTS.start).map(|n| PORTS.start + (begin + n) % (PORTS.end - PORTS.start));
    ports.filter(|port| is_free(*port)).take(NODES).collect()
}

fn start_node(folder: &Path, port: u16) -> Node {
    let folder = folder.join(port.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let log = std::fs::File::create(folder.join("redis.log")).unwrap();
    let settings: [(&str, &str); 10] = [
        ("--port", &port.to_string()),
        ("--bind", "127.0.0.1"),
        ("--dir", folder.to_str().unwrap()),
        ("--save", ""),
        ("--appendonly", "no"),
        ("--cluster-enabled", "yes"),
        ("--cluster-node-timeout", &NODE_TIMEOUT_MS.to_string()),
        // A shard that is gone takes only its own slots with it.
        ("--cluster-require-full-coverage", "no"),
        ("--cluster-replica-validity-factor", "0"),
        ("--repl-diskless-sync-delay", "0"),
    ];
    let mut server = Command::new("redis-server");
    for (name, value) in settings {
        server.args([name, value]);
    }
    let child = server.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
    Node { port, child: child.expect("redis-server is on the PATH") }
}

fn wait_listening(port: u16) {
    let until = Instant::now() + READY_WITHIN;
    while TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_millis(200))
        .is_err()
    {
        assert!(Instant::now() < until, "the node on {port} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn cli(port: u16, arguments: &[&str]) -> String {
    let said = Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}
