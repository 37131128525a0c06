//! Money that is found on a payment after it was given up, or given back, and what becomes of it: the order takes it once more if it
//! can, else it goes back. Decided from what the order and the payment are, whoever told of it and how often.

use std::time::Duration;

use stampede_types::PaymentId;
use uuid::Uuid;

use super::order::{EndReason, Order};
use super::state::{OrderState, PaymentState};

/// Why nobody moves money of a payment in conflict: payment's own decision leads out of it.
pub const IN_CONFLICT: &str = "the payment is in conflict";

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
    /// Of what was given back, what has ever come back, in minor units.
    pub came_back: i64,
    pub saga: Saga,
    /// What was found on it is being given back already.
    pub giving_back: bool,
    /// How often a person has said that it is to be given back all the same.
    pub retries: u32,
    /// How long ago the time to pay ended.
    pub late_by: Duration,
    /// An order may be revived until so long after it.
    pub revive_within: Duration,
}

/// Whether somebody is at the order's money already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saga {
    None,
    UnderWay,
    /// It waits for a person.
    Parked,
}

/// Whose the money on an order's present payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The order is being paid for with it.
    Paying,
    /// The order was sold for it: its price, less what returns give back.
    Sale,
    /// It is being given back, or a person says how the order goes on.
    Undoing,
    Nobody,
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

/// What the order may keep of this payment, in minor units.
#[must_use]
pub fn keeps(order: &Order, payment: PaymentId) -> i64 {
    match owner(order, payment) {
        Owner::Sale => order.total.amount_minor() - order.refunded.amount_minor(),
        Owner::Paying | Owner::Undoing | Owner::Nobody => 0,
    }
}

/// Of what was found, what no order stands on. Of a sale's money only what came back: what a person gave back by other means is
/// still on the payment and is nobody's to move.
#[must_use]
pub fn loose(order: &Order, payment: PaymentId, found: Found, came_back: i64) -> Found {
    match (owner(order, payment), found) {
        (Owner::Sale, Found::Taken(kept)) => match (kept - keeps(order, payment)).min(came_back) {
            ..=0 => Found::Nothing,
            beyond => Found::Taken(beyond),
        },
        (Owner::Sale | Owner::Paying | Owner::Undoing | Owner::Nobody, found) => found,
    }
}

#[must_use]
pub fn verdict(order: &Order, look: Look) -> Verdict {
    let owner = owner(order, look.payment);
    match owner {
        Owner::Paying if look.found != Found::Nothing => return Verdict::Ours,
        Owner::Sale => return of_sale(order, look),
        Owner::Undoing if look.found != Found::Nothing => return Verdict::Later,
        Owner::Paying | Owner::Undoing | Owner::Nobody => {}
    }
    let present = order.payment == Some(look.payment);
    match look.found {
        Found::Nothing => Verdict::Quiet,
        // The saga finds the same money and asks for it under an id of its own: only one of the two may.
        Found::Held(_) | Found::Taken(_) | Found::Conflicted(_) if present && look.saga == Saga::UnderWay => {
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

/// The order stands on its payment, but for what its returns had given back and what has come back since.
fn of_sale(order: &Order, look: Look) -> Verdict {
    match loose(order, look.payment, look.found, look.came_back) {
        Found::Nothing if look.found == Found::Nothing || look.giving_back => Verdict::Quiet,
        Found::Nothing | Found::Held(_) => Verdict::Ours,
        // It goes on, and somebody is told that its money is in doubt.
        Found::Conflicted(_) => match look.saga {
            Saga::UnderWay | Saga::Parked => Verdict::Later,
            Saga::None => Verdict::Person,
        },
        // A return that is to be refunded still, or that a person looks at, counts as refunded.
        Found::Taken(_) => match look.saga {
            Saga::UnderWay | Saga::Parked => Verdict::Later,
            Saga::None if look.retries == 0 => Verdict::Person,
            Saga::None => Verdict::Refund,
        },
    }
}

/// By all of its money, in time, and not by what is on its way back.
fn may_be_revived(order: &Order, look: Look, amount: i64) -> bool {
    order.state == OrderState::Expired
        && order.payment_state != PaymentState::Refunded
        // Its buyer was told that it is over, whatever came back since.
        && order.end_reason != Some(EndReason::PaidTooLate)
        && amount >= order.total.amount_minor()
        && look.late_by < look.revive_within
        && !look.giving_back
}

fn owner(order: &Order, payment: PaymentId) -> Owner {
    if order.payment != Some(payment) {
        return Owner::Nobody;
    }
    match (order.payment_state, order.state) {
        (PaymentState::Unpaid | PaymentState::Voided, _)
        | (_, OrderState::Rejected | OrderState::Expired | OrderState::Cancelled) => Owner::Nobody,
        (PaymentState::Refunded, OrderState::AwaitingPayment)
        | (_, OrderState::Cancelling | OrderState::ManualReview) => Owner::Undoing,
        (
            PaymentState::Pending
            | PaymentState::Authorized
            | PaymentState::Paid
            | PaymentState::PartiallyRefunded,
            OrderState::AwaitingPayment,
        ) => Owner::Paying,
        (
            PaymentState::Pending
            | PaymentState::Authorized
            | PaymentState::Paid
            | PaymentState::PartiallyRefunded
            | PaymentState::Refunded,
            OrderState::Confirmed
            | OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Completed,
        ) => Owner::Sale,
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
