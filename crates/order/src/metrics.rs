//! What the shop wants to count. Labels are bounded.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, UpDownCounter};
use stampede_kit::metrics;

use crate::domain::review::Resolution;
use crate::domain::state::OrderState;

#[derive(Debug)]
pub struct Metrics {
    pub placed: Counter<u64>,
    confirmed: Counter<u64>,
    cancelled: Counter<u64>,
    pub expired: Counter<u64>,
    completed: Counter<u64>,
    manual_review: Counter<u64>,
    pub refunded_late: Counter<u64>,
    resolved: Counter<u64>,
    pub saga_retries: Counter<u64>,
    pub captures_refused: Counter<u64>,
    pub saga_open: Gauge<i64>,
    pub saga_parked: Gauge<i64>,
    pub late_parked: Gauge<i64>,
    pub watchers: UpDownCounter<i64>,
}

impl Metrics {
    pub fn new() -> Self {
        Self {
            placed: metrics::counter("orders_placed", "Orders written"),
            confirmed: metrics::counter("orders_confirmed", "Orders paid for"),
            cancelled: metrics::counter("orders_cancelled", "Orders undone on request"),
            expired: metrics::counter("orders_expired", "Orders whose time to pay passed"),
            completed: metrics::counter("orders_completed", "Orders whose time for returns has passed"),
            manual_review: metrics::counter("orders_manual_review", "Orders left to a person"),
            refunded_late: metrics::counter(
                "orders_refunded_late",
                "Payments whose money came late and went back",
            ),
            resolved: metrics::counter("orders_review_resolved", "Decisions of a person about an order"),
            saga_retries: metrics::counter("order_saga_retries", "Steps that will be tried again"),
            captures_refused: metrics::counter(
                "order_shipment_captures_refused",
                "Captures for a shipment that the provider refused: the units stay and it is tried again",
            ),
            saga_open: metrics::gauge("order_saga_backlog", "Orders that are being worked on or wait for it"),
            saga_parked: metrics::gauge("order_saga_parked", "Orders that wait for a person"),
            late_parked: metrics::gauge(
                "order_late_money_parked",
                "Payments whose late money waits for a person",
            ),
            watchers: metrics::up_down("order_watchers", "Streams that follow an order"),
        }
    }

    pub fn resolved(&self, resolution: Resolution) {
        self.resolved.add(1, &[KeyValue::new("resolution", resolution.as_str())]);
    }

    /// Counts an order that has come to a new state.
    pub fn reached(&self, state: OrderState) {
        match state {
            OrderState::Confirmed => self.confirmed.add(1, &[]),
            OrderState::Cancelled => self.cancelled.add(1, &[]),
            OrderState::Expired => self.expired.add(1, &[]),
            OrderState::Completed => self.completed.add(1, &[]),
            OrderState::ManualReview => self.manual_review.add(1, &[]),
            OrderState::AwaitingPayment
            | OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Rejected
            | OrderState::Cancelling => {}
        }
    }
}
