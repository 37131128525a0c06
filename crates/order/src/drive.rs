//! Takes one order's saga from step to step: ask the peer, decide, write what was found out, go on. No transaction is open while
//! a peer is asked. What was found out is written only while our claim stands; every question is asked under an id that
//! makes asking twice harmless, so losing the claim costs nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::crash::CrashPoint;
use crate::domain::order::{Change, Order};
use crate::domain::retry::{self, Pace};
use crate::domain::saga::{Action, Next, Outcome, Step, Waited, decide};
use crate::domain::state::Event;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;
use crate::store::saga::Work;

/// What becomes of the saga's row when a result is written.
pub(crate) enum Then<'a> {
    Go(Step),
    End,
    Park(&'a str),
}

/// Works until the saga ends, has to wait, or is somebody else's.
pub async fn drive(orders: Arc<Orders>, work: Work) {
    let order = work.order;
    if let Err(error) = orders.steps(work).await {
        // The lease runs out and the runner takes it up again.
        tracing::warn!(%order, %error, "a saga stopped on the way");
    }
    orders.waiting.let_go(order);
}

impl Orders {
    async fn steps(&self, mut work: Work) -> Result<(), Error> {
        let mut order = self.order(work.order).await?.ok_or(Error::NotFound)?;
        loop {
            let action = work.step.action();
            self.crash_at.reached(CrashPoint::Before(action));
            let outcome = self.perform(action, &order, &work).await;
            self.crash_at.reached(CrashPoint::After(action));
            tracing::debug!(order = %order.id, step = %work.step, ?outcome, "a step was taken");
            let next = decide(work.step, outcome, self.waited(&order, &work));
            let written = self.write(&mut order, &mut work, &next).await?;
            self.crash_at.reached(CrashPoint::Written(action));
            match next {
                Next::Go(step, _) if written => {
                    work.step = step;
                    work.attempt = 0;
                    work.unknown_for = Duration::ZERO;
                }
                Next::Go(..)
                | Next::End(_)
                | Next::Again(..)
                | Next::Refused(_)
                | Next::Buyer(_)
                | Next::Review(_) => {
                    return Ok(());
                }
            }
        }
    }

    fn waited(&self, order: &Order, work: &Work) -> Waited {
        let session_over = self.session_left(order).is_zero();
        Waited {
            unknown_for: work.unknown_for,
            session_over,
            stock_released: work.stock_released,
            attempts: work.attempt,
            captured_later: self.is_captured_later(order, work.method.as_ref()),
        }
    }

    /// How long the provider may still say yes to what it was asked.
    fn session_left(&self, order: &Order) -> Duration {
        (order.expires_at + self.session_grace - self.clock.now()).try_into().unwrap_or(Duration::ZERO)
    }

    async fn perform(&self, action: Action, order: &Order, work: &Work) -> Outcome {
        match action {
            Action::Commit => self.peers.commit(order.reservation()).await,
            Action::Release => self.peers.release(order.reservation()).await,
            Action::CaptureShipment => self.capture_shipment(order).await,
            Action::Return => self.peers.return_stock(order.reservation(), order.return_id()).await,
            Action::ReturnRefund => self.give_money_back(order, work).await,
            Action::Restock => self.put_back_on_sale(order, work).await,
            Action::CloseReturn => Outcome::Done,
            // No money moves for nothing.
            Action::Authorize | Action::Capture | Action::Void | Action::Refund if order.is_free() => {
                Outcome::Done
            }
            Action::Authorize | Action::Capture | Action::Void | Action::Refund => {
                self.move_money(action, order, work).await
            }
        }
    }

    async fn move_money(&self, action: Action, order: &Order, work: &Work) -> Outcome {
        let Some(payment) = order.payment else {
            return Outcome::Refused("no payment was begun".into());
        };
        match (action, &work.method) {
            (Action::Authorize, Some(method)) => {
                let later = self.is_captured_later(order, Some(method));
                self.peers.authorize(order, payment, method, later).await
            }
            (Action::Authorize, None) => Outcome::Refused("the payment method is not known".into()),
            (Action::Capture, _) => self.peers.capture(order, payment).await,
            (Action::Void, _) => self.peers.void(payment).await,
            (Action::Refund, _) => match self.retries(order.id, None).await {
                Ok(retries) => self.peers.give_back(payment, order.refund_id(retries)).await,
                Err(error) => Outcome::Away(error.to_string()),
            },
            (
                Action::Commit
                | Action::CaptureShipment
                | Action::Release
                | Action::Return
                | Action::ReturnRefund
                | Action::Restock
                | Action::CloseReturn,
                _,
            ) => Outcome::Refused("it is not this order's own money".into()),
        }
    }

