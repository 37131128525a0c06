//! Setting how far a pool sells beyond what is on hand. Nothing else ever raises it; closing a campaign lowers it.

use stampede_kit::{outbox, task};

use crate::domain::{CellKey, Level};
use crate::error::Error;
use crate::events;
use crate::inventory::Inventory;
use crate::store;

impl Inventory {
    /// From now on so many units may be promised beyond what is on hand; the level behind it. The same number again changes
    /// nothing.
    pub async fn set_backorder(&self, key: CellKey, backorder: i64) -> Result<Level, Error> {
        // A caller that goes away must not keep the gate from hearing of it.
        let inventory = self.clone();
        task::carried("backorder", async move { inventory.set_backorder_now(key, backorder).await }).await
    }

    async fn set_backorder_now(&self, key: CellKey, backorder: i64) -> Result<Level, Error> {
        let cell = self.cell(&key).await?;
        let mut tx = store::begin(&self.db).await?;
        let accounts = store::levels::lock(&mut tx, [&key]).await?;
        let level = accounts.get(&key).map(|account| account.level).ok_or(Error::Internal)?;
        if level.backorder == backorder {
            return Ok(level);
        }
        let promised = level.promised_beyond();
        if backorder < promised {
            return Err(Error::BackorderPromised { cell: key, promised });
        }
        let (now, sequences) = store::levels::stamp(&mut tx, 1).await?;
        let version = sequences.first().copied().ok_or(Error::Internal)?;
        let set = Level { backorder, version, ..level };
        store::backorders::record(&mut tx, &[(key.clone(), set)], now).await?;
        outbox::append(&mut tx, &[events::backorder_set(&key, &set, now)]).await?;
        tx.commit().await?;
        self.ledger.after_commit.wake();
        // Nobody's units: no buyer's limit changes.
        self.gate.moved(cell, None, backorder - level.backorder, set.version).await;
        Ok(set)
    }
}
