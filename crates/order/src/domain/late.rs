//! Money that is found on a payment after it was given up, and what becomes of it: the order takes it once more if it can, else it goes
//! back. Decided from what the order and the payment are, whoever told of it and how often.

use std::time::Duration;

use stampede_types::PaymentId;
use uuid::Uuid;

use super::order::Order;
use super::state::{OrderState, PaymentState};

/// The first pause before a payment that was given up is asked about; each one after is twice as long. Payment's events shorten it.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_hours(4);
/// A payment that was quiet for so long is not asked about any more. Longer than any provider takes to change its mind.
pub const QUIET_AFTER: Duration = Duration::from_hours(48);

/// What there is on a payment, in minor units of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No money, and none to come: or not that anybody knows.
    Nothing,
    /// Held and not captured.
    Held(i64),
    /// Captured and neither given back nor on its way back.
    Taken(i64),
    /// The provider and payment's books contradict each other: nobody moves money of it but a person.
    Conflicted(i64),
}

/// What is known when a payment is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub payment: PaymentId,
    pub found: Found,
    /// A saga of the order is on its way: parked ones are not.
    pub under_way: bool,
    /// What was found on it is being given back already.
    pub giving_back: bool,
    /// How often a person has said that it is to be given back all the same.
    pub retries: u32,
    /// How long ago the time to pay ended.
    pub late_by: Duration,
    /// An order may be revived until so long after it.
    pub revive_within: Duration,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is nothing to do, and may never be.
    Quiet,
    /// Somebody else is about to do it: ask again later.
    Later,
    /// It is the order's own: its saga looks after it.
    Ours,
    /// The stock may be held once more: then the order goes on.
    Revive,
    Void,
    Refund,
    /// No rule says how it goes back.
    Person,
}

/// The refund of late money on this payment: another one for each time a person has it given back all the same ([`Order::refund_id`]).
#[must_use]
pub fn refund_id(order: &Order, payment: PaymentId, retries: u32) -> Uuid {
    match retries {
        0 => order.id.derive(&format!("late/refund/{payment}")),
        1.. => order.id.derive(&format!("late/refund/{payment}/{retries}")),
    }
}

#[must_use]
pub fn verdict(order: &Order, look: Look) -> Verdict {
    let present = order.payment == Some(look.payment);
    match look.found {
        Found::Nothing => Verdict::Quiet,
        Found::Held(_) | Found::Taken(_) | Found::Conflicted(_) if present && stands_on_it(order) => {
            Verdict::Ours
        }
        // The saga finds the same money and asks for it under an id of its own: only one of the two may.
        Found::Held(_) | Found::Taken(_) | Found::Conflicted(_) if present && look.under_way => {
            Verdict::Later
        }
        // It was given back once, by the provider or by other means, and how often it is to be is a person's to say.
        Found::Held(_) | Found::Taken(_)
            if present && order.payment_state == PaymentState::Refunded && look.retries == 0 =>
        {
            Verdict::Person
        }
        Found::Held(amount) | Found::Taken(amount) if present && may_be_revived(order, look, amount) => {
            Verdict::Revive
        }
        Found::Held(_) => Verdict::Void,
        Found::Taken(_) => Verdict::Refund,
        Found::Conflicted(_) => Verdict::Person,
    }
}

/// By all of its money, in time, and not by what is on its way back.
fn may_be_revived(order: &Order, look: Look, amount: i64) -> bool {
    order.state == OrderState::Expired
        && order.payment_state != PaymentState::Refunded
        && amount >= order.total.amount_minor()
        && look.late_by < look.revive_within
        && !look.giving_back
}

/// Whether the money of its present payment is the order's to keep or to settle.
fn stands_on_it(order: &Order) -> bool {
    match order.payment_state {
        PaymentState::Pending
        | PaymentState::Authorized
        | PaymentState::Paid
        | PaymentState::PartiallyRefunded
        | PaymentState::Refunded => match order.state {
            OrderState::AwaitingPayment
            | OrderState::Confirmed
            | OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Completed
            | OrderState::Cancelling
            | OrderState::ManualReview => true,
            OrderState::Rejected | OrderState::Expired | OrderState::Cancelled => false,
        },
        PaymentState::Unpaid | PaymentState::Voided => false,
    }
}

/// The pause after a payment was asked about so often.
#[must_use]
pub fn pause(asked: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(asked)).min(LONGEST)
}

#[cfg(test)]
#[path = "late_tests.rs"]
mod tests;
