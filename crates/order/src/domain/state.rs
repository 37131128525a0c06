//! The four states of an order and the tables of legal steps. A step that is not in its table is refused with its facts. The
//! documentation's diagrams are drawn from the tables (`diagram`).

use std::fmt::Display;

use super::words::words;

words! {
    /// Where the order as a whole stands.
    OrderState {
        AwaitingPayment = "AWAITING_PAYMENT",
        Confirmed = "CONFIRMED",
        Fulfilling = "FULFILLING",
        Shipped = "SHIPPED",
        Delivered = "DELIVERED",
        Completed = "COMPLETED",
        Rejected = "REJECTED",
        Expired = "EXPIRED",
        Cancelling = "CANCELLING",
        Cancelled = "CANCELLED",
        ManualReview = "MANUAL_REVIEW",
    }
}

words! {
    /// Money's side of an order.
    PaymentState {
        Unpaid = "UNPAID",
        Pending = "PENDING",
        Authorized = "AUTHORIZED",
        Paid = "PAID",
        Voided = "VOIDED",
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        Refunded = "REFUNDED",
    }
}

words! {
    /// Stock's side of an order.
    StockState {
        Held = "HELD",
        Committed = "COMMITTED",
        Released = "RELEASED",
        Returned = "RETURNED",
    }
}

words! {
    /// The warehouse's side of an order.
    FulfilmentState {
        None = "NONE",
        PartiallyShipped = "PARTIALLY_SHIPPED",
        Shipped = "SHIPPED",
        Delivered = "DELIVERED",
    }
}

words! {
    /// What can happen to an order.
    Event {
        /// The buyer wants to pay. Moves no order state by itself: the reservation's commit decides.
        PaymentBegun = "PAYMENT_BEGUN",
        /// Stock is committed and money captured.
        Paid = "PAID",
        /// The time to pay has passed and nothing is held any more.
        HoldEnded = "HOLD_ENDED",
        /// Somebody wants the order undone.
        CancelRequested = "CANCEL_REQUESTED",
        /// Everything is undone.
        Undone = "UNDONE",
        /// No rule says how to go on: a person decides.
        ReviewNeeded = "REVIEW_NEEDED",
        /// Some units have left, others are still to be shipped.
        PartShipped = "PART_SHIPPED",
        /// The last units have left.
        AllShipped = "ALL_SHIPPED",
        /// A shipment has arrived and others have not, or are still to be sent.
        PartDelivered = "PART_DELIVERED",
        /// Everything has arrived.
        AllDelivered = "ALL_DELIVERED",
        /// The buyer wants to send something back. Moves no order state: a return has its own.
        ReturnRequested = "RETURN_REQUESTED",
        /// The time for returns has passed with none of them open.
        PeriodEnded = "PERIOD_ENDED",
        /// A person has decided that the order goes on being paid or expired.
        PayingResumed = "PAYING_RESUMED",
        /// A person has decided that the order goes on being undone.
        UndoingResumed = "UNDOING_RESUMED",
        /// Money came after the time to pay, and the stock could be held once more.
        PaidLate = "PAID_LATE",
    }
}

/// Rows of a table of legal steps: from, by, to.
pub type Steps<S, E> = [(S, E, S)];

/// Every legal step of an order. What has been shipped is not cancelled: it is sent back.
pub const TRANSITIONS: &Steps<OrderState, Event> = &[
    (OrderState::AwaitingPayment, Event::PaymentBegun, OrderState::AwaitingPayment),
    (OrderState::AwaitingPayment, Event::Paid, OrderState::Confirmed),
    (OrderState::AwaitingPayment, Event::HoldEnded, OrderState::Expired),
    (OrderState::AwaitingPayment, Event::CancelRequested, OrderState::Cancelling),
    (OrderState::AwaitingPayment, Event::ReviewNeeded, OrderState::ManualReview),
    (OrderState::Confirmed, Event::CancelRequested, OrderState::Cancelling),
    (OrderState::Cancelling, Event::Undone, OrderState::Cancelled),
    (OrderState::Cancelling, Event::ReviewNeeded, OrderState::ManualReview),
    (OrderState::Confirmed, Event::PartShipped, OrderState::Fulfilling),
    (OrderState::Confirmed, Event::AllShipped, OrderState::Shipped),
    (OrderState::Fulfilling, Event::PartShipped, OrderState::Fulfilling),
    (OrderState::Fulfilling, Event::AllShipped, OrderState::Shipped),
    (OrderState::Fulfilling, Event::PartDelivered, OrderState::Fulfilling),
    (OrderState::Fulfilling, Event::ReturnRequested, OrderState::Fulfilling),
    (OrderState::Shipped, Event::PartDelivered, OrderState::Shipped),
    (OrderState::Shipped, Event::AllDelivered, OrderState::Delivered),
    (OrderState::Shipped, Event::ReturnRequested, OrderState::Shipped),
    (OrderState::Delivered, Event::ReturnRequested, OrderState::Delivered),
    (OrderState::Delivered, Event::PeriodEnded, OrderState::Completed),
    (OrderState::ManualReview, Event::PayingResumed, OrderState::AwaitingPayment),
    (OrderState::ManualReview, Event::UndoingResumed, OrderState::Cancelling),
    (OrderState::Expired, Event::PaidLate, OrderState::AwaitingPayment),
];

