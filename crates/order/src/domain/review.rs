//! What a person may decide about an order that waits for him, and what follows. A person never makes an order confirmed that is
//! not: for that, payment and inventory are asked. It decides from values alone.

use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::late::{IN_CONFLICT, keeps};
use super::order::{Change, Order};
use super::page::InvalidToken;
use super::saga::{Action, Next, Step, done};
use super::state::{Event, FulfilmentState, OrderState, PaymentState, StockState};
use super::words::words;

words! {
    /// How an order in review goes on.
    Resolution {
        /// The step is taken again.
        Retry = "RETRY",
        /// What the step should undo has been undone by hand.
        StepDone = "STEP_DONE",
        /// Everything is undone, from wherever the order stands.
        Cancel = "CANCEL",
        /// Its money and its stock are there: it is confirmed.
        Confirm = "CONFIRM",
    }
}

/// What the peers say of an order, asked when somebody wants it confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// All of its money is captured and none given back.
    pub captured: bool,
    /// All of its stock is committed.
    pub committed: bool,
}

/// Where late money that cannot be given back waits. It is no step of a saga: whatever its order does goes on meanwhile.
pub const LATE_REFUND: &str = "LATE_REFUND";

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{resolution} is not possible at {step}: {fact}")]
pub struct Impossible {
    pub resolution: Resolution,
    pub step: &'static str,
    pub fact: &'static str,
}

/// What a decision does to late money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePlan {
    /// It is given back as if nobody had been called, by a refund of its own: one that was refused is refused for ever.
    Again,
    /// It was given back by hand: its buyer is told.
    Told,
}

/// What a decision does: the order leaves review by the first change, and then goes or ends as any step would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub resumed: Change,
    pub next: Next,
}

/// What may be decided about late money on this payment, that waits for this reason.
#[must_use]
pub fn possible_late(order: &Order, payment: PaymentId, reason: &str) -> Vec<Resolution> {
    Resolution::ALL.iter().copied().filter(|way| plan_late(*way, order, payment, reason).is_ok()).collect()
}

/// # Errors
/// It is about the order, which late money does not touch; or the order stands on the money, which is not given back then.
pub fn plan_late(
    resolution: Resolution,
    order: &Order,
    payment: PaymentId,
    reason: &str,
) -> Result<LatePlan, Impossible> {
    match resolution {
        Resolution::Retry => Ok(LatePlan::Again),
        Resolution::StepDone if reason == IN_CONFLICT && keeps(order, payment) > 0 => Err(Impossible {
            resolution,
            step: LATE_REFUND,
            fact: "the order stands on the money: payment's conflict is resolved there",
        }),
        Resolution::StepDone => Ok(LatePlan::Told),
        Resolution::Cancel | Resolution::Confirm => {
            Err(Impossible { resolution, step: LATE_REFUND, fact: "the order itself goes on" })
        }
    }
}

/// What may be decided about an order parked at this step, as far as its own states tell.
#[must_use]
pub fn possible(step: Step, order: &Order) -> Vec<Resolution> {
    let facts = Facts { captured: true, committed: true };
    Resolution::ALL.iter().copied().filter(|way| plan(*way, step, order, facts).is_ok()).collect()
}

