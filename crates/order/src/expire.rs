//! Ends unpaid orders whose time has passed, a batch in one transaction: a flash sale leaves a hundred thousand of them at once. An
//! order for which a payment was ever begun goes the long way, through its saga. Several instances share the work through row
//! locks. It never writes that stock is free before inventory has said so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use stampede_kit as kit;
use stampede_types::OrderId;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crash::CrashPoint;
use crate::domain::saga::{Action, Outcome};
use crate::domain::state::{Event, OrderState};
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;
use crate::store::expire::Due;

/// Orders of one batch: as many as one group commit places.
const BATCH: i64 = 256;
/// Releases asked for at once. Inventory decides them together; more would crowd out the buyers' reservations.
const RELEASES_AT_ONCE: usize = 32;
/// A batch is claimed for as long as so many steps of a saga: it is that many rounds of releases.
const LEASES: u32 = 8;
/// How often it looks when little is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long it leaves an inventory alone that does not answer.
const LET_RECOVER: Duration = Duration::from_secs(2);
/// How often it looks at all that is due, also at what was passed over: orders that were locked, or worked on.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What became of a batch.
#[derive(Debug, Default)]
struct Batch {
    taken: usize,
    away: usize,
    /// The latest time to pay among them.
    last: Option<OffsetDateTime>,
}

/// Runs until it is stopped. A database or an inventory that is away is waited for.
pub async fn run(orders: Arc<Orders>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut from = None;
    let mut swept_at = Instant::now();
    let mut pause = LOOK_EVERY;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let begin = if swept_at.elapsed() >= SWEEP_EVERY { None } else { from };
        pause = match orders.expire_batch(begin).await {
            Ok(batch) if batch.away > 0 => LET_RECOVER,
            Ok(batch) => {
                if begin.is_none() {
                    swept_at = Instant::now();
                }
                from = batch.last.or(begin);
                if batch.taken as i64 == BATCH { Duration::ZERO } else { LOOK_EVERY }
            }
            Err(error) => {
                // A sweep that is too much to look through stops nobody from going on behind the last one.
                swept_at = Instant::now();
                tracing::warn!(%error, "overdue orders could not be ended");
                LOOK_EVERY
            }
        };
    }
    Ok(())
}

impl Orders {
    async fn expire_batch(&self, from: Option<OffsetDateTime>) -> Result<Batch, Error> {
        let claim = Uuid::now_v7();
        let due = store::expire::begin(&self.db, claim, self.saga_lease * LEASES, from, BATCH).await?;
        let mut batch = Batch { taken: due.len(), away: 0, last: due.last().map(|due| due.expires_at) };
        let alone: Vec<Due> = due.into_iter().filter(|due| due.unpaid).collect();
        let with_uses: HashSet<OrderId> =
            alone.iter().filter(|due| due.promotions).map(|due| due.order).collect();
        if alone.is_empty() {
            return Ok(batch);
        }
        self.crash_at.reached(CrashPoint::Before(Action::Release));
        let (mut released, mut away, mut odd) = (Vec::new(), Vec::new(), Vec::new());
        let mut asking = futures::stream::iter(alone)
            .map(|due| async move { (due.order, self.peers.release(due.reservation).await) })
            .buffer_unordered(RELEASES_AT_ONCE);
        while let Some((order, outcome)) = asking.next().await {
            match outcome {
                // Nothing left to release is released.
                Outcome::Done | Outcome::HoldExpired | Outcome::HoldReleased => released.push(order.uuid()),
                Outcome::Away(_) => away.push(order.uuid()),
                Outcome::HoldCommitted
                | Outcome::Captured
                | Outcome::Declined(_)
                | Outcome::Buyer(_)
                | Outcome::Pending(_)
                | Outcome::Refused(_) => odd.push(order.uuid()),
            }
        }
        self.crash_at.reached(CrashPoint::After(Action::Release));
        self.end_expired(claim, &released, &with_uses).await?;
        self.crash_at.reached(CrashPoint::Written(Action::Release));
        if released.is_empty() && odd.is_empty() {
            // Nothing was written: all are due again, and nobody can begin to pay for them.
            batch.away = away.len();
            store::expire::forget(&self.db, claim, &away).await?;
        } else {
            // Inventory is there. What it could not answer now is asked again one by one and keeps no batch waiting.
            odd.append(&mut away);
            store::expire::hand_over(&self.db, claim, &odd).await?;
        }
        Ok(batch)
    }

    /// One transaction: the orders, their sagas, what others must hear, and the uses of promotions. Those come last: others wait for
    /// the rows that count them.
    async fn end_expired(
        &self,
        claim: Uuid,
        released: &[Uuid],
        with_uses: &HashSet<OrderId>,
    ) -> Result<(), Error> {
        if released.is_empty() {
            return Ok(());
        }
        let state = OrderState::AwaitingPayment.on(Event::HoldEnded)?;
        let mut tx = kit::postgres::begin(&self.db).await?;
        let ended = store::expire::end(&mut tx, claim, released, state).await?;
        let ids: Vec<Uuid> = ended.iter().map(|(order, _)| order.uuid()).collect();
        if store::expire::forget(&mut *tx, claim, &ids).await? != ids.len() as u64 {
            // Our lease ran out and somebody else has one of them: whoever that is ends it.
            return Ok(());
        }
        let at = self.clock.now();
        let facts: Vec<_> = ended.iter().map(|(order, _)| events::expired(*order, at)).collect();
        kit::outbox::append(&mut tx, &facts).await?;
        let used = ended.iter().map(|(order, _)| *order).filter(|order| with_uses.contains(order));
        let used: Vec<Uuid> = used.map(OrderId::uuid).collect();
        if !used.is_empty() {
            store::uses::release(&mut tx, &used).await?;
        }
        tx.commit().await?;
        self.metrics.expired.add(ended.len() as u64, &[]);
        self.wake.wake();
        for (order, version) in ended {
            self.waiting.let_go(order);
            self.watching.changed(order, version);
        }
        Ok(())
    }
}
