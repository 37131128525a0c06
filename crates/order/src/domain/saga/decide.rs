//! What comes after each step of the saga, decided from the step and its outcome alone. The reservation's commit is the one
//! arbiter: losing it needs only a void, winning it is followed by the capture. An outage is never a reason for a person to look.

use super::{Next, Outcome, Step, Waited};
use crate::domain::order::{Change, EndReason};
use crate::domain::retry::{MOST_REFUSALS, Pace, UNKNOWN_AT_MOST};
use crate::domain::state::{Event, PaymentState, StockState};

#[must_use]
pub fn decide(step: Step, outcome: Outcome, waited: Waited) -> Next {
    match outcome {
        Outcome::Away(_) | Outcome::Pending(_) | Outcome::Buyer(_)
            if step == Step::Authorize && waited.stock_released =>
        {
            // What its commit would find out is known already.
            hold_released(Step::Commit)
        }
        Outcome::Away(_) | Outcome::Pending(_) if step == Step::Authorize && waited.session_over => {
            // Whatever became of it is let go before the stock is.
            let change = Change { end_reason: Some(EndReason::PaymentUnanswered), ..Change::default() };
            Next::Go(Step::VoidExpired, change)
        }
        // Who has not done it when his time to pay ends shall not do it any more.
        Outcome::Buyer(_) if step == Step::Authorize && waited.session_over => {
            Next::Go(Step::VoidExpired, Change::default())
        }
        Outcome::Buyer(action) if step == Step::Authorize => Next::Buyer(action),
        Outcome::Buyer(_) => Next::Review(format!("{step} waits for the buyer")),
        Outcome::Away(why) => Next::Again(Pace::Away, why),
        Outcome::Pending(why) if waited.unknown_for >= UNKNOWN_AT_MOST => Next::Review(format!(
            "{step} was not known after {} hours: {why}",
            UNKNOWN_AT_MOST.as_secs() / 3600
        )),
        Outcome::Pending(why) => Next::Again(Pace::Unknown, why),
        Outcome::Refused(why) => Next::Review(format!("{step} was refused: {why}")),
        // The reservation is won and the money held: it is taken as units leave.
        Outcome::Done if step == Step::Commit && waited.captured_later => Next::End(Change {
            event: Some(Event::Paid),
            captured_later: true,
            ..stock(StockState::Committed)
        }),
        Outcome::Done => done(step),
        // Its units stay where they are until there is money for them; the hold is payment's to renew.
        Outcome::Declined(class) if step == Step::CaptureShipment && waited.attempts < MOST_REFUSALS => {
            Next::Refused(class)
        }
        Outcome::Declined(class) => declined(step, class),
        Outcome::HoldExpired => hold_expired(step),
        Outcome::HoldReleased => hold_released(step),
        Outcome::HoldCommitted => hold_committed(step),
        Outcome::Captured => captured(step),
    }
}

/// What follows a step whose effect is there.
#[must_use]
pub fn done(step: Step) -> Next {
    match step {
        Step::Authorize => Next::Go(Step::Commit, payment(PaymentState::Authorized)),
        Step::Commit => Next::Go(Step::Capture, stock(StockState::Committed)),
        Step::Capture => Next::End(Change { event: Some(Event::Paid), ..payment(PaymentState::Paid) }),
        // The provider's session is closed before the stock is free for others.
        Step::VoidExpired => Next::Go(Step::ReleaseExpired, payment(PaymentState::Voided)),
        Step::VoidCancelled => Next::Go(Step::ReleaseCancelled, payment(PaymentState::Voided)),
        Step::VoidReturn => Next::Go(Step::Return, payment(PaymentState::Voided)),
        Step::RefundExpired => Next::Go(
            Step::ReleaseExpired,
            Change { end_reason: Some(EndReason::PaidTooLate), ..payment(PaymentState::Refunded) },
        ),
        Step::RefundCancelled => Next::Go(Step::ReleaseCancelled, payment(PaymentState::Refunded)),
        Step::ReleaseExpired => {
            Next::End(Change { event: Some(Event::HoldEnded), ..stock(StockState::Released) })
        }
        Step::ReleaseCancelled => {
            Next::End(Change { event: Some(Event::Undone), ..stock(StockState::Released) })
        }
        Step::Refund => Next::Go(Step::Return, payment(PaymentState::Refunded)),
        Step::Return => Next::End(Change { event: Some(Event::Undone), ..stock(StockState::Returned) }),
        // A return moves no order: what it changes is written by `refund_return`.
        Step::ReturnRefund => Next::Go(Step::Restock, Change::default()),
        // So does a shipment's money, by `ship_paid`.
        Step::Restock | Step::CloseReturn | Step::CaptureShipment => Next::End(Change::default()),
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
        | Step::RefundExpired
        | Step::RefundCancelled
        | Step::Refund
        | Step::Return
        | Step::ReturnRefund
        | Step::Restock
        | Step::CloseReturn
        | Step::CaptureShipment => Next::Review(format!("{step} was declined: {class}")),
    }
}