/// Every legal step of the warehouse's side. The same events as an order's: both move together.
pub const FULFILMENT: &Steps<FulfilmentState, Event> = &[
    (FulfilmentState::None, Event::PartShipped, FulfilmentState::PartiallyShipped),
    (FulfilmentState::None, Event::AllShipped, FulfilmentState::Shipped),
    (FulfilmentState::PartiallyShipped, Event::PartShipped, FulfilmentState::PartiallyShipped),
    (FulfilmentState::PartiallyShipped, Event::AllShipped, FulfilmentState::Shipped),
    (FulfilmentState::PartiallyShipped, Event::PartDelivered, FulfilmentState::PartiallyShipped),
    (FulfilmentState::Shipped, Event::PartDelivered, FulfilmentState::Shipped),
    (FulfilmentState::Shipped, Event::AllDelivered, FulfilmentState::Delivered),
];

/// A step its table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} is no step from {state}")]
pub struct IllegalStep<S: Display = OrderState, E: Display = Event> {
    pub state: S,
    pub event: E,
}

/// Where the table leads from this state by this event.
///
/// # Errors
/// The table has no such step.
pub fn step<S, E>(table: &Steps<S, E>, state: S, event: E) -> Result<S, IllegalStep<S, E>>
where
    S: Copy + PartialEq + Display,
    E: Copy + PartialEq + Display,
{
    table
        .iter()
        .find(|(from, by, _)| (*from, *by) == (state, event))
        .map(|(_, _, to)| *to)
        .ok_or(IllegalStep { state, event })
}

impl OrderState {
    /// # Errors
    /// The table has no such step.
    pub fn on(self, event: Event) -> Result<OrderState, IllegalStep> {
        step(TRANSITIONS, self, event)
    }

    /// Whether the order has come to its end: it has nothing to wait for. Only money that comes late may still bring an expired one back.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            OrderState::Completed | OrderState::Rejected | OrderState::Expired | OrderState::Cancelled => {
                true
            }
            OrderState::AwaitingPayment
            | OrderState::Confirmed
            | OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Cancelling
            | OrderState::ManualReview => false,
        }
    }
}

impl FulfilmentState {
    /// # Errors
    /// The table has no such step.
    pub fn on(self, event: Event) -> Result<FulfilmentState, IllegalStep<FulfilmentState>> {
        step(FULFILMENT, self, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_the_state_that_writes_it() {
        for state in OrderState::ALL {
            assert_eq!(state.as_str().parse::<OrderState>(), Ok(*state));
        }
        assert!("PAID_TWICE".parse::<PaymentState>().is_err());
    }

    fn leads_to_one_place<S: Copy + PartialEq + Display>(table: &Steps<S, Event>) {
        for (at, (from, by, _)) in table.iter().enumerate() {
            assert!(table[at + 1..].iter().all(|(f, b, _)| (f, b) != (from, by)), "{from} {by}");
        }
    }

    #[test]
    fn a_state_and_an_event_have_at_most_one_next_state() {
        leads_to_one_place(TRANSITIONS);
        leads_to_one_place(FULFILMENT);
    }

    #[test]
    fn what_has_been_shipped_is_never_cancelled() {
        for state in [OrderState::Fulfilling, OrderState::Shipped, OrderState::Delivered] {
            assert!(state.on(Event::CancelRequested).is_err(), "{state}");
        }
    }

    #[test]
    fn nothing_is_shipped_once_the_order_is_being_undone() {
        for state in [OrderState::Cancelling, OrderState::Cancelled, OrderState::AwaitingPayment] {
            for event in [Event::PartShipped, Event::AllShipped] {
                assert_eq!(state.on(event), Err(IllegalStep { state, event }));
            }
        }
    }

    #[test]
    fn wherever_the_warehouse_goes_the_order_can_go_with_it() {
        let beside = |state| match state {
            FulfilmentState::None => OrderState::Confirmed,
            FulfilmentState::PartiallyShipped => OrderState::Fulfilling,
            FulfilmentState::Shipped => OrderState::Shipped,
            FulfilmentState::Delivered => OrderState::Delivered,
        };
        for (from, by, to) in FULFILMENT {
            assert_eq!(beside(*from).on(*by), Ok(beside(*to)), "{from} {by}");
        }
    }

    #[test]
    fn an_order_that_has_ended_takes_no_step() {
        let ended = [OrderState::Expired, OrderState::Cancelled, OrderState::Rejected, OrderState::Completed];
        for state in ended {
            // Money that comes late may bring an expired order back; nothing else does.
            let revives = |event: Event| (state, event) == (OrderState::Expired, Event::PaidLate);
            for event in Event::ALL.iter().filter(|event| !revives(**event)) {
                assert_eq!(state.on(*event), Err(IllegalStep { state, event: *event }));
            }
        }
    }

    #[test]
    fn a_state_with_a_step_from_it_is_not_the_end() {
        for state in OrderState::ALL {
            let steps = TRANSITIONS.iter().filter(|(from, by, _)| from == state && *by != Event::PaidLate);
            assert_eq!(state.is_final(), steps.count() == 0, "{state}");
        }
    }

    #[test]
    fn only_money_and_stock_together_confirm() {
        let confirming: Vec<_> =
            TRANSITIONS.iter().filter(|(_, _, to)| *to == OrderState::Confirmed).collect();
        assert_eq!(confirming, [&(OrderState::AwaitingPayment, Event::Paid, OrderState::Confirmed)]);
    }
}
