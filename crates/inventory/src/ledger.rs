//! The ledger: group commit in front of Postgres. What has gathered is decided by the books in one transaction and answered
//! when it is durable. Two batches in flight never touch the same cell; a cell that somebody else holds holds up no other.

mod hold;
mod lock;
mod resolve;
mod together;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use sqlx::{PgConnection, PgPool};
use stampede_kit::batch::{Batcher, Limits};
use stampede_kit::lanes::Lanes;
use stampede_kit::outbox;
use stampede_types::ReservationId;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::domain::{CellKey, Changes, Demand, Line, Reservation, Resolution, Resolved};
use crate::error::Error;
use crate::{events, store};
pub(crate) use lock::{lock, lock_cells};
use together::together;

/// One writer gathers the largest batches. One that waits for somebody else's lock lets another batch begin.
const HOLDS: Limits = Limits { batch: 512, writers: 1, queue: 8_192 };
const RESOLUTIONS: Limits = Limits { batch: 256, writers: 2, queue: 8_192 };
const LOOKUPS: Limits = Limits { batch: 256, writers: 1, queue: 8_192 };

/// A reservation, and whether this request made it.
#[derive(Debug, Clone)]
pub struct Held {
    pub reservation: Reservation,
    pub fresh: bool,
}

/// Who wants which reservation to end how.
#[derive(Debug, Clone)]
pub struct Ending {
    pub id: ReservationId,
    pub resolution: Resolution,
    /// Only these lines are sold, or these are kept of a release; none means that it ends whole.
    pub part: Vec<Line>,
    /// What it touches, once somebody has looked.
    cells: Vec<CellKey>,
}

impl Ending {
    pub const fn new(id: ReservationId, resolution: Resolution, part: Vec<Line>) -> Self {
        Self { id, resolution, part, cells: Vec::new() }
    }
}

/// What became of an ending.
#[derive(Debug, Clone)]
pub struct Settled {
    pub reservation: Reservation,
    pub resolved: Resolved,
    /// What nobody holds any more, of each line.
    pub freed: Vec<Line>,
    /// The first movement of its transaction.
    pub number: i64,
}

/// Whom to wake after a commit of this process.
#[derive(Debug, Clone, Default)]
pub struct AfterCommit {
    pub outbox: outbox::Wake,
    pub feed: Arc<Notify>,
}

impl AfterCommit {
    pub fn wake(&self) {
        self.outbox.wake();
        self.feed.notify_one();
    }
}

#[derive(Debug, Clone)]
pub struct Ledger {
    demands: Lanes<Demand, Result<Held, Error>>,
    endings: Lanes<Ending, Result<Settled, Error>>,
    lookups: Batcher<ReservationId, Result<Option<Reservation>, Error>>,
    pub after_commit: AfterCommit,
}

impl Ledger {
    pub fn start(db: &PgPool, after_commit: AfterCommit) -> Self {
        let (pool, after) = (db.clone(), after_commit.clone());
        let cells = |demand: &Demand| demand.lines().iter().map(|line| lane(&line.cell)).collect();
        let demands = Lanes::start("ledger-hold", HOLDS, cells, move |demands: Vec<Demand>, manner| {
            let (pool, after) = (pool.clone(), after.clone());
            async move { together(&pool, &after, demands, manner, hold::apply).await }
        });
        let (pool, after) = (db.clone(), after_commit.clone());
        let cells = |ending: &Ending| ending.cells.iter().map(lane).collect();
        let endings =
            Lanes::start("ledger-resolve", RESOLUTIONS, cells, move |endings: Vec<Ending>, manner| {
                let (pool, after) = (pool.clone(), after.clone());
                async move { together(&pool, &after, endings, manner, resolve::apply).await }
            });
        let pool = db.clone();
        let lookups = Batcher::start("ledger-lookup", LOOKUPS, move |ids: Vec<ReservationId>| {
            let pool = pool.clone();
            async move { look_up(&pool, &ids).await }
        });
        Self { demands, endings, lookups, after_commit }
    }

    /// Holds or deducts; durable when it answers.
    pub async fn demand(&self, demand: Demand) -> Result<Held, Error> {
        self.demands.submit(demand).await?
    }

    /// Ends a reservation; durable when it answers.
    pub async fn resolve(&self, ending: Ending) -> Result<Settled, Error> {
        self.endings.submit(ending).await?
    }

    pub async fn find(&self, id: ReservationId) -> Result<Option<Reservation>, Error> {
        self.lookups.submit(id).await?
    }
}

/// A cell as a number. Two cells of one number are never in flight at once, and nothing else.
fn lane(cell: &CellKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    cell.hash(&mut hasher);
    hasher.finish()
}

async fn look_up(db: &PgPool, ids: &[ReservationId]) -> Vec<Result<Option<Reservation>, Error>> {
    let read = async {
        let mut tx = store::begin(db).await?;
        let (now, _) = store::levels::stamp(&mut tx, 0).await?;
        let found = store::reservations::read(&mut tx, ids).await?;
        tx.commit().await?;
        Ok::<_, sqlx::Error>((now, found))
    };
    match read.await {
        Ok((now, found)) => ids
            .iter()
            .map(|id| {
                let seen = |r: &Reservation| Reservation { state: r.state_at(now), ..r.clone() };
                Ok(found.iter().find(|r| r.id == *id).map(seen))
            })
            .collect(),
        Err(error) => {
            let error = Error::from(error);
            ids.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

/// Writes what the books have decided, events included, in the transaction that holds the locks.
pub async fn write(
    conn: &mut PgConnection,
    changes: &Changes,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    if !changes.made.is_empty() {
        store::reservations::insert(conn, &changes.made).await?;
    }
    // Before what ended: it may have shrunk in the same batch.
    if !changes.shrunk.is_empty() {
        pending(changes.shrunk.len(), store::reservations::shrink(conn, &changes.shrunk, at).await?)?;
    }
    if !changes.ended.is_empty() {
        pending(changes.ended.len(), store::reservations::end(conn, &changes.ended, at).await?)?;
    }
    if !changes.movements.is_empty() {
        store::levels::record(conn, changes, at).await?;
    }
    outbox::append(conn, &events::of(changes, at)).await
}

/// The books decided under the lock; a row that was not pending would mean that somebody wrote without it.
fn pending(decided: usize, written: u64) -> Result<(), sqlx::Error> {
    if written == decided as u64 {
        return Ok(());
    }
    Err(sqlx::Error::Decode("a reservation was resolved by somebody who held no lock".into()))
}
