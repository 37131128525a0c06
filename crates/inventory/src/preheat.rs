//! Preheating: the cells of campaigns that open soon are loaded into the gate before anybody asks for them, so that the first
//! second of a sale does not begin with the ledger. It decides nothing: a cell that was missed is loaded when it is used.

use std::time::Duration;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::inventory::Inventory;
use crate::store;

/// How often is looked for campaigns that open soon.
const EVERY: Duration = Duration::from_secs(2);
/// What opens within this time is loaded.
const AHEAD: time::Duration = time::Duration::seconds(30);
/// Cells of one look; what does not fit comes when these have opened, or when it is used.
const CELLS: i64 = 5_000;
/// Cells loaded at once: few, because this hurries nobody.
const AT_ONCE: usize = 4;

impl Inventory {
    /// Looks for campaigns that open soon until it is told to stop.
    pub async fn preheat(self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.preheat_opening().await {
                tracing::warn!(%error, "campaigns that open soon were not looked for");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Loads what opens soon and this process has not loaded; how many cells that were.
    pub async fn preheat_opening(&self) -> Result<usize, sqlx::Error> {
        let opening = store::campaigns::opening(&mut *self.db.acquire().await?, AHEAD, CELLS).await?;
        let cold: Vec<_> = opening
            .into_iter()
            .filter(|key| !self.gate.cells().get(key).is_some_and(|cell| self.gate.is_loaded(&cell)))
            .collect();
        futures::stream::iter(&cold).for_each_concurrent(AT_ONCE, |key| self.gate.preheat(key)).await;
        Ok(cold.len())
    }
}
