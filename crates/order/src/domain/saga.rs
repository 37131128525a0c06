//! The words of the saga: its steps, what a peer answers, what follows. What follows what is `decide`'s.

mod decide;

use std::time::Duration;

use super::method::BuyerAction;
use super::order::Change;
use super::retry::Pace;
use super::words::words;

pub use decide::{decide, done};

words! {
    /// What is to be done next for an order. A step that undoes names how the order ends, or what comes after it.
    Step {
        Authorize = "AUTHORIZE",
        Commit = "COMMIT",
        Capture = "CAPTURE",
        /// The money of units that are about to leave.
        CaptureShipment = "CAPTURE_SHIPMENT",
        VoidExpired = "VOID_EXPIRED",
        VoidCancelled = "VOID_CANCELLED",
        VoidReturn = "VOID_RETURN",
        ReleaseExpired = "RELEASE_EXPIRED",
        ReleaseCancelled = "RELEASE_CANCELLED",
        RefundExpired = "REFUND_EXPIRED",
        RefundCancelled = "REFUND_CANCELLED",
        Refund = "REFUND",
        Return = "RETURN",
        /// What a buyer sent back is paid back.
        ReturnRefund = "RETURN_REFUND",
        /// And its units are sold again, when they shall be.
        Restock = "RESTOCK",
        /// What was left of a return has been done by hand: it is written as done.
        CloseReturn = "CLOSE_RETURN",
    }
}

/// What a peer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Authorize,
    Commit,
    Capture,
    CaptureShipment,
    Void,
    Release,
    Refund,
    Return,
    ReturnRefund,
    Restock,
    CloseReturn,
}

impl Step {
    /// Whether payment is asked. Its steps and inventory's are claimed apart, so that neither waits for the other's outage.
    #[must_use]
    pub const fn is_about_money(self) -> bool {
        match self.action() {
            Action::Authorize
            | Action::Capture
            | Action::CaptureShipment
            | Action::Void
            | Action::Refund
            | Action::ReturnRefund => true,
            Action::Commit | Action::Release | Action::Return | Action::Restock | Action::CloseReturn => {
                false
            }
        }
    }

    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Step::Authorize => Action::Authorize,
            Step::Commit => Action::Commit,
            Step::Capture => Action::Capture,
            Step::CaptureShipment => Action::CaptureShipment,
            Step::VoidExpired | Step::VoidCancelled | Step::VoidReturn => Action::Void,
            Step::ReleaseExpired | Step::ReleaseCancelled => Action::Release,
            Step::Refund | Step::RefundExpired | Step::RefundCancelled => Action::Refund,
            Step::Return => Action::Return,
            Step::ReturnRefund => Action::ReturnRefund,
            Step::Restock => Action::Restock,
            Step::CloseReturn => Action::CloseReturn,
        }
    }
}

/// What a peer answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for is so, whether by this call or an earlier one.
    Done,
    /// The provider said no for good, with the class of its refusal.
    Declined(String),
    /// The stock is gone because the hold ran out, or never was.
    HoldExpired,
    /// The stock is gone because somebody released it: a cancel won.
    HoldReleased,
    /// The stock was committed before: it cannot be released.
    HoldCommitted,
    /// The money was captured: it cannot be voided, only given back.
    Captured,
    /// The buyer has to do something at the provider first: ask again with the same id.
    Buyer(BuyerAction),
    /// The peer has answered that it does not know yet: ask again with the same id.
    Pending(String),
    /// The peer does not answer: ask again with the same id, for as long as it takes.
    Away(String),
    /// Refused for a reason that asking again will not change.
    Refused(String),
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Go(Step, Change),
    End(Change),
    /// The same step, later.
    Again(Pace, String),
    /// The same step under another id, later: the provider has refused this one, with the class of its refusal.
    Refused(String),
    /// The same step, when the buyer has done what he has to do, or cannot any more.
    Buyer(BuyerAction),
    /// A person decides.
    Review(String),
}

/// How long a step has been waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waited {
    /// How long the peer has been answering that it does not know yet.
    pub unknown_for: Duration,
    /// The provider's session has ended: an authorisation that is not known by now is not waited for any more.
    pub session_over: bool,
    /// A cancel has released the stock meanwhile: nothing is left to wait for.
    pub stock_released: bool,
    /// Failed tries of the step.
    pub attempts: u32,
    /// The order's money is taken as its units leave.
    pub captured_later: bool,
}

#[cfg(test)]
#[path = "saga_tests.rs"]
pub mod tests;
