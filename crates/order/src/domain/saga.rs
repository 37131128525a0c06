//! What comes after each step of the saga, decided from the step and its outcome alone. The reservation's commit is the one
//! arbiter: losing it needs only a void, winning it is followed by the capture.

use super::order::Change;
use super::retry::MAX_ATTEMPTS;
use super::state::{Event, PaymentState, StockState};
use super::words::words;

words! {
    /// What is to be done next for an order. A step that undoes names how the order ends, or what comes after it.
    Step {
        Authorize = "AUTHORIZE",
        Commit = "COMMIT",
        Capture = "CAPTURE",
        VoidExpired = "VOID_EXPIRED",
        VoidCancelled = "VOID_CANCELLED",
        VoidReturn = "VOID_RETURN",
        ReleaseExpired = "RELEASE_EXPIRED",
        ReleaseCancelled = "RELEASE_CANCELLED",
        Refund = "REFUND",
        Return = "RETURN",
    }
}

/// What a peer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Authorize,
    Commit,
    Capture,
    Void,
    Release,
    Refund,
    Return,
}

impl Step {
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Step::Authorize => Action::Authorize,
            Step::Commit => Action::Commit,
            Step::Capture => Action::Capture,
            Step::VoidExpired | Step::VoidCancelled | Step::VoidReturn => Action::Void,
            Step::ReleaseExpired | Step::ReleaseCancelled => Action::Release,
            Step::Refund => Action::Refund,
            Step::Return => Action::Return,
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
    /// Not known yet, or the peer does not answer: ask again with the same id.
    Pending(String),
    /// Refused for a reason that asking again will not change.
    Refused(String),
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Go(Step, Change),
    End(Change),
    /// The same step, later.
    Again(String),
    /// A person decides.
    Review(String),
}

/// `attempt` is how often this step has failed before.
#[must_use]
pub fn decide(step: Step, outcome: Outcome, attempt: u32) -> Next {
    match outcome {
        Outcome::Pending(why) if attempt + 1 >= MAX_ATTEMPTS => {
            Next::Review(format!("{step} had no answer {MAX_ATTEMPTS} times: {why}"))
        }
        Outcome::Pending(why) => Next::Again(why),
        Outcome::Refused(why) => Next::Review(format!("{step} was refused: {why}")),
        Outcome::Done => done(step),
        Outcome::Declined(class) => declined(step, class),
        Outcome::HoldExpired => hold_expired(step),
        Outcome::HoldReleased => hold_released(step),
        Outcome::HoldCommitted => Next::Review(format!("{step} found the stock committed")),
    }
}

fn done(step: Step) -> Next {
    match step {
        Step::Authorize => Next::Go(Step::Commit, payment(PaymentState::Authorized)),
        Step::Commit => Next::Go(Step::Capture, stock(StockState::Committed)),
        Step::Capture => Next::End(Change { event: Some(Event::Paid), ..payment(PaymentState::Paid) }),
        Step::VoidExpired => {
            Next::End(Change { event: Some(Event::HoldEnded), ..payment(PaymentState::Voided) })
        }
        Step::VoidCancelled => {
            Next::End(Change { event: Some(Event::Undone), ..payment(PaymentState::Voided) })
        }
        Step::VoidReturn => Next::Go(Step::Return, payment(PaymentState::Voided)),
        Step::ReleaseExpired => {
            Next::End(Change { event: Some(Event::HoldEnded), ..stock(StockState::Released) })
        }
        Step::ReleaseCancelled => {
            Next::End(Change { event: Some(Event::Undone), ..stock(StockState::Released) })
        }
        Step::Refund => Next::Go(Step::Return, payment(PaymentState::Refunded)),
        Step::Return => Next::End(Change { event: Some(Event::Undone), ..stock(StockState::Returned) }),
    }
}

fn declined(step: Step, class: String) -> Next {
    match step {
        Step::Authorize => Next::End(Change { decline: Some(class), ..payment(PaymentState::Unpaid) }),
        // The stock was won and the money is not to be had: what is held of either goes back.
        Step::Capture => {
            let change =
                Change { event: Some(Event::CancelRequested), decline: Some(class), ..Change::default() };
            Next::Go(Step::VoidReturn, change)
        }
        Step::Commit
        | Step::VoidExpired
        | Step::VoidCancelled
        | Step::VoidReturn
        | Step::ReleaseExpired
        | Step::ReleaseCancelled
        | Step::Refund
        | Step::Return => Next::Review(format!("{step} was declined: {class}")),
    }
}

fn hold_expired(step: Step) -> Next {
    match step {
        Step::Commit => Next::Go(Step::VoidExpired, stock(StockState::Released)),
        // Nothing left to release is released.
        Step::ReleaseExpired | Step::ReleaseCancelled => done(step),
        Step::Authorize
        | Step::Capture
        | Step::VoidExpired
        | Step::VoidCancelled
        | Step::VoidReturn
        | Step::Refund
        | Step::Return => Next::Review(format!("{step} found the hold expired")),
    }
}

fn hold_released(step: Step) -> Next {
    match step {
        Step::Commit => Next::Go(
            Step::VoidCancelled,
            Change { event: Some(Event::CancelRequested), ..stock(StockState::Released) },
        ),
        Step::ReleaseExpired | Step::ReleaseCancelled => done(step),
        Step::Authorize
        | Step::Capture
        | Step::VoidExpired
        | Step::VoidCancelled
        | Step::VoidReturn
        | Step::Refund
        | Step::Return => Next::Review(format!("{step} found the hold released")),
    }
}

fn payment(state: PaymentState) -> Change {
    Change { payment: Some(state), ..Change::default() }
}

fn stock(state: StockState) -> Change {
    Change { stock: Some(state), ..Change::default() }
}

#[cfg(test)]
#[path = "saga_tests.rs"]
mod tests;
