//! Reserving and deducting: sold-out flag, gate, ledger, in this order, and only the ledger says yes. What the gate put
//! aside and the ledger did not take goes back to the gate.

use std::sync::Arc;

use stampede_kit::task;
use stampede_types::{BuyerId, ReservationId};
use time::Duration;

use crate::domain::{Demand, Denied, Line, Receipt, Reservation, ReservationState};
use crate::error::Error;
use crate::gate::{Admission, Cell, Party};
use crate::inventory::Inventory;
use crate::ledger::Held;

/// Whether the caller says that it has asked this before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    First,
    /// Another process may have accepted it, and the answer was lost: the sold-out flag of this one knows nothing of that. The
    /// gate does while it is decided, and the ledger, which is asked before a refusal, for ever.
    Repeated,
}

impl Inventory {
    /// Holds all lines or none for so long; durable when it answers. The same id is the same reservation.
    pub async fn reserve(
        &self,
        id: ReservationId,
        buyer: BuyerId,
        hold: Duration,
        lines: Vec<Line>,
        attempt: Attempt,
    ) -> Result<Reservation, Error> {
        Ok(self.take(id, buyer, Some(hold), lines, attempt).await?.reservation)
    }

    /// Takes units at once and for good; durable when it answers. The same id is the same deduction.
    pub async fn deduct(
        &self,
        id: ReservationId,
        buyer: BuyerId,
        line: Line,
        attempt: Attempt,
    ) -> Result<Receipt, Error> {
        // Its one line is the request itself.
        let held = self.take(id, buyer, None, vec![line], attempt).await;
        let held = held.map_err(|error| error.below("lines[0]."))?;
        held.reservation.receipt.ok_or(Error::Internal)
    }

    async fn take(
        &self,
        id: ReservationId,
        buyer: BuyerId,
        hold: Option<Duration>,
        lines: Vec<Line>,
        attempt: Attempt,
    ) -> Result<Held, Error> {
        let result = self.admit_and_hold(id, buyer, hold, lines, attempt).await;
        self.metrics.reservation(outcome(&result), 1);
        result
    }

    async fn admit_and_hold(
        &self,
        id: ReservationId,
        buyer: BuyerId,
        hold: Option<Duration>,
        lines: Vec<Line>,
        attempt: Attempt,
    ) -> Result<Held, Error> {
        // In the caller's order, so that a refusal names the caller's line.
        let mut cells = self.cells(&lines.iter().map(|line| &line.cell).collect::<Vec<_>>()).await?;
        let demand = Demand::new(id, buyer, hold, lines);
        if cells.len() > 1 {
            cells = self.cells(&demand.lines().iter().map(|line| &line.cell).collect::<Vec<_>>()).await?;
        }
        if let Some(cell) = cells.iter().find(|cell| cell.is_sold_out())
            && attempt == Attempt::First
            && !self.recent.contains(id)
        {
            self.metrics.sold_out_locally.add(1, &[]);
            return Err(Denied::OutOfStock { cell: cell.key.clone(), free: 0 }.into());
        }
        let quantities = demand.lines().iter().map(|line| line.quantity);
        let lines: Vec<(Arc<Cell>, i64)> = cells.into_iter().zip(quantities).collect();
        // A caller that goes away must not leave units at the gate that nobody has: the rest is carried to its end.
        let inventory = self.clone();
        let deciding =
            task::carried("reserve", async move { inventory.decide(demand, &lines, attempt).await });
        self.outage.guard(deciding).await
    }

    async fn decide(
        &self,
        demand: Demand,
        lines: &[(Arc<Cell>, i64)],
        attempt: Attempt,
    ) -> Result<Held, Error> {
        let party = Party { token: demand.id.uuid(), buyer: demand.buyer.clone() };
        let aside = match self.gate.admit(&party, lines).await? {
            Admission::Admitted(aside) => aside,
            // Boxed, as what is rare and large.
            Admission::Refused(denied)
                if !Box::pin(self.may_be_known(demand.id, attempt, &denied)).await? =>
            {
                return Err(denied.into());
            }
            Admission::Refused(_) => Vec::new(),
        };
        let held = self.ledger.demand(demand).await;
        match &held {
            Ok(held) if held.fresh => self.taken(&held.reservation, &party, lines),
            _ => Box::pin(self.not_taken(&held, &party, &aside)).await,
        }
        if let Ok(held) = &held {
            self.recent.insert(held.reservation.id);
        }
        held
    }

    /// Tells the gate of every line, not only of what was put aside now: that may have been at an earlier try, or not at all.
    fn taken(&self, reservation: &Reservation, party: &Party, lines: &[(Arc<Cell>, i64)]) {
        let number = reservation.made_by.unwrap_or_default();
        for (cell, units) in lines {
            self.gate.taken(cell.clone(), party, *units, number);
        }
    }

    /// Whether the ledger may have an answer to this id that the gate, which forgets ids that have ended, does not know. A first
    /// try may still be committing behind a process that is gone: only a decision, which waits for its locks, tells how it ended.
    async fn may_be_known(
        &self,
        id: ReservationId,
        attempt: Attempt,
        denied: &Denied,
    ) -> Result<bool, Error> {
        match attempt {
            Attempt::Repeated => Ok(true),
            // Before its opening a campaign has accepted nobody: the crowd that waits for it does not reach the ledger.
            Attempt::First if matches!(denied, Denied::NotOpen { .. }) => Ok(false),
            Attempt::First => Ok(self.ledger.find(id).await?.is_some()),
        }
    }

    /// Tells the gate what became of the units it put aside.
    async fn not_taken(&self, held: &Result<Held, Error>, party: &Party, aside: &[Arc<Cell>]) {
        match held {
            // An old answer, or nothing was taken: what was put aside is free again.
            Ok(_) | Err(Error::Overloaded) => self.gate.refused(aside, party).await,
            Err(Error::Denied(Denied::BuyerLimit { cell, limit: Some(limit) })) => {
                self.gate.over(aside, party, cell, *limit).await;
            }
            Err(Error::Denied(denied)) => {
                self.gate.refused(aside, party).await;
                if denied.is_about_stock() {
                    for cell in aside {
                        self.gate.take_level(cell).await;
                    }
                }
            }
            Err(_) => self.gate.unknown(aside, party).await,
        }
    }
}

fn outcome(result: &Result<Held, Error>) -> &'static str {
    match result {
        Ok(held) if held.reservation.state == ReservationState::Pending => "HELD",
        Ok(_) => "DEDUCTED",
        Err(error) => error.reason().declared().word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands are in flight at once: each is as large as the largest thing it may wait for, needed or not.
    #[test]
    fn a_request_in_flight_is_small() {
        fn size<A, F>(_: impl Fn(A) -> F) -> usize {
            size_of::<F>()
        }
        let deduct = size(|(inventory, id, buyer, line): (&'static Inventory, _, _, _)| {
            inventory.deduct(id, buyer, line, Attempt::First)
        });
        assert!(deduct <= 1_024, "{deduct} bytes");
        let decide = size(|(inventory, demand, lines): (&'static Inventory, _, &'static [_])| {
            inventory.decide(demand, lines, Attempt::First)
        });
        assert!(decide <= 1_024, "{decide} bytes");
    }
}
