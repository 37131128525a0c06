//! The four states of an order and the table of its legal steps. A step that is not in the table is refused with its facts.

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
    }
}

/// Every legal step: from, by, to. The documentation's diagram is drawn from it.
pub const TRANSITIONS: &[(OrderState, Event, OrderState)] = &[
    (OrderState::AwaitingPayment, Event::PaymentBegun, OrderState::AwaitingPayment),
    (OrderState::AwaitingPayment, Event::Paid, OrderState::Confirmed),
    (OrderState::AwaitingPayment, Event::HoldEnded, OrderState::Expired),
    (OrderState::AwaitingPayment, Event::CancelRequested, OrderState::Cancelling),
    (OrderState::AwaitingPayment, Event::ReviewNeeded, OrderState::ManualReview),
    (OrderState::Confirmed, Event::CancelRequested, OrderState::Cancelling),
    (OrderState::Cancelling, Event::Undone, OrderState::Cancelled),
    (OrderState::Cancelling, Event::ReviewNeeded, OrderState::ManualReview),
];

/// A step the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} is no step from {state}")]
pub struct IllegalStep {
    pub state: OrderState,
    pub event: Event,
}

impl OrderState {
    /// # Errors
    /// The table has no such step.
    pub fn on(self, event: Event) -> Result<OrderState, IllegalStep> {
        TRANSITIONS
            .iter()
            .find(|(from, by, _)| (*from, *by) == (self, event))
            .map(|(_, _, to)| *to)
            .ok_or(IllegalStep { state: self, event })
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

    #[test]
    fn a_state_and_an_event_have_at_most_one_next_state() {
        for (at, (from, by, _)) in TRANSITIONS.iter().enumerate() {
            assert!(TRANSITIONS[at + 1..].iter().all(|(f, b, _)| (f, b) != (from, by)), "{from} {by}");
        }
    }

    #[test]
    fn an_order_that_has_ended_takes_no_step() {
        let ended = [OrderState::Expired, OrderState::Cancelled, OrderState::Rejected, OrderState::Completed];
        for state in ended {
            for event in Event::ALL {
                assert_eq!(state.on(*event), Err(IllegalStep { state, event: *event }));
            }
        }
    }

    #[test]
    fn only_money_and_stock_together_confirm() {
        let confirming: Vec<_> =
            TRANSITIONS.iter().filter(|(_, _, to)| *to == OrderState::Confirmed).collect();
        assert_eq!(confirming, [&(OrderState::AwaitingPayment, Event::Paid, OrderState::Confirmed)]);
    }
}