/// # Errors
/// The order's states, the step or the facts do not allow it.
pub fn plan(resolution: Resolution, step: Step, order: &Order, facts: Facts) -> Result<Plan, Impossible> {
    let refuse = |fact| Err(Impossible { resolution, step: step.as_str(), fact });
    let in_review = order.state == OrderState::ManualReview;
    match resolution {
        Resolution::Retry => {
            Ok(Plan { resumed: resumed(in_review, step), next: Next::Go(step, Change::default()) })
        }
        Resolution::StepDone => match step.action() {
            Action::Authorize | Action::Commit | Action::Capture | Action::CaptureShipment => {
                refuse("it takes money or stock")
            }
            Action::Restock => {
                Ok(Plan { resumed: Change::default(), next: Next::Go(Step::CloseReturn, Change::default()) })
            }
            Action::CloseReturn => refuse("only RETRY is left"),
            Action::Void | Action::Release | Action::Refund | Action::Return | Action::ReturnRefund => {
                Ok(Plan { resumed: resumed(in_review, step), next: done(step) })
            }
        },
        // The units stay, and may be shipped again.
        Resolution::Cancel if step == Step::CaptureShipment => {
            Ok(Plan { resumed: Change::default(), next: Next::End(Change::default()) })
        }
        Resolution::Cancel if !in_review => refuse("the order itself goes on"),
        Resolution::Cancel if order.fulfilment_state != FulfilmentState::None => refuse("units have left"),
        Resolution::Cancel => {
            let undo = undo(order);
            if undo == step {
                return refuse("it is being cancelled: RETRY does that");
            }
            Ok(Plan { resumed: event(Event::UndoingResumed), next: Next::Go(undo, Change::default()) })
        }
        Resolution::Confirm if !in_review => refuse("the order itself goes on"),
        Resolution::Confirm if !matches!(step, Step::Authorize | Step::Commit | Step::Capture) => {
            refuse("the order is being undone")
        }
        Resolution::Confirm if !facts.captured => refuse("payment has not captured all of the money"),
        Resolution::Confirm if !facts.committed => refuse("inventory has not committed the stock"),
        Resolution::Confirm => {
            let paid = Change {
                event: Some(Event::Paid),
                payment: Some(PaymentState::Paid),
                stock: Some(StockState::Committed),
                ..Change::default()
            };
            Ok(Plan { resumed: event(Event::PayingResumed), next: Next::End(paid) })
        }
    }
}

/// The step that begins to undo an order which stands like this. A step meets what is undone already, and goes on.
fn undo(order: &Order) -> Step {
    match (order.payment_state, order.stock_state) {
        (
            PaymentState::Paid | PaymentState::PartiallyRefunded,
            StockState::Committed | StockState::Returned,
        ) => Step::Refund,
        (PaymentState::Refunded, StockState::Committed | StockState::Returned) => Step::Return,
        (
            PaymentState::Unpaid | PaymentState::Pending | PaymentState::Authorized | PaymentState::Voided,
            StockState::Committed | StockState::Returned,
        ) => Step::VoidReturn,
        (PaymentState::Paid | PaymentState::PartiallyRefunded, StockState::Held | StockState::Released) => {
            Step::RefundCancelled
        }
        (
            PaymentState::Unpaid
            | PaymentState::Pending
            | PaymentState::Authorized
            | PaymentState::Voided
            | PaymentState::Refunded,
            StockState::Held | StockState::Released,
        ) if order.payment.is_some() => Step::VoidCancelled,
        (
            PaymentState::Unpaid
            | PaymentState::Pending
            | PaymentState::Authorized
            | PaymentState::Voided
            | PaymentState::Refunded,
            StockState::Held | StockState::Released,
        ) => Step::ReleaseCancelled,
    }
}

/// Back to where the step belongs. A step that did not take the order into review leaves it where it is.
fn resumed(in_review: bool, step: Step) -> Change {
    if !in_review {
        return Change::default();
    }
    match step {
        Step::Authorize
        | Step::Commit
        | Step::Capture
        | Step::VoidExpired
        | Step::RefundExpired
        | Step::ReleaseExpired => event(Event::PayingResumed),
        Step::VoidCancelled
        | Step::VoidReturn
        | Step::RefundCancelled
        | Step::ReleaseCancelled
        | Step::Refund
        | Step::Return => event(Event::UndoingResumed),
        // Neither a return nor a shipment takes an order into review.
        Step::ReturnRefund | Step::Restock | Step::CloseReturn | Step::CaptureShipment => Change::default(),
    }
}

fn event(event: Event) -> Change {
    Change { event: Some(event), ..Change::default() }
}

/// Where a page of the list ends: behind what has waited since then. What waits is an order, or a payment with late money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub since: OffsetDateTime,
    pub item: Uuid,
}

/// As text: an instant in microseconds and an id.
#[must_use]
pub fn token(place: Place) -> String {
    format!("{}.{}", place.since.unix_timestamp_nanos() / 1_000, place.item)
}

/// # Errors
/// The text is no token of this list.
pub fn after(token: &str) -> Result<Place, InvalidToken> {
    let (micros, item) = token.split_once('.').ok_or(InvalidToken)?;
    let micros: i64 = micros.parse().map_err(|_| InvalidToken)?;
    let since =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map_err(|_| InvalidToken)?;
    // The store keeps no instant before 4714 BC, and nothing has waited that long.
    if since.year() < 1 {
        return Err(InvalidToken);
    }
    Ok(Place { since, item: item.parse().map_err(|_| InvalidToken)? })
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
