//! The reconciler: compares the gate with the ledger, cell by cell. A difference that stays while nothing moves is a leak (a
//! process that died between the two, a Redis that lost its last second): the cell is loaded again. It never touches the ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::CellKey;
use crate::gate::Cell;
use crate::inventory::Inventory;
use crate::store;

const EVERY: Duration = Duration::from_secs(1);
/// Cells compared at once.
const AT_ONCE: usize = 500;

/// What both sides said of a cell whose sides differed. The ledger's version is no part of it: paying for what is held moves
/// it and frees nothing, and a leak has to be found while everybody pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Difference {
    gate_free: i64,
    gate_version: i64,
    ledger_free: i64,
}

/// What the last round saw.
#[derive(Debug, Default)]
pub struct Reconciler {
    run_id: Option<String>,
    differences: HashMap<CellKey, Difference>,
}

impl Reconciler {
    /// Compares every second until it is told to stop.
    pub async fn run(mut self, inventory: Inventory, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.round(&inventory).await {
                tracing::warn!(%error, "gate and ledger were not compared");
            }
        }
    }

    /// One comparison; units by which the two differ, over all loaded cells.
    pub async fn round(&mut self, inventory: &Inventory) -> Result<i64, sqlx::Error> {
        let Some(run_id) = inventory.gate.run_id().await else { return Ok(0) };
        if self.run_id.as_ref().is_some_and(|known| *known != run_id) {
            tracing::warn!("Redis is another one than before: every cell is loaded again");
            inventory.gate.doubt();
        }
        self.run_id = Some(run_id);
        let loaded: Vec<_> =
            inventory.gate.cells().all().into_iter().filter(|c| inventory.gate.is_loaded(c)).collect();
        let before = std::mem::take(&mut self.differences);
        let mut drift = 0;
        for cells in loaded.chunks(AT_ONCE) {
            drift += self.compare(inventory, cells, &before).await?;
        }
        inventory.metrics.gate_drift.record(drift, &[]);
        Ok(drift)
    }

    async fn compare(
        &mut self,
        inventory: &Inventory,
        cells: &[Arc<Cell>],
        before: &HashMap<CellKey, Difference>,
    ) -> Result<i64, sqlx::Error> {
        let Some(at_gate) = inventory.gate.levels(cells).await else { return Ok(0) };
        let in_ledger = {
            let mut conn = inventory.db.acquire().await?;
            store::levels::read(&mut conn, cells.iter().map(|cell| &cell.key)).await?
        };
        let mut drift = 0;
        for (cell, at_gate) in cells.iter().zip(at_gate) {
            let Some((gate_free, gate_version)) = at_gate else {
                // Redis has forgotten the cell.
                cell.invalidate();
                continue;
            };
            let Some(level) = in_ledger.get(&cell.key) else { continue };
            let seen = Difference { gate_free, gate_version, ledger_free: level.available() };
            if seen.gate_free == seen.ledger_free {
                continue;
            }
            drift += (seen.gate_free - seen.ledger_free).abs();
            if before.get(&cell.key) == Some(&seen) {
                tracing::warn!(
                    pool = cell.key.pool.as_str(),
                    sku = cell.key.sku.as_str(),
                    ?seen,
                    "the gate drifted"
                );
                cell.invalidate();
                inventory.gate.preheat(&cell.key).await;
            } else {
                self.differences.insert(cell.key.clone(), seen);
            }
        }
        Ok(drift)
    }
}
