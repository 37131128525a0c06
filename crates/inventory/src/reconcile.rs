//! The reconciler: compares gate, levels, movements and reservations for as long as the process lives. What the gate has
//! wrong it mends; what the ledger has wrong it only reports. Each process looks at the cells it has loaded; one of them goes
//! around the whole ledger as well.

mod buyers;
mod lap;
mod once;
mod prune;
mod report;
mod view;

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inventory::Inventory;
use crate::store;
use buyers::Buyers;
use lap::{Lap, Tools};
use prune::Pruner;
use report::Reporter;
use view::View;

pub use lap::Limits;
pub use once::{Said, Summary};
pub use prune::Keep;
pub use report::Finding;

/// How often the gate is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Steps of a lap in one round: about a tenth of a second of Postgres's time.
const STEPS: usize = 20;
/// How often a lap trusts no checkpoint.
const FROM_THE_BEGINNING_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How the reconciler goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A lap around the ledger begins at most this often.
    pub lap_every: Duration,
    /// What the gate has put aside, or counts for a buyer, is wrong only when it stays wrong for this long: longer than any
    /// request takes from the gate to the ledger.
    pub stale_after: Duration,
    /// What is forgotten, and when.
    pub keep: Keep,
    /// How much one step reads.
    pub limits: Limits,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lap_every: Duration::from_secs(60),
            stale_after: Duration::from_secs(10),
            keep: Keep::default(),
            limits: Limits::default(),
        }
    }
}

/// What has been seen so far.
#[derive(Debug)]
pub struct Reconciler {
    pace: Pace,
    reporter: Reporter,
    view: View,
    buyers: Buyers,
    /// The session that holds the lock, while this process is the one that goes around.
    lead: Option<PoolConnection<Postgres>>,
    lap: Option<Lap>,
    next_lap: Instant,
    counted_from_the_beginning: Option<Instant>,
    pruner: Pruner,
}

impl Default for Reconciler {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

impl Reconciler {
    pub fn new(pace: Pace) -> Self {
        Self::reporting(pace, Reporter::new(None, false))
    }

    fn reporting(pace: Pace, reporter: Reporter) -> Self {
        Self {
            pace,
            reporter,
            view: View::default(),
            buyers: Buyers::new(pace.stale_after),
            lead: None,
            lap: None,
            next_lap: Instant::now(),
            counted_from_the_beginning: None,
            pruner: Pruner::new(pace.keep),
        }
    }

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
            if let Err(error) = self.go_around(&inventory).await {
                // Whatever it was, somebody begins anew: the session may be gone, and the lock with it.
                self.lead = None;
                self.lap = None;
                tracing::warn!(%error, "the ledger was not compared with itself");
            }
        }
    }

    /// One look at the gate as this process has loaded it; units by which gate and ledger differ, or nothing when Redis did not
    /// say: then the metric keeps what was last known.
    pub async fn round(&mut self, inventory: &Inventory) -> Result<Option<i64>, sqlx::Error> {
        let drift = self.view.round(inventory, &self.reporter).await?;
        if let Some(units) = drift {
            inventory.metrics.gate_drift.record(units, &[]);
        }
        Ok(drift)
    }

    /// Forgets everything that is old enough now, if this process is the one that goes around.
    pub async fn prune(&mut self, inventory: &Inventory) -> Result<(), sqlx::Error> {
        if self.lead.is_none() {
            self.lead = lead(&inventory.db).await?;
        }
        let Some(conn) = &mut self.lead else { return Ok(()) };
        let mut pruner = Pruner::new(self.pace.keep);
        while !pruner.step(inventory, conn).await? {}
        Ok(())
    }

    /// Some steps around the ledger, if this process is the one that goes around; whether a lap was ended.
    pub async fn go_around(&mut self, inventory: &Inventory) -> Result<bool, sqlx::Error> {
        if self.lead.is_none() {
            self.lead = lead(&inventory.db).await?;
        }
        let Some(conn) = &mut self.lead else { return Ok(false) };
        self.buyers.review(inventory, conn, &self.reporter).await?;
        if self.lap.is_none() && Instant::now() >= self.next_lap {
            self.next_lap = Instant::now() + self.pace.lap_every;
            let from_the_beginning =
                self.counted_from_the_beginning.is_none_or(|at| at.elapsed() >= FROM_THE_BEGINNING_EVERY);
            self.lap = Some(Lap::new(self.pace.limits, from_the_beginning));
        }
        let Some(lap) = &mut self.lap else {
            // Between laps: what a lap has counted must not go before it is compared.
            self.pruner.step(inventory, conn).await?;
            return Ok(false);
        };
        let mut tools = Tools {
            inventory,
            conn,
            reporter: &self.reporter,
            view: &mut self.view,
            buyers: &mut self.buyers,
        };
        for _ in 0..STEPS {
            if !lap.step(&mut tools).await? {
                if lap.is_from_the_beginning() {
                    self.counted_from_the_beginning = Some(Instant::now());
                }
                self.lap = None;
                self.reporter.show(inventory);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A session that holds the lock, or none when another process's does.
async fn lead(db: &PgPool) -> Result<Option<PoolConnection<Postgres>>, sqlx::Error> {
    let mut conn = db.acquire().await?;
    if !store::audit::lead(&mut conn).await? {
        return Ok(None);
    }
    // The lock is the session's: it must never go back to the pool.
    conn.close_on_drop();
    Ok(Some(conn))
}
