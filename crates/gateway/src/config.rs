//! Every setting of the gateway. The environment variable of key `cors.origins` is `GATEWAY_CORS_ORIGINS`.

use std::time::Duration;

use kit::config::{FrontTls, Problems, Reader, Server};
use stampede_kit as kit;

/// How long a request body may take to arrive, unless the configuration says otherwise.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Feeds open at once, unless the configuration says otherwise.
const STREAMS: usize = 10_000;
/// Calls a second, unless the configuration says otherwise: more than one gateway of two cores answers.
const RATE: u64 = 50_000;

/// The largest body anybody may configure: it is held in memory whole.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Config {
    /// The keys every server has. `listen` is the public port, `limits.message_bytes` the largest body,
    /// `limits.concurrency` the calls in progress; more are refused at once.
    pub server: Server,
    pub peers: Peers,
    /// `cors.origins`: web origins that may call from a browser, such as `https://shop.example`; `*` is any. Default none.
    pub cors_origins: Vec<String>,
    /// `limits.body_ms`: how long a request body may take to arrive.
    pub body_time: Duration,
    /// `limits.streams`: feeds open at once; more are refused.
    pub streams: usize,
    /// `limits.rate`: calls a second, of all callers together; more are refused with the time to wait.
    pub rate: u64,
    /// `limits.burst`: calls at once after a rest. As many as in a second unless it is said.
    pub burst: u64,
    /// `front.cert` and `front.key`: TLS of the public port. Plain text when there is none.
    pub front: Option<FrontTls>,
}

/// Where the services are, as `host:port`.
#[derive(Debug, Clone)]
pub struct Peers {
    /// `peers.inventory`
    pub inventory: String,
    /// `peers.order`
    pub order: String,
    /// `peers.payment`
    pub payment: String,
}

impl Config {
    /// Reads every key; all problems are reported at once.
    pub fn read(reader: &mut Reader) -> Result<Config, Problems> {
        let server = Server::read(reader);
        if server.as_ref().is_some_and(|server| server.limits.message_bytes > MAX_BODY_BYTES) {
            reader.refuse("limits.message_bytes", format!("must be at most {MAX_BODY_BYTES}"));
        }
        let inventory = reader.required("peers.inventory");
        let order = reader.required("peers.order");
        let payment = reader.required("peers.payment");
        let cors_origins = reader.or("cors.origins", Vec::new());
        let body_time = reader.or("limits.body_ms", BODY_TIME);
        let streams = reader.or("limits.streams", STREAMS);
        let rate = reader.or("limits.rate", RATE);
        let burst = reader.or("limits.burst", rate);
        for (key, value) in [("limits.rate", rate), ("limits.burst", burst)] {
            if value == 0 {
                reader.refuse(key, "must be at least 1");
            }
        }
        let front = FrontTls::read(reader);
        reader.finish(|| {
            let peers = Peers { inventory: inventory?, order: order?, payment: payment? };
            Some(Config { server: server?, peers, cors_origins, body_time, streams, rate, burst, front })
        })
    }
}
