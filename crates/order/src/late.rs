//! Money that is found on a payment after it was given up: the order takes it once more if its stock can still be held, else it is let go or
//! given back, and the buyer is told why. Payment is asked before anything is done, and every step has an id of its own, so
//! doing it twice is doing it once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use stampede_kit as kit;
use stampede_proto::inventory::v1::ReservationState;
use stampede_types::{Money, ReservationId};
use tokio_util::sync::CancellationToken;

use crate::domain::late::{Found, QUIET_AFTER, Verdict, pause, verdict};
use crate::domain::order::{Change, EndReason, Order};
use crate::domain::pricing::Wanted;
use crate::domain::saga::{Outcome, Step};
use crate::domain::state::{Event, OrderState, PaymentState, StockState};
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;
use crate::store::late::Watched;
use crate::store::saga::Work;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Payments taken at once: all of them are looked at together, so that none waits for its turn while its lease runs.
const BATCH: i64 = 16;
/// How long a payment belongs to whoever took it: several calls to peers.
const LEASE: Duration = Duration::from_secs(20);

/// Runs until it is stopped. A database or a peer that is away is waited for.
pub async fn run(orders: Arc<Orders>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut pause = LOOK_EVERY;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = LOOK_EVERY;
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
        let (found, amount) = payment.as_ref().map_or((Found::Nothing, 0), crate::peers::money_on);
        let order = self.order(watched.order).await?.ok_or(Error::NotFound)?;
        let late_by = (self.clock.now() - order.expires_at).try_into().unwrap_or(Duration::ZERO);
        let verdict = verdict(&order, watched.payment, found, late_by, self.late_hold);
        match verdict {
            Verdict::Quiet => match watched.giving_back {
                // On its way back, or in dispute with the provider: it is told of when it is there.
                Some(_) if payment.as_ref().is_some_and(crate::peers::is_unsettled) => {
                    Ok(store::late::later(&self.db, &watched, pause(watched.asked)).await?)
                }
                // It is back, and the answer that said so was lost.
                Some(amount) => self.tell_given_back(&order, &watched, amount).await,
                None if watched.age < QUIET_AFTER => {
                    Ok(store::late::later(&self.db, &watched, pause(watched.asked)).await?)
                }
                None => {
                    store::late::forget(&self.db, &watched).await?;
                    Ok(())
                }
            },
            Verdict::Ours => {
                store::late::forget(&self.db, &watched).await?;
                Ok(())
            }
            // What is on its way back is not used after all.
            Verdict::Revive if watched.giving_back.is_none() => {
                if self.revive(&order, &watched).await? {
                    return Ok(());
                }
                self.give_back(&order, &watched, found, amount).await
            }
            Verdict::Revive | Verdict::Void | Verdict::Refund => {
                self.give_back(&order, &watched, found, amount).await
            }
        }
    }

    /// Holds the stock once more; then the order is paid for as if in time. False when the stock is not to be had.
    async fn revive(&self, order: &Order, watched: &Watched) -> Result<bool, Error> {
        let hold = ReservationId::new(order.id.derive(&format!("late/{}", watched.payment)));
        let lines: Vec<Wanted> = order
            .lines
            .iter()
            .map(|line| Wanted { sku: line.sku.clone(), pool: line.pool.clone(), quantity: line.quantity })
            .collect();
        match self.peers.reserve(hold, &order.buyer, &lines, self.hold_grace, true).await {
            Ok(held) => match held.state() {
                ReservationState::Pending => {}
                // It was held before, for nothing.
                ReservationState::Released | ReservationState::Expired => return Ok(false),
                // Somebody else has revived the order meanwhile: nothing is given back.
                ReservationState::Committed | ReservationState::Unspecified => return Err(Error::Busy),
            },
            Err(status) if crate::error::is_passing(status.code()) => return Err(Error::of_peer(status)),
            Err(status) => {
                tracing::info!(order = %order.id, %status, "late money finds no stock");
                return Ok(false);
            }
        }
        let mut tx = self.db.begin().await?;
        let locked = store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?.order;
        let change = Change {
            event: Some(Event::PaidLate),
            payment: Some(PaymentState::Authorized),
            stock: Some(StockState::Held),
            ..Change::default()
        };
        let revived = Order { reservation_id: hold, end_reason: None, ..locked.with(&change)? };
        // Under a claim that is over at once: the runner takes it up.
        if !store::uses::retake(&mut tx, &revived).await? {
            // Somebody else has the uses of its promotions: the hold ends by itself.
            return Ok(false);
        }
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

    async fn give_back(
        &self,
        order: &Order,
        watched: &Watched,
        found: Found,
        amount: i64,
    ) -> Result<(), Error> {
        if !store::late::giving_back(&self.db, watched, amount).await? {
            // Somebody else is at it: no peer is asked for anything.
            return Ok(());
        }
        let outcome = match found {
            Found::Held => self.peers.void(watched.payment).await,
            Found::Taken => {
                let refund = order.id.derive(&format!("late/refund/{}", watched.payment));
                self.peers.give_back(watched.payment, refund).await
            }
            Found::Nothing => return Ok(()),
        };
        if outcome != Outcome::Done {
            tracing::warn!(order = %order.id, payment = %watched.payment, ?outcome, "late money is not back yet");
            return Ok(store::late::later(&self.db, watched, pause(watched.asked)).await?);
        }
        self.tell_given_back(order, watched, amount).await
    }

    /// One transaction: the payment is not watched any more, the order says why, and others hear of it, once.
    async fn tell_given_back(&self, order: &Order, watched: &Watched, amount: i64) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let locked = store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?.order;
        if !store::late::forget(&mut *tx, watched).await? {
            return Ok(());
        }
        let ended = matches!(locked.state, OrderState::Expired | OrderState::Cancelled);
        let changed = ended && locked.end_reason != Some(EndReason::PaidTooLate);
        let version = locked.version + 1;
        if changed {
            let told = Order { end_reason: Some(EndReason::PaidTooLate), ..locked };
            if !store::orders::change(&mut tx, &told).await? {
                return Err(Error::Busy);
            }
        }
        let amount = Money::new(amount, order.total.currency());
        let fact = events::refunded_late(order.id, watched.payment, amount, self.clock.now());
        kit::outbox::append(&mut tx, &[fact]).await?;
        tx.commit().await?;
        tracing::info!(order = %order.id, payment = %watched.payment, "late money is back with its buyer");
        self.metrics.refunded_late.add(1, &[]);
        self.wake.wake();
        if changed {
            self.watching.changed(order.id, version);
        }
        Ok(())
    }
}
