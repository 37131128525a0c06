//! News that units came back, from the process that freed them to every other, so that none says "sold out" for longer than
//! it is so. It never decides anything: news that is lost, late or doubled costs at most the rest of the flag's time to live,
//! so nothing is kept, repeated or waited for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use futures::StreamExt as _;
use prost::Message as _;
use stampede_kit::metrics::KeyValue;
use stampede_kit::nats::Stream;
use stampede_proto::inventory::v1::{ReopenedCell, StockReopened};
use stampede_types::Pool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::CellKey;
use crate::gate::Gate;
use crate::metrics::Metrics;

/// Cells that may wait to be told. News of one more is dropped.
const MAX_WAITING: usize = 10_000;
/// Cells of one message; with the longest names it stays well below NATS's megabyte.
const CELLS_OF_A_MESSAGE: usize = 1_000;
/// News that comes this soon after other news waits and travels together.
const AT_MOST_EVERY: Duration = Duration::from_millis(5);
/// A NATS that takes longer is treated as one that is away.
const PUBLISH_WITHIN: Duration = Duration::from_millis(100);
/// When a subscription that could not be made, or that ended, is made again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// Where the processes of one ledger tell each other; the event stream does not keep it.
pub fn subject(ledger: Uuid) -> String {
    Stream::default().live(&format!("inventory.{}.reopened", ledger.simple()))
}

/// What waits to be told: the newest version of each cell. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct News(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    cells: Mutex<HashMap<CellKey, i64>>,
    wake: Notify,
    metrics: Arc<Metrics>,
}

impl News {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Waiting { metrics, ..Waiting::default() }))
    }

    /// Tells everybody that units of this cell came back at this version of the gate. Never waits.
    pub fn tell(&self, cell: &CellKey, version: i64) {
        let mut cells = self.0.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = cells.len();
        match cells.entry(cell.clone()) {
            Entry::Occupied(mut told) => *told.get_mut() = version.max(*told.get()),
            Entry::Vacant(place) if waiting < MAX_WAITING => {
                place.insert(version);
            }
            Entry::Vacant(_) => return self.count("dropped", 1),
        }
        drop(cells);
        self.0.wake.notify_one();
    }

    /// Publishes what waits until it is told to stop: the first at once, what comes meanwhile together.
    pub async fn publish(self, nats: Client, subject: String, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.0.wake.notified() => {}
            }
            for cells in self.take().chunks(CELLS_OF_A_MESSAGE) {
                let told = send(&nats, &subject, cells).await;
                self.count(if told { "told" } else { "dropped" }, cells.len());
            }
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
    }

    fn take(&self) -> Vec<ReopenedCell> {
        let cells = std::mem::take(&mut *self.0.cells.lock().unwrap_or_else(PoisonError::into_inner));
        let wire = |(cell, version): (CellKey, i64)| ReopenedCell {
            sku_id: cell.sku.to_string(),
            campaign_id: cell.pool.campaign_id().to_owned(),
            version,
        };
        cells.into_iter().map(wire).collect()
    }

    fn count(&self, what: &'static str, cells: usize) {
        self.0.metrics.reopened.add(cells as u64, &[KeyValue::new("what", what)]);
    }
}

/// Whether it is on its way. Without a connection nothing is queued: told late it would be of no use.
async fn send(nats: &Client, subject: &str, cells: &[ReopenedCell]) -> bool {
    if nats.connection_state() != State::Connected {
        return false;
    }
    let message = StockReopened { cells: cells.to_vec() }.encode_to_vec();
    let sent = nats.publish(subject.to_owned(), message.into());
    matches!(tokio::time::timeout(PUBLISH_WITHIN, sent).await, Ok(Ok(())))
}

/// Reopens what other processes tell of, until it is told to stop. The client subscribes again by itself when NATS comes back.
pub async fn hear(nats: Client, subject: String, gate: Gate, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = follow(&nats, &subject, &gate) => {}
        }
        tokio::time::sleep(SUBSCRIBE_AGAIN).await;
    }
}

async fn follow(nats: &Client, subject: &str, gate: &Gate) {
    let mut messages = match nats.subscribe(subject.to_owned()).await {
        Ok(messages) => messages,
        Err(error) => return tracing::warn!(%error, "sold-out flags end by their time to live alone"),
    };
    while let Some(message) = messages.next().await {
        match StockReopened::decode(message.payload) {
            Ok(news) => news.cells.iter().for_each(|cell| heard(gate, cell)),
            Err(error) => tracing::warn!(%error, "news of units that came back cannot be read"),
        }
    }
}

/// A cell this process has not met has no flag.
fn heard(gate: &Gate, told: &ReopenedCell) {
    let (Ok(pool), Ok(sku)) = (Pool::from_campaign_id(&told.campaign_id), told.sku_id.parse()) else {
        return;
    };
    if let Some(cell) = gate.cells().get(&CellKey { pool, sku }) {
        cell.heard(told.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(sku: &str) -> CellKey {
        CellKey { pool: Pool::Shelf, sku: sku.parse().unwrap() }
    }

    #[test]
    fn news_of_one_cell_is_told_once_with_its_newest_version() {
        let news = News::default();
        for version in [3, 5, 4] {
            news.tell(&cell("tee"), version);
        }
        let told = news.take();
        assert_eq!(
            told.iter().map(|cell| (cell.sku_id.as_str(), cell.version)).collect::<Vec<_>>(),
            [("tee", 5)]
        );
        assert!(news.take().is_empty());
    }

    #[test]
    fn no_more_cells_wait_than_the_limit() {
        let news = News::default();
        for n in 0..=MAX_WAITING {
            news.tell(&cell(&format!("sku-{n}")), 1);
        }
        news.tell(&cell("sku-0"), 2);
        let told = news.take();
        assert_eq!(told.len(), MAX_WAITING);
        assert!(
            told.iter().any(|cell| cell.sku_id == "sku-0" && cell.version == 2),
            "what waits is brought up to date"
        );
    }

    #[test]
    fn the_longest_message_fits_nats() {
        let cell = ReopenedCell { sku_id: "s".repeat(64), campaign_id: "c".repeat(64), version: i64::MAX };
        let message = StockReopened { cells: vec![cell; CELLS_OF_A_MESSAGE] };
        assert!(message.encoded_len() < 512 * 1024, "{}", message.encoded_len());
    }
}
