//! Units at the gate against units in the ledger, cell by cell. A difference that stays while nothing moves is a leak (a
//! process that died between the two, a Redis that lost its last second): the cell is loaded again. It never touches the
//! ledger.

use std::collections::HashMap;
use std::sync::Arc;

use super::report::Reporter;
use crate::domain::CellKey;
use crate::domain::drift::{Action, Difference, Kind, nobody_says};
use crate::gate::Cell;
use crate::inventory::Inventory;
use crate::store;

/// Cells compared at once.
const AT_ONCE: usize = 500;
/// Cells this process has loaded, compared in one round; the rest waits for the next.
const A_ROUND: usize = 5_000;
/// Differences kept in mind. Beyond them a cell is found again when its turn comes.
const MAX_DIFFERENCES: usize = 10_000;

/// What both sides said of a cell whose sides differed. The ledger's version is no part of it: paying for what is held moves
/// it and frees nothing, and a leak has to be found while everybody pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    gate: i64,
    gate_version: i64,
    ledger: i64,
}

/// What the last round saw.
#[derive(Debug, Default)]
pub struct View {
    run_id: Option<String>,
    waiting: Vec<Arc<Cell>>,
    differences: HashMap<CellKey, Seen>,
}

impl View {
    /// One comparison of what differed before and of cells this process has loaded; the units by which the sides differ, or nothing
    /// when Redis did not say.
    pub async fn round(
        &mut self,
        inventory: &Inventory,
        reporter: &Reporter,
    ) -> Result<Option<i64>, sqlx::Error> {
        let gate = &inventory.gate;
        let Some(run_id) = gate.run_id().await else { return Ok(None) };
        if self.run_id.as_ref().is_some_and(|known| *known != run_id) {
            tracing::warn!("Redis is another one than before: every cell is loaded again");
            gate.doubt();
        }
        self.run_id = Some(run_id);
        if self.waiting.is_empty() {
            self.waiting = gate.cells().all().into_iter().filter(|cell| gate.is_loaded(cell)).collect();
        }
        let before = std::mem::take(&mut self.differences);
        let mut cells: Vec<_> = before.keys().map(|key| gate.peek(key)).collect();
        let next = self.waiting.split_off(self.waiting.len().saturating_sub(A_ROUND));
        cells.extend(next.into_iter().filter(|cell| !before.contains_key(&cell.key)));
        let mut drift = Some(0);
        for cells in cells.chunks(AT_ONCE) {
            let differ = self.compare(inventory, reporter, cells, &before).await?;
            drift = drift.zip(differ).map(|(drift, units)| drift + units);
        }
        Ok(drift)
    }

    /// A second look at what differed, and at nothing else.
    pub async fn again(&mut self, inventory: &Inventory, reporter: &Reporter) -> Result<(), sqlx::Error> {
        let before = std::mem::take(&mut self.differences);
        let cells: Vec<_> = before.keys().map(|key| inventory.gate.peek(key)).collect();
        for cells in cells.chunks(AT_ONCE) {
            self.compare(inventory, reporter, cells, &before).await?;
        }
        Ok(())
    }

    /// Looks at cells that another process may have loaded. What differs is looked at again in the next round.
    pub async fn visit(
        &mut self,
        inventory: &Inventory,
        reporter: &Reporter,
        cells: &[Arc<Cell>],
    ) -> Result<(), sqlx::Error> {
        let cells: Vec<_> =
            cells.iter().filter(|cell| !self.differences.contains_key(&cell.key)).cloned().collect();
        self.compare(inventory, reporter, &cells, &HashMap::new()).await.map(drop)
    }

    /// Whether nothing waits for a second look.
    pub fn is_settled(&self) -> bool {
        self.differences.is_empty()
    }

    /// Cells that wait for a second look.
    pub fn unsettled(&self) -> u64 {
        self.differences.len() as u64
    }

    /// Units by which the sides differ; nothing when Redis did not answer.
    async fn compare(
        &mut self,
        inventory: &Inventory,
        reporter: &Reporter,
        cells: &[Arc<Cell>],
        before: &HashMap<CellKey, Seen>,
    ) -> Result<Option<i64>, sqlx::Error> {
        if cells.is_empty() {
            return Ok(Some(0));
        }
        let Some(at_gate) = inventory.gate.levels(cells).await else { return Ok(None) };
        let in_ledger = {
            let mut conn = inventory.db.acquire().await?;
            store::levels::read(&mut conn, cells.iter().map(|cell| &cell.key)).await?
        };
        let mut drift = 0;
        for (cell, at_gate) in cells.iter().zip(at_gate) {
            let Some((gate, gate_version)) = at_gate else {
                // Redis has forgotten the cell.
                cell.invalidate();
                continue;
            };
            let Some(level) = in_ledger.get(&cell.key) else { continue };
            let seen = Seen { gate, gate_version, ledger: level.available() };
            if seen.gate == seen.ledger {
                continue;
            }
            drift += (seen.gate - seen.ledger).abs();
            if before.get(&cell.key) == Some(&seen) {
                self.settle(inventory, reporter, &cell.key, seen).await;
            } else if self.differences.len() < MAX_DIFFERENCES {
                self.differences.insert(cell.key.clone(), seen);
            }
        }
        Ok(Some(drift))
    }

    async fn settle(&self, inventory: &Inventory, reporter: &Reporter, key: &CellKey, seen: Seen) {
        let action = if reporter.dry_run { Action::WouldRepair } else { reload(inventory, key).await };
        let (gate, ledger) = (Some(seen.gate), Some(seen.ledger));
        let difference = Difference { gate, ledger, ..nobody_says(key, Kind::GateUnits) };
        reporter.report(inventory, difference, action).await;
    }
}

async fn reload(inventory: &Inventory, key: &CellKey) -> Action {
    let cell = inventory.gate.cells().meet(key);
    cell.invalidate();
    inventory.gate.preheat(key).await;
    if inventory.gate.is_loaded(&cell) { Action::Reloaded } else { Action::NotRepaired }
}
