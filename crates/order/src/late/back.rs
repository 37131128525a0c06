//! Late money on its way back: noted, asked for under an id of its own, told of when it is there. What cannot be moved waits for a
//! person (`resolve_late`), who is told once. It never asks for anything once its claim is lost.

use sqlx::PgConnection;
use stampede_kit as kit;
use stampede_types::{Money, PaymentId};

use crate::crash::{CrashPoint, Late};
use crate::domain::late::{Found, keeps, loose, pause, refund_id};
use crate::domain::order::{EndReason, Order};
use crate::domain::saga::Outcome;
use crate::domain::state::{OrderState, PaymentState};
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;
use crate::store::late::Watched;

impl Orders {
    pub(super) async fn give_back(
        &self,
        order: &Order,
        watched: &Watched,
        found: Found,
        retries: u32,
    ) -> Result<(), Error> {
        let (Found::Held(amount) | Found::Taken(amount)) = found else { return Ok(()) };
        if !store::late::giving_back(&self.db, watched, amount).await? {
            // Somebody else is at it: no peer is asked for anything.
            return Ok(());
        }
        self.crash_at.reached(CrashPoint::BeforeLate(Late::Back));
        let outcome = match found {
            Found::Held(_) => self.peers.void(watched.payment).await,
            Found::Taken(_) => {
                let refund = refund_id(order, watched.payment, retries);
                match keeps(order, watched.payment) {
                    0 => self.peers.give_back(watched.payment, refund).await,
                    keeps => {
                        let part = Money::new(amount, order.total.currency());
                        self.peers.give_part_back(watched.payment, refund, part, keeps).await
                    }
                }
            }
            Found::Nothing | Found::Conflicted(_) => return Ok(()),
        };
        self.crash_at.reached(CrashPoint::AfterLate(Late::Back));
        match outcome {
            Outcome::Done => {
                self.tell_given_back(order, watched, amount).await?;
                self.crash_at.reached(CrashPoint::WrittenLate(Late::Back));
                Ok(())
            }
            // Captured in the meantime: the next look refunds it.
            Outcome::Captured | Outcome::Pending(_) | Outcome::Away(_) => {
                tracing::info!(order = %order.id, payment = %watched.payment, ?outcome, "late money is not back yet");
                self.look_again(watched).await
            }
            Outcome::Declined(why) | Outcome::Refused(why) => self.was_refused(order, watched, &why).await,
            Outcome::HoldExpired | Outcome::HoldReleased | Outcome::HoldCommitted | Outcome::Buyer(_) => {
                self.was_refused(order, watched, "an answer about something else").await
            }
        }
    }

    /// Whoever else moved the money may be why: the payment is looked at again before anybody is called.
    pub(super) async fn was_refused(&self, order: &Order, watched: &Watched, why: &str) -> Result<(), Error> {
        let payment = self.peers.payment(watched.payment).await.map_err(Error::of_peer)?;
        let found = payment.as_ref().map_or(Found::Nothing, crate::peers::money_on);
        let came_back = payment.as_ref().map_or(0, crate::peers::came_back);
        let found = loose(order, watched.payment, found, came_back);
        match found {
            Found::Nothing => self.look_again(watched).await,
            Found::Held(_) | Found::Taken(_) | Found::Conflicted(_) => {
                self.leave_to_a_person(order, watched, found, &format!("it was refused: {why}")).await
            }
        }
    }

    /// One transaction: the payment waits for a person, and the first time others hear of it.
    pub(super) async fn leave_to_a_person(
        &self,
        order: &Order,
        watched: &Watched,
        found: Found,
        why: &str,
    ) -> Result<(), Error> {
        let amount = match found {
            Found::Nothing => 0,
            Found::Held(amount) | Found::Taken(amount) | Found::Conflicted(amount) => amount,
        };
        let mut tx = kit::postgres::begin(&self.db).await?;
        store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?;
        let new = store::late::park(&mut tx, watched, amount, why, pause(watched.asked)).await?;
        if new {
            let why = format!("late money on payment {}: {why}", watched.payment);
            tracing::error!(order = %order.id, why, "late money needs a person");
            let fact = events::needs_review(order.id, &why, self.clock.now());
            kit::outbox::append(&mut tx, &[fact]).await?;
        }
        tx.commit().await?;
        self.wake.wake();
        Ok(())
    }

    /// One transaction: the payment is not watched any more, the order says why, and others hear of it, once.
    pub(super) async fn tell_given_back(
        &self,
        order: &Order,
        watched: &Watched,
        amount: i64,
    ) -> Result<(), Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let locked = store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?.order;
        if !store::late::forget(&mut *tx, watched).await? {
            return Ok(());
        }
        let told = self.write_given_back(&mut tx, locked, watched.payment, amount).await?;
        tx.commit().await?;
        self.given_back(&told, watched.payment);
        Ok(())
    }

    /// In the caller's transaction, who holds the order's row lock: the order says why it ended, where that is not said yet, and others
    /// hear of it. The order as it is then.
    pub(crate) async fn write_given_back(
        &self,
        conn: &mut PgConnection,
        order: Order,
        payment: PaymentId,
        amount: i64,
    ) -> Result<Order, Error> {
        let amount = Money::new(amount, order.total.currency());
        let fact = events::refunded_late(order.id, payment, amount, self.clock.now());
        let ended = matches!(order.state, OrderState::Expired | OrderState::Cancelled);
        // What had been given back before was not paid too late.
        let late = ended && order.payment_state != PaymentState::Refunded;
        let told = if late && order.end_reason != Some(EndReason::PaidTooLate) {
            let told = Order { end_reason: Some(EndReason::PaidTooLate), ..order };
            if !store::orders::change(conn, &told).await? {
                return Err(Error::Busy);
            }
            Order { version: told.version + 1, ..told }
        } else {
            order
        };
        kit::outbox::append(conn, &[fact]).await?;
        Ok(told)
    }

    /// After the commit: whoever waits to hear of it is told.
    pub(crate) fn given_back(&self, order: &Order, payment: PaymentId) {
        tracing::info!(order = %order.id, %payment, "late money is back with its buyer");
        self.metrics.refunded_late.add(1, &[]);
        self.wake.wake();
        self.watching.changed(order.id, order.version);
    }
}
