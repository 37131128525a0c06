//! The locks of a command that touches several cells: all of them, or none while it waits for one, so that a cell somebody else holds
//! holds up no other. It decides nothing.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use stampede_types::ReservationId;
use tokio::time::Instant;

use super::resolve::{Locked, lock_with};
use crate::domain::{Account, CellKey};
use crate::store;
use stampede_kit::postgres::{Patience, begin_by_key};

/// What waits for a cell lets go of what it has, and tries again after a pause, for so long.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES_FOR: Duration = Duration::from_secs(5);

/// How long somebody has waited.
pub(super) struct Waiting {
    until: Instant,
}

impl Waiting {
    pub fn begin() -> Self {
        Self { until: Instant::now() + TRIES_FOR }
    }

    /// Pauses when somebody else holds a cell and there is time to try again; everything else is an end.
    pub async fn after(&self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        if !store::is_blocked(&error) || Instant::now() >= self.until {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// These cells, locked. Cells that do not exist are left out.
pub(crate) async fn lock_cells(
    db: &PgPool,
    cells: &[&CellKey],
) -> Result<(Transaction<'static, Postgres>, HashMap<CellKey, Account>), sqlx::Error> {
    let waiting = Waiting::begin();
    loop {
        let mut tx = begin_by_key(db, Patience::Short).await?;
        match store::levels::lock(&mut tx, cells.iter().copied()).await {
            Ok(accounts) => return Ok((tx, accounts)),
            Err(error) => {
                tx.rollback().await?;
                waiting.after(error).await?;
            }
        }
    }
}

/// The reservations with every cell of theirs locked. What is read after the locks cannot change before the commit.
pub(crate) async fn lock(db: &PgPool, ids: &[ReservationId]) -> Result<Locked, sqlx::Error> {
    let waiting = Waiting::begin();
    loop {
        match lock_with(db, ids, Patience::Short).await {
            Ok(locked) => return Ok(locked),
            Err(error) => waiting.after(error).await?,
        }
    }
}
