//! Money that is found on a payment after it was given up, and what becomes of it: the order takes it once more if it can, else it goes
//! back. Decided from what the order and the payment are, whoever told of it and how often.

use std::time::Duration;

use stampede_types::PaymentId;

use super::order::Order;
use super::state::{OrderState, PaymentState};

/// The first pause before a payment that was given up is asked about; each one after is twice as long. Payment's events shorten it.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_hours(4);
/// A payment that was quiet for so long is not asked about any more. Longer than any provider takes to change its mind.
pub const QUIET_AFTER: Duration = Duration::from_hours(48);

/// What there is on a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No money, and none to come: or not that anybody knows.
    Nothing,
    /// Held and not captured.
    Held,
    /// Captured and not given back.
    Taken,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ask again later.
    Quiet,
    /// It is the order's own: its saga looks after it.
    Ours,
    /// The stock may be held once more: then the order goes on.
    Revive,
    Void,
    Refund,
}

/// `late_by` is how long ago the time to pay ended; an order may be revived until `revive_within` after it.
#[must_use]
pub fn verdict(
    order: &Order,
    payment: PaymentId,
    found: Found,
    late_by: Duration,
    revive_within: Duration,
) -> Verdict {
    let present = order.payment == Some(payment);
    match (found, order.state, order.payment_state) {
        (Found::Nothing, _, _) => Verdict::Quiet,
        // It was settled, by the provider or by a person with other means: to give it back again would be twice.
        (Found::Held | Found::Taken, _, PaymentState::Refunded) if present => Verdict::Ours,
        (
            Found::Held | Found::Taken,
            OrderState::AwaitingPayment
            | OrderState::Confirmed
            | OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Completed
            | OrderState::Cancelling
            | OrderState::ManualReview,
            PaymentState::Pending
            | PaymentState::Authorized
            | PaymentState::Paid
            | PaymentState::PartiallyRefunded,
        ) if present => Verdict::Ours,
        (Found::Held | Found::Taken, OrderState::Expired, _) if present && late_by < revive_within => {
            Verdict::Revive
        }
        (Found::Held, _, _) => Verdict::Void,
        (Found::Taken, _, _) => Verdict::Refund,
    }
}

/// The pause after a payment was asked about so often.
#[must_use]
pub fn pause(asked: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(asked)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::tests::order;

    const HOUR: Duration = Duration::from_hours(1);

    fn standing(state: OrderState, payment_state: PaymentState) -> Order {
        Order { state, payment_state, payment: Some(order().id.payment(2)), ..order() }
    }

    fn asked(order: &Order, attempt: u32, found: Found, late_by: Duration) -> Verdict {
        verdict(order, order.id.payment(attempt), found, late_by, HOUR)
    }

    #[test]
    fn money_on_a_payment_that_was_left_behind_always_goes_back() {
        for state in OrderState::ALL {
            for payment_state in PaymentState::ALL {
                let order = standing(*state, *payment_state);
                assert_eq!(asked(&order, 1, Found::Held, Duration::ZERO), Verdict::Void, "{state}");
                assert_eq!(asked(&order, 1, Found::Taken, Duration::ZERO), Verdict::Refund, "{state}");
            }
        }
    }

    #[test]
    fn money_that_an_order_stands_on_is_never_taken_from_it() {
        for state in [OrderState::Confirmed, OrderState::Shipped, OrderState::Completed] {
            let order = standing(state, PaymentState::Paid);
            assert_eq!(asked(&order, 2, Found::Taken, Duration::ZERO), Verdict::Ours);
        }
        let paying = standing(OrderState::AwaitingPayment, PaymentState::Pending);
        assert_eq!(asked(&paying, 2, Found::Held, Duration::ZERO), Verdict::Ours);
    }

    #[test]
    fn money_that_a_person_gave_back_by_other_means_is_not_given_back_again() {
        for state in OrderState::ALL {
            let settled = standing(*state, PaymentState::Refunded);
            assert_eq!(asked(&settled, 2, Found::Taken, Duration::ZERO), Verdict::Ours, "{state}");
        }
    }

    #[test]
    fn an_expired_order_is_revived_while_it_may_be_and_a_cancelled_one_never() {
        let expired = standing(OrderState::Expired, PaymentState::Voided);
        let cancelled = standing(OrderState::Cancelled, PaymentState::Voided);
        for (found, back) in [(Found::Held, Verdict::Void), (Found::Taken, Verdict::Refund)] {
            assert_eq!(asked(&expired, 2, found, HOUR - Duration::from_millis(1)), Verdict::Revive);
            assert_eq!(asked(&expired, 2, found, HOUR), back);
            assert_eq!(asked(&cancelled, 2, found, Duration::ZERO), back);
        }
    }

    #[test]
    fn a_declined_payment_that_holds_money_all_the_same_lets_it_go() {
        let declined = standing(OrderState::AwaitingPayment, PaymentState::Unpaid);
        assert_eq!(asked(&declined, 2, Found::Held, Duration::ZERO), Verdict::Void);
    }

    #[test]
    fn a_quiet_payment_is_asked_about_ever_more_rarely() {
        assert_eq!((pause(0), pause(1), pause(2), pause(u32::MAX)), (FIRST, 2 * FIRST, 4 * FIRST, LONGEST));
    }
}
