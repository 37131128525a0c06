//! Closing a campaign now: its window ends by the ledger's clock, and units nobody holds or bought go to the shelf.

use stampede_kit::{outbox, task};
use stampede_types::{CampaignId, Pool};
use uuid::Uuid;

use crate::domain::{Books, CellKey, Level};
use crate::error::Error;
use crate::inventory::Inventory;
use crate::store::campaigns::Found;
use crate::{events, ledger, store};

/// Units that went to the shelf by the movement of this number.
struct Moved {
    shelf: CellKey,
    units: i64,
    version: i64,
}

impl Inventory {
    /// The campaign as it stands behind it. One that has closed stays as it is, but for units that came back since.
    pub async fn close_campaign(&self, id: CampaignId) -> Result<Found, Error> {
        // A caller that goes away must not keep the gate from hearing of it.
        let inventory = self.clone();
        task::carried("close", async move { inventory.close_campaign_now(id).await }).await
    }

    async fn close_campaign_now(&self, id: CampaignId) -> Result<Found, Error> {
        let found = self.campaign(id.clone()).await?;
        let pool = Pool::Campaign(id.clone());
        let cell =
            |pool: &Pool, at: usize| CellKey { pool: pool.clone(), sku: found.items[at].item.sku.clone() };
        let sold: Vec<CellKey> = (0..found.items.len()).map(|at| cell(&pool, at)).collect();
        let shelf: Vec<CellKey> = (0..found.items.len()).map(|at| cell(&Pool::Shelf, at)).collect();

        let cells: Vec<&CellKey> = sold.iter().chain(&shelf).collect();
        let (mut tx, accounts) = ledger::lock_cells(&self.db, &cells).await?;
        // An adjustment of each, and a backorder of each that was sold.
        let (now, mut numbers) = store::levels::stamp(&mut tx, 3 * sold.len()).await?;
        let backorder_numbers = numbers.split_off(2 * sold.len());
        let closed = store::campaigns::close(&mut tx, &id, now).await?;
        let mut books = Books::open(now, accounts, [], Vec::new(), numbers);
        let mut moved = Vec::new();
        for (from, to) in sold.iter().zip(&shelf) {
            let units = books.level(from).map_or(0, Level::free);
            let transfer = Uuid::now_v7();
            if units > 0 && books.adjust(from, -units, transfer).is_some() {
                books.adjust(to, units, transfer).ok_or(Error::Internal)?;
                let version = books.level(to).map_or(0, |level| level.version);
                moved.push(Moved { shelf: to.clone(), units, version });
            }
        }
        let promised = promised(&books, &sold, backorder_numbers);
        let changes = books.close();
        if !changes.movements.is_empty() {
            store::levels::record(&mut tx, &changes, now).await?;
        }
        if !promised.is_empty() {
            store::backorders::record(&mut tx, &promised, now).await?;
        }
        if closed {
            outbox::append(&mut tx, &[events::campaign_closed(&id, now)]).await?;
        }
        tx.commit().await?;
        self.ledger.after_commit.wake();
        self.close_gate(&sold, moved).await;
        self.campaign(id).await
    }

    async fn close_gate(&self, sold: &[CellKey], moved: Vec<Moved>) {
        // The window is not a number of units: it is loaded.
        for key in sold {
            self.gate.cells().meet(key).invalidate();
            self.gate.preheat(key).await;
        }
        for Moved { shelf, units, version } in moved {
            // Nobody's units: no buyer's limit changes.
            self.gate.moved(self.gate.cells().meet(&shelf), None, units, version).await;
        }
    }
}

/// Beyond what is on hand only what was promised stays: nothing more will be.
fn promised(books: &Books, sold: &[CellKey], numbers: Vec<i64>) -> Vec<(CellKey, Level)> {
    let lowered = sold.iter().zip(numbers).filter_map(|(cell, version)| {
        let level = books.level(cell)?;
        let backorder = level.promised_beyond();
        (backorder < level.backorder).then(|| (cell.clone(), Level { backorder, version, ..level }))
    });
    lowered.collect()
}
