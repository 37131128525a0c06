//! Money that is found on a payment after it was given up: the order takes it once more if its stock can still be held, else it goes back
//! (`back`). Payment is asked before anything is done, and every step has an id of its own, so doing it twice is doing it once.

mod back;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use stampede_proto::inventory::v1::ReservationState;
use stampede_types::ReservationId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::crash::{CrashPoint, Late};
use crate::domain::late::{Found, IN_CONFLICT, Look, QUIET_AFTER, Verdict, loose, pause, verdict};
use crate::domain::order::{Change, Order};
use crate::domain::pricing::Wanted;
use crate::domain::saga::Step;
use crate::domain::state::{Event, PaymentState, StockState};
use crate::error::{Error, is_about_stock};
use crate::orders::Orders;
use crate::store;
use crate::store::late::Watched;
use crate::store::saga::Work;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it counts those that wait for a person.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Payments taken at once: all of them are looked at together, so that none waits for its turn while its lease runs.
const BATCH: i64 = 16;
/// How long a payment belongs to whoever took it: several calls to peers.
const LEASE: Duration = Duration::from_secs(20);

/// Runs until it is stopped. A database or a peer that is away is waited for.
pub async fn run(orders: Arc<Orders>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut pause = LOOK_EVERY;
    let mut counted_at = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = LOOK_EVERY;
        if counted_at.elapsed() >= COUNT_EVERY {
            counted_at = Instant::now();
            if let Ok(parked) = store::late::parked(&orders.db).await {
                orders.metrics.late_parked.record(parked, &[]);
            }
        }
        match store::late::take_due(&orders.db, LEASE, BATCH).await {
            Ok(due) => {
                if due.len() as i64 == BATCH {
                    // There is more of it.
                    pause = Duration::ZERO;
                }
                futures::stream::iter(due)
                    .for_each_concurrent(None, async |watched| {
                        if let Err(error) = orders.look_for_money(watched).await {
                            // Its lease runs out and it is asked about again.
                            tracing::warn!(payment = %watched.payment, %error, "a payment that was given up could not be looked at");
                        }
                    })
                    .await;
            }
            Err(error) => tracing::warn!(%error, "payments that were given up could not be looked for"),
        }
    }
    Ok(())
}

impl Orders {
    async fn look_for_money(&self, watched: Watched) -> Result<(), Error> {
        let payment = self.peers.payment(watched.payment).await.map_err(Error::of_peer)?;
        let found = payment.as_ref().map_or(Found::Nothing, crate::peers::money_on);
        // Asked for before the order is read: a saga that has ended since has left its mark on the order.
        let saga = store::saga::of_order(&self.db, watched.order).await?;
        let order = self.order(watched.order).await?.ok_or(Error::NotFound)?;
        let retries = match found {
            Found::Nothing => 0,
            Found::Held(_) | Found::Taken(_) | Found::Conflicted(_) => {
                self.retries(watched.order, Some(watched.payment)).await?
            }
        };
        let look = Look {
            payment: watched.payment,
            found,
            came_back: payment.as_ref().map_or(0, crate::peers::came_back),
            saga,
            giving_back: watched.giving_back.is_some(),
            retries,
            late_by: (self.clock.now() - order.expires_at).try_into().unwrap_or(Duration::ZERO),
            revive_within: self.late_hold,
        };
        let loose = loose(&order, watched.payment, found, look.came_back);
        match verdict(&order, look) {
            Verdict::Quiet => match watched.giving_back {
                // On its way back: it is told of when it is there.
                Some(_) if payment.as_ref().is_some_and(crate::peers::is_unsettled) => {
                    self.look_again(&watched).await
                }
                // It is back, and the answer that said so was lost; or somebody else has given it back.
                Some(amount) => self.tell_given_back(&order, &watched, amount).await,
                None if watched.age < QUIET_AFTER => self.look_again(&watched).await,
                None => self.forget(&watched).await,
            },
            Verdict::Later => self.look_again(&watched).await,
            Verdict::Ours => self.forget(&watched).await,
            // Somebody decides about it, and may be moving it by other means.
            Verdict::Revive | Verdict::Void | Verdict::Refund | Verdict::Person if watched.parked => {
                self.look_again(&watched).await
            }
            Verdict::Revive => {
                if self.revive(&order, &watched).await? {
                    return Ok(());
                }
                self.give_back(&order, &watched, loose, retries).await
            }
            Verdict::Void | Verdict::Refund => self.give_back(&order, &watched, loose, retries).await,
            Verdict::Person => match loose {
                Found::Conflicted(_) => self.leave_to_a_person(&order, &watched, loose, IN_CONFLICT).await,
                Found::Held(_) | Found::Taken(_) | Found::Nothing => {
                    self.was_refused(&order, &watched, crate::peers::CAME_BACK).await
                }
            },
        }
    }

