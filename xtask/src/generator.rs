//! The load generator: few connections with many requests in flight, in a thread of its own. A general client costs as much as the
//! server it asks; this one knows its one request and costs a fraction, which leaves the machine to what is measured. It never
//! decides when a run is over, and sends only to loopback.

pub mod deductions;
pub mod frames;
pub mod grpc;
mod orders;
pub mod pace;
pub mod payments;
pub mod rest;
mod tally;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use stampede_kit::task;

pub use orders::{Crowd, Orders};
pub use tally::{Count, Counters, Tally};

/// A load that runs until it is told to stop.
pub struct Load {
    pub counters: Arc<Counters>,
    thread: JoinHandle<anyhow::Result<Tally>>,
}

impl Load {
    /// Runs these connections, which share the counters they are given.
    pub fn start<F, C>(connections: F) -> anyhow::Result<Load>
    where
        F: FnOnce(&Arc<Counters>) -> Vec<C> + Send + 'static,
        C: Future<Output = anyhow::Result<Tally>> + Send + 'static,
    {
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let result = runtime.block_on(async { together(connections(&shared)).await });
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

async fn together<C>(connections: Vec<C>) -> anyhow::Result<Tally>
where
    C: Future<Output = anyhow::Result<Tally>> + Send + 'static,
{
    let running: Vec<_> =
        connections.into_iter().map(|connection| task::spawn("load", Box::pin(connection))).collect();
    let mut tally = Tally::new();
    for connection in running {
        tally.add(&connection.await.context("a connection panicked")??);
    }
    Ok(tally)
}
