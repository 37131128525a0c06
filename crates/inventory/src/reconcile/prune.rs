//! Forgetting: reservations that ended long ago, movements that are old, audit rows that nobody reads any more. In the background,
//! a chunk a round, and never what is needed to say what a level should be. It decides nothing about stock.

use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::ReservationId;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::CellKey;
use crate::inventory::Inventory;
use crate::{ledger, store};

/// Everything is gone through this often.
const EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Reservations looked at, movements folded and rows forgotten in one step.
const PAGE: i64 = 2_000;
/// Reservations forgotten in one transaction, which holds the locks of their cells.
const CHUNK: usize = 200;
/// Cells whose movements are looked at in one step.
const CELLS: i64 = 20;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Reservations, behind their end and behind the last return of something of theirs. Until then what was sold can be returned.
    pub reservations: Duration,
    /// Movements; older ones become one CHECKPOINT a cell when they have been verified.
    pub movements: Duration,
    /// Audit rows.
    pub rows: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { reservations: DAY * 35, movements: DAY * 35, rows: DAY * 90 }
    }
}

#[derive(Debug)]
enum Stage {
    Reservations(Uuid),
    Movements(Option<CellKey>),
    Rows,
}

/// How far it has come.
#[derive(Debug)]
pub struct Pruner {
    keep: Keep,
    stage: Stage,
    next: Instant,
}

impl Pruner {
    pub fn new(keep: Keep) -> Self {
        Self { keep, stage: Stage::Reservations(Uuid::nil()), next: Instant::now() }
    }

    /// One step, if it is time; whether everything has been gone through.
    pub async fn step(
        &mut self,
        inventory: &Inventory,
        conn: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        if Instant::now() < self.next {
            return Ok(false);
        }
        let next = match &self.stage {
            Stage::Reservations(after) => {
                let page =
                    store::pruning::old_reservations(conn, *after, self.keep.reservations, PAGE).await?;
                match page {
                    Some((last, old)) => {
                        forget(inventory, &old).await?;
                        Stage::Reservations(last)
                    }
                    None => Stage::Movements(None),
                }
            }
            Stage::Movements(after) => {
                let cells = store::pruning::verified_cells(conn, after.as_ref(), CELLS).await?;
                let mut last = after.clone();
                for cell in &cells {
                    let folded = store::pruning::fold(conn, cell, self.keep.movements, PAGE).await?;
                    if folded >= PAGE as u64 {
                        // There is more of it.
                        break;
                    }
                    last = Some(cell.clone());
                }
                if cells.is_empty() { Stage::Rows } else { Stage::Movements(last) }
            }
            Stage::Rows => {
                let gone = store::reconciliation::prune(conn, self.keep.rows, PAGE).await?;
                if gone < PAGE as u64 {
                    self.next = Instant::now() + EVERY;
                    self.stage = Stage::Reservations(Uuid::nil());
                    return Ok(true);
                }
                Stage::Rows
            }
        };
        self.stage = next;
        Ok(false)
    }
}

async fn forget(inventory: &Inventory, old: &[Uuid]) -> Result<(), sqlx::Error> {
    for chunk in old.chunks(CHUNK) {
        let ids: Vec<_> = chunk.iter().copied().map(ReservationId::new).collect();
        // Whoever returns something of them holds these locks too.
        let (mut tx, _, _) = ledger::lock(&inventory.db, &ids).await?;
        let gone = store::pruning::forget(&mut tx, chunk).await?;
        tx.commit().await?;
        tracing::debug!(gone, "reservations that ended long ago were forgotten");
    }
    Ok(())
}
