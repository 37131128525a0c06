//! Saying what was found: a line in the log, a count, an audit row, and whoever asked. It mends nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use stampede_kit::metrics::KeyValue;
use tokio::sync::mpsc;

use crate::domain::drift::{Action, Difference, Kind};
use crate::inventory::Inventory;
use crate::store;

/// A difference, and what was done about it.
#[derive(Debug, Clone)]
pub struct Finding {
    pub difference: Difference,
    pub action: Action,
}

/// Whom to tell. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Reporter {
    process: Arc<str>,
    /// Somebody who asked for one comparison. What is only said to them is not written down.
    asker: Option<mpsc::Sender<Finding>>,
    pub dry_run: bool,
    /// Units by which the sides differed, since it was last asked.
    units: Arc<Mutex<BTreeMap<Kind, i64>>>,
}

impl Reporter {
    pub fn new(asker: Option<mpsc::Sender<Finding>>, dry_run: bool) -> Self {
        Self { process: process().into(), asker, dry_run, units: Arc::default() }
    }

    /// Says it everywhere. An audit row that cannot be written is no reason to stop comparing.
    pub async fn report(&self, inventory: &Inventory, difference: Difference, action: Action) {
        let kind = difference.kind;
        *self.units.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() +=
            difference.units();
        say(&difference, action);
        if !self.dry_run {
            let labels = [KeyValue::new("kind", kind.as_str()), KeyValue::new("action", action.as_str())];
            inventory.metrics.reconciliations.add(1, &labels);
            if let Err(error) = self.write(inventory, &difference, action).await {
                tracing::warn!(%error, "a difference was not written down");
            }
        }
        if let Some(asker) = &self.asker {
            // Whoever asked may have stopped listening.
            let _ = asker.send(Finding { difference, action }).await;
        }
    }

    /// Whether anybody still waits for what is found.
    pub fn is_heard(&self) -> bool {
        self.asker.as_ref().is_none_or(|asker| !asker.is_closed())
    }

    /// Shows the units found since the last time, by kind: zero where the sides agree.
    pub fn show(&self, inventory: &Inventory) {
        let found = std::mem::take(&mut *self.units.lock().unwrap_or_else(PoisonError::into_inner));
        for kind in Kind::ALL {
            let units = found.get(&kind).copied().unwrap_or(0);
            inventory.metrics.drift.record(units, &[KeyValue::new("kind", kind.as_str())]);
        }
    }

    async fn write(
        &self,
        inventory: &Inventory,
        difference: &Difference,
        action: Action,
    ) -> Result<(), sqlx::Error> {
        let mut conn = inventory.db.acquire().await?;
        store::reconciliation::insert(&mut conn, difference, action, &self.process).await
    }
}

fn say(difference: &Difference, action: Action) {
    let Difference { cell, kind, subject, gate, ledger, movements, reservations } = difference;
    let (pool, sku) = (cell.pool.as_str(), cell.sku.as_str());
    let (kind, is_ledgers) = (kind.as_str(), kind.is_ledgers());
    let action = action.as_str();
    if is_ledgers {
        tracing::error!(
            pool,
            sku,
            kind,
            subject,
            ledger,
            movements,
            reservations,
            "the ledger disagrees with itself"
        );
    } else {
        tracing::warn!(pool, sku, kind, subject, gate, ledger, action, "gate and ledger differ");
    }
}

/// Host and process id.
fn process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}