fn hold_expired(step: Step) -> Next {
    match step {
        Step::Commit => Next::Go(
            Step::VoidExpired,
            Change { end_reason: Some(EndReason::PaidTooLate), ..stock(StockState::Released) },
        ),
        // Nothing left to release is released.
        Step::ReleaseExpired | Step::ReleaseCancelled => done(step),
        Step::Authorize
        | Step::Capture
        | Step::VoidExpired
        | Step::VoidCancelled
        | Step::VoidReturn
        | Step::RefundExpired
        | Step::RefundCancelled
        | Step::Refund
        | Step::Return
        | Step::ReturnRefund
        | Step::Restock
        | Step::CloseReturn
        | Step::CaptureShipment => Next::Review(format!("{step} found the hold expired")),
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
        | Step::RefundExpired
        | Step::RefundCancelled
        | Step::Refund
        | Step::Return
        | Step::ReturnRefund
        | Step::Restock
        | Step::CloseReturn
        | Step::CaptureShipment => Next::Review(format!("{step} found the hold released")),
    }
}

fn hold_committed(step: Step) -> Next {
    match step {
        // An order that is being cancelled keeps no stock, however far it had come.
        Step::ReleaseCancelled => Next::Go(Step::Return, stock(StockState::Committed)),
        Step::Authorize
        | Step::Commit
        | Step::Capture
        | Step::VoidExpired
        | Step::VoidCancelled
        | Step::VoidReturn
        | Step::ReleaseExpired
        | Step::RefundExpired
        | Step::RefundCancelled
        | Step::Refund
        | Step::Return
        | Step::ReturnRefund
        | Step::Restock
        | Step::CloseReturn
        | Step::CaptureShipment => Next::Review(format!("{step} found the stock committed")),
    }
}

/// A provider that captures by itself. Whether a capture took all of the money is for the payment to say, not for a refusal.
fn captured(step: Step) -> Next {
    match step {
        Step::VoidExpired => Next::Go(Step::RefundExpired, payment(PaymentState::Paid)),
        Step::VoidCancelled => Next::Go(Step::RefundCancelled, payment(PaymentState::Paid)),
        Step::VoidReturn => Next::Go(Step::Refund, payment(PaymentState::Paid)),
        Step::Authorize => done(step),
        Step::Commit
        | Step::Capture
        | Step::ReleaseExpired
        | Step::ReleaseCancelled
        | Step::RefundExpired
        | Step::RefundCancelled
        | Step::Refund
        | Step::Return
        | Step::ReturnRefund
        | Step::Restock
        | Step::CloseReturn
        | Step::CaptureShipment => Next::Review(format!("{step} found the money captured")),
    }
}

fn payment(state: PaymentState) -> Change {
    Change { payment: Some(state), ..Change::default() }
}

fn stock(state: StockState) -> Change {
    Change { stock: Some(state), ..Change::default() }
}
