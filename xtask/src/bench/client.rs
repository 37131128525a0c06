//! The load generator: few mTLS connections with many requests in flight on each, in a thread of its own. A general gRPC client
//! costs as much as the server it asks; this one knows its one request and costs a fraction, which leaves the machine to what
//! is measured. It never decides when a run is over.

mod connection;
mod frames;
mod message;
mod tally;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use stampede_kit::task;
use stampede_kit::tls;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use connection::Connection;
use frames::Blocks;
pub use message::Ask;
use message::Messages;
pub use tally::{Count, Counters, Tally};

/// The service whose certificate the server must show.
const SERVICE: &str = "inventory";
const DEDUCT: &str = "/stampede.inventory.v1.InventoryService/DeductStock";

/// Where the load goes and how much of it is in flight.
#[derive(Debug, Clone)]
pub struct Target {
    /// Connections are dealt out to these in turn.
    pub addresses: Vec<SocketAddr>,
    pub connections: usize,
    /// Requests in flight on each.
    pub streams: usize,
}

/// A load that runs until it is told to stop.
pub struct Load {
    pub counters: Arc<Counters>,
    thread: JoinHandle<anyhow::Result<Tally>>,
}

impl Load {
    /// Connects and begins to ask. `first` is the number of the first request: a number is used once a shop.
    pub fn start(target: &Target, tls: &tls::Client, asks: Vec<Ask>, first: u64) -> anyhow::Result<Load> {
        let counters = Arc::new(Counters::default());
        let (target, tls, shared) = (target.clone(), tls.clone(), Arc::clone(&counters));
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let result = runtime.block_on(run(&target, &tls, &asks, first, &shared));
            // Whoever waits for answers must not wait for a load that has died.
            shared.stop.store(true, Ordering::Relaxed);
            result
        })?;
        Ok(Load { counters, thread })
    }

    /// No more requests; what every connection has seen when the last answers are in.
    pub fn stop(self) -> anyhow::Result<Tally> {
        self.counters.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the load panicked"))?
    }

    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

async fn run(
    target: &Target,
    tls: &tls::Client,
    asks: &[Ask],
    first: u64,
    counters: &Arc<Counters>,
) -> anyhow::Result<Tally> {
    let mut connections = Vec::with_capacity(target.connections);
    for at in 0..target.connections {
        let address = target.addresses[at % target.addresses.len()];
        let messages = Messages::new(asks, first, at as u64, target.connections as u64);
        let stream = connect(address, tls).await?;
        let connection = Connection::new(stream, Blocks::of(DEDUCT, SERVICE), messages, Arc::clone(counters));
        connections.push(task::spawn("load", Box::pin(connection.run(target.streams))));
    }
    let mut tally = Tally::new();
    for connection in connections {
        tally.add(&connection.await.context("a connection panicked")??);
    }
    Ok(tally)
}

async fn connect(
    address: SocketAddr,
    tls: &tls::Client,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("{address} is not there"))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVICE).expect("the name of a service is a host name");
    TlsConnector::from(tls.config()).connect(name, stream).await.context("the TLS handshake failed")
}
