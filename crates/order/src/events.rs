//! What others must hear of an order, made ready for the outbox.

use prost::Message as _;
use stampede_kit::outbox::NewEvent;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::{
    Event, OrderCancelled, OrderCompleted, OrderConfirmed, OrderDelivered, OrderExpired, OrderNeedsReview,
    OrderPlaced, OrderRefundedLate, OrderShipped, ReturnRefunded, ReturnRequested, ReturnResolved,
};
use stampede_proto::timestamp;
use stampede_types::{Money, OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::fulfilment::Shipment;
use crate::domain::order::Order;
use crate::domain::returns::Return;
use crate::domain::state::OrderState;
use crate::wire;

pub fn placed(order: &Order, at: OffsetDateTime) -> NewEvent {
    let fact = Fact::OrderPlaced(OrderPlaced { order: Some(wire::order(order)) });
    event("order.placed", order.id, at, fact)
}

pub fn expired(order: OrderId, at: OffsetDateTime) -> NewEvent {
    event("order.expired", order, at, Fact::OrderExpired(OrderExpired { order_id: order.to_string() }))
}

/// The event of having come to this state; `reason` says why, where somebody had one.
pub fn reached(order: &Order, reason: &str, at: OffsetDateTime) -> Option<NewEvent> {
    let order_id = order.id.to_string();
    let reason = reason.to_owned();
    let (subject, fact) = match order.state {
        OrderState::Confirmed => {
            let payment_id = order.payment.map(|id| id.to_string()).unwrap_or_default();
            let confirmed = OrderConfirmed { order_id, payment_id, total: Some(order.total.into()) };
            ("order.confirmed", Fact::OrderConfirmed(confirmed))
        }
        OrderState::Cancelled => {
            ("order.cancelled", Fact::OrderCancelled(OrderCancelled { order_id, reason }))
        }
        OrderState::Expired => return Some(expired(order.id, at)),
        OrderState::ManualReview => {
            ("order.needs_review", Fact::OrderNeedsReview(OrderNeedsReview { order_id, reason }))
        }
        OrderState::AwaitingPayment
        | OrderState::Fulfilling
        | OrderState::Shipped
        | OrderState::Delivered
        | OrderState::Completed
        | OrderState::Rejected
        | OrderState::Cancelling => return None,
    };
    Some(event(subject, order.id, at, fact))
}

/// `order` as it stands with this shipment on its way.
pub fn shipped(order: &Order, shipment: &Shipment, at: OffsetDateTime) -> NewEvent {
    let fact = Fact::OrderShipped(OrderShipped {
        order_id: order.id.to_string(),
        shipment: Some(wire::shipment(order, shipment)),
        state: wire::state(order.state).into(),
    });
    event("order.shipped", order.id, at, fact)
}

/// `order` as it stands with this shipment arrived.
pub fn delivered(order: &Order, shipment: &Shipment, at: OffsetDateTime) -> NewEvent {
    let fact = Fact::OrderDelivered(OrderDelivered {
        order_id: order.id.to_string(),
        shipment: Some(wire::shipment(order, shipment)),
        state: wire::state(order.state).into(),
    });
    event("order.delivered", order.id, at, fact)
}

pub fn completed(order: OrderId, at: OffsetDateTime) -> NewEvent {
    let fact = Fact::OrderCompleted(OrderCompleted { order_id: order.to_string() });
    event("order.completed", order, at, fact)
}

pub fn return_requested(order: &Order, back: &Return, at: OffsetDateTime) -> NewEvent {
    let order_return = Some(wire::order_return(order, back));
    event("return.requested", order.id, at, Fact::ReturnRequested(ReturnRequested { order_return }))
}

pub fn return_resolved(order: &Order, back: &Return, at: OffsetDateTime) -> NewEvent {
    let order_return = Some(wire::order_return(order, back));
    event("return.resolved", order.id, at, Fact::ReturnResolved(ReturnResolved { order_return }))
}

pub fn return_refunded(order: &Order, back: &Return, at: OffsetDateTime) -> NewEvent {
    let order_return = Some(wire::order_return(order, back));
    event("return.refunded", order.id, at, Fact::ReturnRefunded(ReturnRefunded { order_return }))
}

/// Something about the order needs a person, whatever its state says.
pub fn needs_review(order: OrderId, reason: &str, at: OffsetDateTime) -> NewEvent {
    let fact =
        Fact::OrderNeedsReview(OrderNeedsReview { order_id: order.to_string(), reason: reason.to_owned() });
    event("order.needs_review", order, at, fact)
}

/// Money that came when the order had ended is back with its buyer.
pub fn refunded_late(order: OrderId, payment: PaymentId, amount: Money, at: OffsetDateTime) -> NewEvent {
    let fact = OrderRefundedLate {
        order_id: order.to_string(),
        payment_id: payment.to_string(),
        amount: Some(amount.into()),
    };
    event("order.refunded_late", order, at, Fact::OrderRefundedLate(fact))
}

fn event(subject: &str, order: OrderId, at: OffsetDateTime, fact: Fact) -> NewEvent {
    let id = Uuid::now_v7();
    let event = Event {
        event_id: id.to_string(),
        key: order.to_string(),
        occurred_at: Some(timestamp(at)),
        fact: Some(fact),
    };
    NewEvent { id, subject: subject.to_owned(), key: order.to_string(), payload: event.encode_to_vec() }
}
