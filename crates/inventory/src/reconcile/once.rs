//! One comparison of everything, when somebody asks: the same laps as the reconciler's, without its pauses and without its
//! checkpoints. A dry run changes nothing and writes nothing down.

use std::time::Duration;

use futures::Stream;
use stampede_kit::task;
use tokio::sync::mpsc;

use super::Pace;
use super::buyers::Buyers;
use super::lap::{Lap, Tools};
use super::report::{Finding, Reporter};
use super::view::View;
use crate::error::Error;
use crate::inventory::Inventory;

/// Findings that wait for a slow reader before the comparison waits too.
const WAITING: usize = 64;
/// How often what differs at the gate is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Second looks beyond the age of what is stale. What still moves then is no difference but a shop that sells.
const MORE_LOOKS: u32 = 3;

/// What a comparison says, in its order.
#[derive(Debug, Clone)]
pub enum Said {
    Found(Finding),
    Done(Summary),
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub cells: u64,
    /// Cells whose units at the gate were moving all the time: nothing can be said of them.
    pub moving: u64,
}

impl Inventory {
    /// Compares gate, levels, movements and reservations once; one comparison at a time in a process.
    pub fn compare(
        &self,
        pace: Pace,
        dry_run: bool,
    ) -> Result<impl Stream<Item = Result<Said, Error>> + use<>, Error> {
        let alone = self.comparing.clone().try_lock_owned().map_err(|_| Error::Overloaded)?;
        let (asker, found) = mpsc::channel(WAITING);
        let inventory = self.clone();
        let comparing = async move {
            let _alone = alone;
            once(&inventory, pace, Reporter::new(Some(asker), dry_run)).await
        };
        let comparing = task::spawn("reconcile-once", comparing);
        Ok(futures::stream::unfold(Some((found, comparing)), |reading| async move {
            let (mut found, comparing) = reading?;
            if let Some(finding) = found.recv().await {
                return Some((Ok(Said::Found(finding)), Some((found, comparing))));
            }
            let done = match comparing.await {
                Ok(done) => done.map(Said::Done).map_err(Error::from),
                // It panicked, which the hook has logged.
                Err(_) => Err(Error::Internal),
            };
            Some((done, None))
        }))
    }
}

async fn once(inventory: &Inventory, pace: Pace, reporter: Reporter) -> Result<Summary, sqlx::Error> {
    let mut conn = inventory.db.acquire().await?;
    let (mut view, mut buyers) = (View::default(), Buyers::new(pace.stale_after));
    let mut lap = Lap::new(pace.limits, true);
    let mut tools =
        Tools { inventory, conn: &mut conn, reporter: &reporter, view: &mut view, buyers: &mut buyers };
    while reporter.is_heard() && lap.step(&mut tools).await? {}
    let looks = u32::try_from(pace.stale_after.as_secs()).unwrap_or(u32::MAX).saturating_add(MORE_LOOKS);
    for _ in 0..looks {
        if !reporter.is_heard() || view.is_settled() && buyers.is_settled() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        view.again(inventory, &reporter).await?;
        buyers.review(inventory, &mut conn, &reporter).await?;
    }
    Ok(Summary { cells: lap.cells, moving: view.unsettled() })
}
