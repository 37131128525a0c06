//! An order and how its states change together.

use stampede_types::{BuyerId, Money, OrderId, PaymentId, Pool, Quantity, ReservationId, SkuId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::fulfilment::Shipment;
use super::promotion::Applied;
use super::returns::Return;
use super::state::{Event, FulfilmentState, IllegalStep, OrderState, PaymentState, StockState};
use super::words::words;

words! {
    /// Why an order ended as it did, where its states do not say it: a word for the buyer.
    EndReason {
        /// The money came when the stock was no longer held: it was given back.
        PaidTooLate = "PAID_TOO_LATE",
        /// The provider did not say in time whether it took the money: whatever it took was let go.
        PaymentUnanswered = "PAYMENT_UNANSWERED",
    }
}

words! {
    /// When the money of an order is taken.
    CaptureAt {
        /// When it is paid for.
        Payment = "PAYMENT",
        /// As its units leave: until then it is held.
        Shipment = "SHIPMENT",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    /// What holds its stock: the first hold, or the one made when money came late.
    pub reservation_id: ReservationId,
    pub buyer: BuyerId,
    pub state: OrderState,
    pub payment_state: PaymentState,
    pub stock_state: StockState,
    pub fulfilment_state: FulfilmentState,
    /// At least one, in the order they were asked for.
    pub lines: Vec<Line>,
    pub subtotal: Money,
    pub discount: Money,
    /// What shipping costs, after promotions.
    pub shipping: Money,
    /// `subtotal - discount + shipping`.
    pub total: Money,
    /// What returns have given back or are giving back.
    pub refunded: Money,
    /// What of the total is held and is taken as units leave; nothing of an order that was paid when it was confirmed.
    pub uncaptured: Money,
    /// What has left, oldest first.
    pub shipments: Vec<Shipment>,
    /// What is sent back or was asked to be, oldest first.
    pub returns: Vec<Return>,
    /// What it was placed with, by priority: a copy of their terms, so that later changes concern nobody who bought before.
    pub promotions: Vec<Applied>,
    /// The payment of the last attempt.
    pub payment: Option<PaymentId>,
    /// Attempts to pay that were begun.
    pub payment_attempt: u32,
    /// The class of the last refusal of a payment; empty for none.
    pub decline: String,
    /// Where the states do not say why it ended so.
    pub end_reason: Option<EndReason>,
    /// Pay before this.
    pub expires_at: OffsetDateTime,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// Grows by one with each change.
    pub version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub sku: SkuId,
    pub pool: Pool,
    pub quantity: Quantity,
    pub title: String,
    /// The price of one unit when the order was placed.
    pub unit_price: Money,
    pub discount: Money,
    pub total: Money,
}

/// What a step changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    pub event: Option<Event>,
    pub payment: Option<PaymentState>,
    pub stock: Option<StockState>,
    pub decline: Option<String>,
    pub end_reason: Option<EndReason>,
    /// Its money is held, and is taken as units leave.
    pub captured_later: bool,
}

impl Order {
    #[must_use]
    pub const fn reservation(&self) -> ReservationId {
        self.reservation_id
    }

    /// The one capture of this order's present payment.
    #[must_use]
    pub fn capture_id(&self) -> Uuid {
        self.id.derive(&format!("capture/{}", self.payment_attempt))
    }

    /// The capture of a shipment's money, after so many that were refused: a refusal is for ever under its id.
    #[must_use]
    pub fn shipment_capture_id(&self, shipment: Uuid, refused: u32) -> Uuid {
        self.id.derive(&format!("capture/shipment/{shipment}/{refused}"))
    }

    /// The refund that undoes this order: cancelling twice refunds once. One that was refused is settled and asks for nothing any
    /// more: each time a person has the step taken again, it is another one. Payment gives back no more than is left, under however many.
    #[must_use]
    pub fn refund_id(&self, retries: u32) -> Uuid {
        match retries {
            0 => self.id.derive("cancel/refund"),
            1.. => self.id.derive(&format!("cancel/refund/{retries}")),
        }
    }

    /// The one return of stock that undoes this order.
    #[must_use]
    pub fn return_id(&self) -> Uuid {
        self.id.derive("cancel/return")
    }

    /// Nothing to pay: no payment is asked for and none is undone.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.total.amount_minor() == 0
    }

    /// The order after a change; the version and the time of the change are the store's.
    ///
    /// # Errors
    /// The change's event is no step from the order's state.
    pub fn with(&self, change: &Change) -> Result<Order, IllegalStep> {
        let mut next = self.clone();
        if let Some(event) = change.event {
            next.state = self.state.on(event)?;
            next.fulfilment_state = self.warehouse_on(event)?;
        }
        next.payment_state = change.payment.unwrap_or(self.payment_state);
        if change.captured_later {
            next.uncaptured = self.total;
        } else if change.payment.is_some() {
            next.uncaptured = Money::zero(self.total.currency());
        }
        next.stock_state = change.stock.unwrap_or(self.stock_state);
        if let Some(decline) = &change.decline {
            next.decline.clone_from(decline);
        }
        next.end_reason = change.end_reason.or(self.end_reason);
        Ok(next)
    }

    /// The warehouse's side moves with the order's by the events that are its own.
    fn warehouse_on(&self, event: Event) -> Result<FulfilmentState, IllegalStep> {
        match event {
            Event::PartShipped | Event::AllShipped | Event::PartDelivered | Event::AllDelivered => {
                self.fulfilment_state.on(event).map_err(|_| IllegalStep { state: self.state, event })
            }
            Event::PaymentBegun
            | Event::Paid
            | Event::HoldEnded
            | Event::CancelRequested
            | Event::Undone
            | Event::ReviewNeeded
            | Event::ReturnRequested
            | Event::PeriodEnded
            | Event::PayingResumed
            | Event::UndoingResumed
            | Event::PaidLate => Ok(self.fulfilment_state),
        }
    }
}
