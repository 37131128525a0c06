//! Committing, releasing and expiring: each reservation ends once, by one transaction's decision; the gate hears after it.

use std::time::Duration;

use stampede_kit::task;
use stampede_types::ReservationId;
use tokio_util::sync::CancellationToken;

use crate::domain::{Denied, Line, Reservation, Resolution, Resolved};
use crate::error::Error;
use crate::inventory::Inventory;
use crate::ledger::{Ending, Settled};
use crate::store;

/// How long overdue holds may go unlooked for. Only their units wait for it: an overdue hold cannot be committed anyway.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// When a hold ends before that, it is looked for then, and others that end this soon after it with it.
const SWEEP_TOGETHER: Duration = Duration::from_millis(20);
/// Overdue holds of one look; a full one is followed by the next at once.
const SWEEP: i64 = 256;

impl Inventory {
    /// Turns a hold into a sale: these lines of it, or all when there are none; the rest goes back.
    pub async fn commit(&self, id: ReservationId, sold: Vec<Line>) -> Result<Reservation, Error> {
        self.resolve(Ending::new(id, Resolution::Commit, sold)).await
    }

    /// Gives a hold back, but for these lines. An id that is not known is remembered as released.
    pub async fn release(&self, id: ReservationId, keep: Vec<Line>) -> Result<Reservation, Error> {
        self.resolve(Ending::new(id, Resolution::Release, keep)).await
    }

    /// One reservation as it stands by the ledger's clock.
    pub async fn reservation(&self, id: ReservationId) -> Result<Reservation, Error> {
        self.ledger.find(id).await?.ok_or_else(|| Denied::NotFound { id }.into())
    }

    /// Ends overdue holds until it is told to stop. A ledger that is away is asked again.
    pub async fn expire(self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let pause = match self.sweep().await {
                Ok(swept) if i64::try_from(swept).is_ok_and(|swept| swept >= SWEEP) => Duration::ZERO,
                Ok(_) => pause(self.next_due().await),
                Err(error) => {
                    tracing::warn!(?error, "overdue holds were not swept");
                    // What could not be ended is still overdue: it must not be tried again at once.
                    SWEEP_EVERY
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// How many overdue holds were found and ended, by whomever.
    pub async fn sweep(&self) -> Result<usize, Error> {
        let mut conn = self.db.acquire().await?;
        let due = store::reservations::due(&mut conn, SWEEP).await?;
        drop(conn);
        let expiring = |id: &ReservationId| Ending::new(*id, Resolution::Expire, Vec::new());
        let endings = due.iter().map(|id| self.end(expiring(id)));
        for ended in futures::future::join_all(endings).await {
            ended?;
        }
        Ok(due.len())
    }

    /// How long the next hold to end has left; `None` without one, or without an answer.
    async fn next_due(&self) -> Option<Duration> {
        let mut conn = self.db.acquire().await.ok()?;
        let left_ms = store::reservations::next_due_ms(&mut conn).await.ok()??;
        Some(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)))
    }

    async fn resolve(&self, ending: Ending) -> Result<Reservation, Error> {
        // A caller that goes away must not keep the gate from hearing how it ended: this is carried to its end.
        let inventory = self.clone();
        let ending = task::carried("resolve", async move { inventory.end(ending).await });
        self.outage.guard(ending).await
    }

    async fn end(&self, ending: Ending) -> Result<Reservation, Error> {
        let settled = self.ledger.resolve(ending).await?;
        match settled.resolved {
            Resolved::Now(state) => self.metrics.reservation(state.as_str(), 1),
            Resolved::Shrunk => self.metrics.reservation("SHRUNK", 1),
            Resolved::Before(_) | Resolved::Lost(_) => {}
        }
        self.tell_gate(&settled).await;
        Ok(settled.reservation)
    }

    async fn tell_gate(&self, settled: &Settled) {
        let buyer = settled.reservation.buyer.as_ref();
        let freed = settled.freed.iter().map(|line| {
            self.gate.moved(self.gate.cells().meet(&line.cell), buyer, line.quantity, settled.number)
        });
        futures::future::join_all(freed).await;
    }
}

fn pause(next_due: Option<Duration>) -> Duration {
    next_due.map_or(SWEEP_EVERY, |left| (left + SWEEP_TOGETHER).min(SWEEP_EVERY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweeper_comes_when_a_hold_ends_and_never_later_than_its_rhythm() {
        let ms = Duration::from_millis;
        assert_eq!(pause(Some(ms(70))), ms(90));
        assert_eq!(pause(Some(ms(0))), SWEEP_TOGETHER);
        assert_eq!(pause(Some(ms(60_000))), SWEEP_EVERY);
        assert_eq!(pause(None), SWEEP_EVERY);
    }
}