    async fn look_again(&self, watched: &Watched) -> Result<(), Error> {
        Ok(store::late::later(&self.db, watched, pause(watched.asked)).await?)
    }

    async fn forget(&self, watched: &Watched) -> Result<(), Error> {
        store::late::forget(&self.db, watched).await?;
        Ok(())
    }

    /// Holds the stock once more; then the order is paid for as if in time. False when the stock is not to be had.
    async fn revive(&self, order: &Order, watched: &Watched) -> Result<bool, Error> {
        let hold = ReservationId::new(order.id.derive(&format!("late/{}", watched.payment)));
        let lines: Vec<Wanted> = order
            .lines
            .iter()
            .map(|line| Wanted { sku: line.sku.clone(), pool: line.pool.clone(), quantity: line.quantity })
            .collect();
        self.crash_at.reached(CrashPoint::BeforeLate(Late::Hold));
        let held = self.peers.reserve(hold, &order.buyer, &lines, self.hold_grace, true).await;
        self.crash_at.reached(CrashPoint::AfterLate(Late::Hold));
        match held {
            Ok(held) => match held.state() {
                ReservationState::Pending => {}
                // It was held before, for nothing.
                ReservationState::Released | ReservationState::Expired => return Ok(false),
                // Somebody else has revived the order meanwhile: nothing is given back.
                ReservationState::Committed | ReservationState::Unspecified => return Err(Error::Busy),
            },
            Err(status) if is_about_stock(&status) => {
                tracing::info!(order = %order.id, %status, "late money finds no stock");
                return Ok(false);
            }
            // An outage, or a fault: a good sale is not given up for it while there is time.
            Err(status) => return Err(Error::of_peer(status)),
        }
        if !self.write_revived(order, watched, hold).await? {
            // Somebody else has the uses of its promotions.
            let outcome = self.peers.release(hold).await;
            tracing::info!(order = %order.id, ?outcome, "late money finds its promotion used up");
            return Ok(false);
        }
        self.crash_at.reached(CrashPoint::WrittenLate(Late::Hold));
        Ok(true)
    }

    /// One transaction: the order waits for its commit again, and the payment is its own. False when its promotions are used up.
    async fn write_revived(
        &self,
        order: &Order,
        watched: &Watched,
        hold: ReservationId,
    ) -> Result<bool, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let locked = store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?.order;
        let change = Change {
            event: Some(Event::PaidLate),
            payment: Some(PaymentState::Authorized),
            stock: Some(StockState::Held),
            ..Change::default()
        };
        let revived = Order { reservation_id: hold, end_reason: None, ..locked.with(&change)? };
        if !store::uses::retake(&mut tx, &revived).await? {
            return Ok(false);
        }
        // Under a claim that is over at once: the runner takes it up.
        if !store::saga::begin(&mut tx, &Work::new(order.id, Step::Commit), Duration::ZERO).await?
            || !store::late::forget(&mut *tx, watched).await?
            || !store::orders::change(&mut tx, &revived).await?
        {
            return Err(Error::Busy);
        }
        tx.commit().await?;
        tracing::info!(order = %order.id, payment = %watched.payment, "money came late and the order goes on");
        self.watching.changed(order.id, revived.version + 1);
        Ok(true)
    }
}
