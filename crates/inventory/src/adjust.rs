//! Adjusting units on hand: a restock or a loss, once an adjustment id.

use stampede_kit::{outbox, task};
use uuid::Uuid;

use crate::domain::{Books, CellKey, Level};
use crate::error::{Error, Violation};
use crate::events;
use crate::inventory::Inventory;
use crate::store::{self, adjustments::Made};

impl Inventory {
    /// Adds `delta` units, or takes them away; the level behind it.
    pub async fn adjust(&self, id: Uuid, key: CellKey, delta: i64, reason: String) -> Result<Level, Error> {
        // A caller that goes away must not keep the gate from hearing of it.
        let inventory = self.clone();
        task::carried("adjust", async move { inventory.adjust_now(id, key, delta, reason).await }).await
    }

    async fn adjust_now(&self, id: Uuid, key: CellKey, delta: i64, reason: String) -> Result<Level, Error> {
        let cell = self.cell(&key).await?;
        let mut tx = store::begin(&self.db).await?;
        let accounts = store::levels::lock(&mut tx, [&key]).await?;
        if let Some(made) = store::adjustments::find(&mut tx, id).await? {
            let same = made.cell == key && made.delta == delta && made.reason == reason;
            return if same { Ok(made.level) } else { Err(Error::AdjustmentConflict) };
        }
        let (now, sequences) = store::levels::stamp(&mut tx, 1).await?;
        let free =
            accounts.get(&key).map_or(0, |account| account.level.available().min(account.level.on_hand));
        let mut books = Books::open(now, accounts, [], Default::default(), sequences);
        let Some(level) = books.adjust(&key, delta, id) else {
            return Err(Error::StockBelowHeld { cell: key, free });
        };
        if level.on_hand > MAX_ON_HAND {
            return Err(Violation::new("delta", format!("at most {MAX_ON_HAND} units can be on hand")).into());
        }
        let event = events::adjusted(&key, &level, delta, &reason, now);
        store::levels::record(&mut tx, &books.close(), now).await?;
        store::adjustments::insert(&mut tx, id, &Made { cell: key, delta, reason, level }).await?;
        outbox::append(&mut tx, &[event]).await?;
        tx.commit().await?;
        self.ledger.after_commit.wake();
        // Nobody's units: no buyer's limit changes.
        self.gate.moved(cell, None, delta, level.version).await;
        Ok(level)
    }
}

/// The CHECK `stock_on_hand_bounded`.
const MAX_ON_HAND: i64 = 1_000_000_000_000;