    /// Writes what comes next. False when the claim was lost meanwhile: then nothing was written.
    async fn write(&self, order: &mut Order, work: &mut Work, next: &Next) -> Result<bool, Error> {
        match next {
            Next::Go(step, change) => self.write_change(order, work, change, Then::Go(*step)).await,
            Next::End(change) => self.write_change(order, work, change, Then::End).await,
            Next::Again(pace, why) => {
                self.metrics.saga_retries.add(1, &[]);
                let mut delay = retry::delay(*pace, work.attempt + 1, rand::random());
                if work.step == Step::Authorize {
                    // The payment is closed when its session ends, before the stock is free.
                    delay = delay.min(self.session_left(order));
                }
                tracing::info!(order = %order.id, step = %work.step, attempt = work.attempt + 1, why, "will try again");
                Ok(store::saga::again(&self.db, work, *pace, why, delay).await?)
            }
            Next::Refused(class) => self.refused(order, work, class).await,
            Next::Buyer(action) => {
                self.metrics.saga_retries.add(1, &[]);
                let delay = retry::delay(Pace::Unknown, work.attempt + 1, rand::random());
                let delay = delay.min(self.session_left(order));
                tracing::info!(order = %order.id, until = %action.expires_at, "waits for the buyer");
                Ok(store::saga::again_after_the_buyer(&self.db, work, action, delay).await?)
            }
            Next::Review(why) => {
                let change = Change { event: Some(Event::ReviewNeeded), ..Change::default() };
                let step = work.step;
                let parked = self.write_change(order, work, &change, Then::Park(why)).await?;
                if parked {
                    tracing::error!(order = %order.id, %step, why, "an order needs a person");
                }
                Ok(parked)
            }
        }
    }

    /// The order has been moved under us to where no step of ours leads: nothing is changed about it.
    async fn park_alone(&self, work: &Work, why: &str) -> Result<bool, Error> {
        let mut conn = self.db.acquire().await?;
        let parked = store::saga::park(&mut conn, work, why).await?;
        if parked {
            tracing::error!(order = %work.order, step = %work.step, why, "a saga cannot go on");
        }
        Ok(parked)
    }

    /// One transaction: the order's states, the saga's row and the event of having come to a new state.
    async fn write_change(
        &self,
        order: &mut Order,
        work: &mut Work,
        change: &Change,
        then: Then<'_>,
    ) -> Result<bool, Error> {
        if work.return_id.is_some() {
            return self.write_return(order, work, then).await;
        }
        if work.step == Step::CaptureShipment {
            return self.write_shipment(order, work, then).await;
        }
        let mut next = match order.with(change) {
            Ok(next) => next,
            Err(illegal) => return self.park_alone(work, &illegal.to_string()).await,
        };
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        if !store::orders::change(&mut tx, &next).await? {
            return Ok(false);
        }
        let (ours, reason) = match then {
            Then::Go(step) => match store::saga::go(&mut tx, work, step, self.saga_lease).await? {
                Some(reason) => {
                    work.cancel_reason = reason;
                    (true, work.cancel_reason.as_str())
                }
                None => (false, ""),
            },
            Then::End => (store::saga::end(&mut tx, work).await?, work.cancel_reason.as_str()),
            Then::Park(why) => (store::saga::park(&mut tx, work, why).await?, why),
        };
        if !ours {
            return Ok(false);
        }
        store::late::left_behind(&mut tx, change, &next).await?;
        let moved = next.state != order.state;
        if moved && let Some(fact) = events::reached(&next, reason, self.clock.now()) {
            stampede_kit::outbox::append(&mut tx, &[fact]).await?;
        }
        tx.commit().await?;
        next.version += 1;
        *order = next;
        self.watching.changed(order.id, order.version);
        if moved {
            self.metrics.reached(order.state);
            self.wake.wake();
        }
        Ok(true)
    }
}
