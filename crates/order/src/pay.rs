//! PayOrder: begins the saga that authorises, commits the reservation and captures, and waits for its end while there is time.
//! The saga goes on without us: what is answered is the order as it stands.

use std::sync::Arc;
use std::time::Duration;

use stampede_kit as kit;
use stampede_types::OrderId;
use tokio::time::Instant;

use crate::crash::CrashPoint;
use crate::domain::late::Saga;
use crate::domain::method::{BuyerAction, Method};
use crate::domain::order::Order;
use crate::domain::saga::Step;
use crate::domain::state::{Event, OrderState, PaymentState};
use crate::drive;
use crate::error::Error;
use crate::orders::Orders;
use crate::store;
use crate::store::saga::Work;

/// What is left of the deadline for answering.
const TO_ANSWER: Duration = Duration::from_millis(300);
/// How often an order is looked at that somebody works on, in case that is another process: this one's own sagas tell.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// With less than this left there is no point in beginning anything more.
pub(crate) const TOO_LATE: Duration = Duration::from_millis(50);
/// Payments that may be begun for one order. Each is a question to the provider and is watched for two days after it.
pub const MAX_ATTEMPTS: u32 = 10;

enum Begun {
    Started(Work),
    /// Somebody else works on the order.
    UnderWay,
    /// It was paid before.
    Paid(Box<Order>),
}

/// An order whose payment was asked for, and what the buyer has to do when it waits for him.
pub(crate) struct Paying {
    pub order: Order,
    pub action: Option<BuyerAction>,
}

impl Orders {
    pub(crate) async fn pay(
        self: &Arc<Self>,
        cx: &kit::Context,
        id: OrderId,
        method: Method,
    ) -> Result<Paying, Error> {
        self.own(cx, id).await?;
        let until = answer_by(cx);
        match self.begin_payment(id, method).await? {
            Begun::Paid(order) => return Ok(Paying { order: *order, action: None }),
            Begun::Started(work) => {
                self.crash_at.reached(CrashPoint::AfterPayBegun);
                self.drive_until(work, until).await;
            }
            Begun::UnderWay => {}
        }
        let (order, action) = self.settled_or_asked(id, until).await?;
        Ok(Paying { order: answer(order)?, action })
    }

    /// As [`Orders::settled`], or as soon as it waits for its buyer.
    async fn settled_or_asked(
        &self,
        id: OrderId,
        until: Instant,
    ) -> Result<(Order, Option<BuyerAction>), Error> {
        let place = self.waiting.take_place(id);
        loop {
            let news = place.news();
            let mut action = None;
            let resting = store::saga::of_order(&self.db, id).await? != Saga::UnderWay;
            if !resting {
                action = store::saga::action(&self.db, id).await?;
            }
            if resting || action.is_some() || Instant::now() + TOO_LATE >= until {
                return Ok((self.order(id).await?.ok_or(Error::NotFound)?, action));
            }
            // Late or told: either way the order is looked at again.
            let _ = tokio::time::timeout_at(until.min(Instant::now() + LOOK_EVERY), news).await;
        }
    }

    async fn begin_payment(&self, id: OrderId, method: Method) -> Result<Begun, Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let locked = store::orders::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let mut order = locked.order;
        let tenders = |rule| Error::Invalid { field: "method.tenders".into(), rule };
        let method = method.worth(order.total).map_err(tenders)?;
        if has_been_paid(order.state) {
            return Ok(Begun::Paid(Box::new(order)));
        }
        if order.state == OrderState::Expired {
            return Err(Error::Expired);
        }
        order.state = order.state.on(Event::PaymentBegun)?;
        let work = Work { method: Some(method), ..Work::new(id, Step::Authorize) };
        if !store::saga::begin(&mut tx, &work, self.saga_lease).await? {
            return Ok(Begun::UnderWay);
        }
        if locked.late {
            // The runner ends it; the row that was just begun goes with this transaction.
            return Err(Error::Expired);
        }
        if order.payment_attempt >= MAX_ATTEMPTS {
            return Err(Error::TooManyAttempts);
        }
        order.payment_attempt += 1;
        order.payment = Some(id.payment(order.payment_attempt));
        order.payment_state = PaymentState::Pending;
        order.decline.clear();
        if !store::orders::change(&mut tx, &order).await? {
            return Ok(Begun::UnderWay);
        }
        tx.commit().await?;
        self.watching.changed(id, order.version + 1);
        Ok(Begun::Started(work))
    }

    /// Drives the work in a task of its own, so that a caller who goes away does not stop it, and waits for it until then.
    pub(crate) async fn drive_until(self: &Arc<Self>, work: Work, until: Instant) {
        let driving = kit::task::spawn("drive", drive::drive(self.clone(), work));
        // Late or panicked: either way the order says how far it got.
        let _ = tokio::time::timeout_at(until, driving).await;
    }

    /// The order once nobody works on it any more, or as it stands then.
    pub(crate) async fn settled(&self, id: OrderId, until: Instant) -> Result<Order, Error> {
        let place = self.waiting.take_place(id);
        loop {
            let news = place.news();
            let resting = store::saga::of_order(&self.db, id).await? != Saga::UnderWay;
            if resting || Instant::now() + TOO_LATE >= until {
                break;
            }
            // Late or told: either way the order is looked at again.
            let _ = tokio::time::timeout_at(until.min(Instant::now() + LOOK_EVERY), news).await;
        }
        self.order(id).await?.ok_or(Error::NotFound)
    }
}

/// The last moment at which an answer still reaches its caller.
pub(crate) fn answer_by(cx: &kit::Context) -> Instant {
    Instant::now() + cx.remaining().saturating_sub(TO_ANSWER)
}

fn has_been_paid(state: OrderState) -> bool {
    match state {
        OrderState::Confirmed
        | OrderState::Fulfilling
        | OrderState::Shipped
        | OrderState::Delivered
        | OrderState::Completed => true,
        OrderState::AwaitingPayment
        | OrderState::Rejected
        | OrderState::Expired
        | OrderState::Cancelling
        | OrderState::Cancelled
        | OrderState::ManualReview => false,
    }
}

/// What the order's state means to somebody who wanted to pay.
fn answer(order: Order) -> Result<Order, Error> {
    if has_been_paid(order.state) {
        return Ok(order);
    }
    match (order.state, order.payment_state) {
        (OrderState::AwaitingPayment, PaymentState::Unpaid) if order.decline.is_empty() => Err(Error::Busy),
        (OrderState::AwaitingPayment, PaymentState::Unpaid) => Err(Error::Declined { class: order.decline }),
        // Still on its way.
        (OrderState::AwaitingPayment, _) => Ok(order),
        (OrderState::Expired, _) => Err(Error::Expired),
        // The money was not to be had after all.
        (OrderState::Cancelling | OrderState::Cancelled, _) if !order.decline.is_empty() => {
            Err(Error::Declined { class: order.decline })
        }
        (_, _) => Err(Error::illegal(&order, Event::PaymentBegun)),
    }
}
