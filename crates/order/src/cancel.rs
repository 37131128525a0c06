//! CancelOrder: undoes an order before it is shipped. While a payment is under way the reservation decides who wins: the cancel
//! asks for its release, and whichever of release and commit comes first is what happened. A cancel that loses goes on as
//! the cancel of a paid order.

use std::sync::Arc;

use stampede_kit as kit;
use stampede_types::OrderId;
use tokio::time::Instant;

use crate::crash::CrashPoint;
use crate::domain::order::{Change, Order};
use crate::domain::saga::{Outcome, Step};
use crate::domain::state::{Event, OrderState, PaymentState};
use crate::error::Error;
use crate::orders::Orders;
use crate::pay::{TOO_LATE, answer_by};
use crate::store;
use crate::store::saga::Work;

enum Begun {
    Started(Work),
    /// Somebody else works on the order.
    UnderWay(Box<Order>),
    Cancelled(Box<Order>),
}

impl Orders {
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        cx: &kit::Context,
        id: OrderId,
        reason: &str,
    ) -> Result<Order, Error> {
        self.own(cx, id).await?;
        let until = answer_by(cx);
        loop {
            match self.begin_cancel(id, reason).await? {
                Begun::Cancelled(order) => return Ok(*order),
                Begun::Started(work) => {
                    self.crash_at.reached(CrashPoint::AfterCancelBegun);
                    self.drive_until(work, until).await;
                }
                // Nobody works on it: a person decides.
                Begun::UnderWay(_) if store::saga::is_parked(&self.db, id).await? => return Err(Error::Busy),
                Begun::UnderWay(order) => self.contend(&order, reason).await?,
            }
            let order = self.settled(id, until).await?;
            // Before the deadline nobody works on the order any more: look again at what there is to cancel.
            if order.state == OrderState::Cancelled || Instant::now() + TOO_LATE >= until {
                return out_of_time(order);
            }
        }
    }

    async fn begin_cancel(&self, id: OrderId, reason: &str) -> Result<Begun, Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let order = store::orders::lock(&mut tx, id).await?.ok_or(Error::NotFound)?.order;
        let step = match order.state {
            OrderState::Cancelled => return Ok(Begun::Cancelled(Box::new(order))),
            OrderState::Cancelling => return Ok(Begun::UnderWay(Box::new(order))),
            OrderState::AwaitingPayment if order.payment.is_none() => Step::ReleaseCancelled,
            // Whatever became of the last try to pay ends before the stock is free.
            OrderState::AwaitingPayment => Step::VoidCancelled,
            // Nothing of it was taken: it is held still.
            OrderState::Confirmed if order.uncaptured.amount_minor() > 0 => Step::VoidReturn,
            OrderState::Confirmed => Step::Refund,
            OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Completed
            | OrderState::Rejected
            | OrderState::Expired
            | OrderState::ManualReview => return Err(Error::illegal(&order, Event::CancelRequested)),
        };
        let work = Work { cancel_reason: reason.to_owned(), ..Work::new(id, step) };
        if !store::saga::begin(&mut tx, &work, self.saga_lease).await? {
            return Ok(Begun::UnderWay(Box::new(order)));
        }
        let requested = Change { event: Some(Event::CancelRequested), ..Change::default() };
        if !store::orders::change(&mut tx, &order.with(&requested)?).await? {
            return Ok(Begun::UnderWay(Box::new(order)));
        }
        tx.commit().await?;
        self.watching.changed(id, order.version + 1);
        Ok(Begun::Started(work))
    }

    /// Tries to take the stock from a payment that is under way. Who won is found out by the saga, at its commit or as soon as it
    /// has to wait.
    async fn contend(&self, order: &Order, reason: &str) -> Result<(), Error> {
        let paying = matches!(order.payment_state, PaymentState::Pending | PaymentState::Authorized);
        if order.state != OrderState::AwaitingPayment || !paying {
            return Ok(());
        }
        let outcome = self.peers.release(order.reservation()).await;
        tracing::info!(order = %order.id, ?outcome, "a cancel met a payment");
        if outcome == Outcome::Done {
            store::saga::stock_is_released(&self.db, order.id, reason).await?;
        }
        Ok(())
    }
}

/// The order on its way to being cancelled, or the word that another step keeps it busy.
fn out_of_time(order: Order) -> Result<Order, Error> {
    match order.state {
        OrderState::Cancelled | OrderState::Cancelling => Ok(order),
        OrderState::AwaitingPayment | OrderState::Confirmed => Err(Error::Busy),
        OrderState::Fulfilling
        | OrderState::Shipped
        | OrderState::Delivered
        | OrderState::Completed
        | OrderState::Rejected
        | OrderState::Expired
        | OrderState::ManualReview => Err(Error::illegal(&order, Event::CancelRequested)),
    }
}
