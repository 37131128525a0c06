//! What payment's answers and refusals mean to an order. A lost answer is never a no.

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::payment::v1::{Payment, PaymentAction, PaymentEventKind, PaymentState};
use stampede_types::Money;
use time::OffsetDateTime;
use tonic::Status;

use crate::domain::late::Found;
use crate::domain::method::BuyerAction;
use crate::domain::saga::Outcome;
use crate::peers::{fact, failed, reason};

/// What was captured and is neither given back, nor on its way back, nor taken back by the buyer's bank, in minor units.
pub(super) fn kept(payment: &Payment) -> i64 {
    amount(payment.captured.as_ref())
        - amount(payment.refunded.as_ref())
        - amount(payment.refund_pending.as_ref())
        - amount(payment.disputed.as_ref())
}

/// Whether an order of this total may stand on the payment: all of the money is there, and nobody disputes it. What confirms an
/// order asks this, whoever that is.
pub(super) fn covers(payment: &Payment, total: Money) -> bool {
    payment.state() != PaymentState::Conflicted && kept(payment) >= total.amount_minor()
}

/// What there is on a payment.
pub fn money_on(payment: &Payment) -> Found {
    let kept = kept(payment);
    let authorized = amount(payment.authorized.as_ref());
    match payment.state() {
        PaymentState::Authorized | PaymentState::PartiallyCaptured => {
            // What was captured is part of what was authorised, and what lapsed is let go.
            let gone = amount(payment.captured.as_ref()) + amount(payment.voided.as_ref());
            Found::Held(authorized - gone + kept)
        }
        PaymentState::Captured if kept > 0 => Found::Taken(kept),
        PaymentState::Conflicted => Found::Conflicted(kept.max(authorized)),
        PaymentState::Captured
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Voided
        | PaymentState::Failed
        | PaymentState::Expired
        | PaymentState::Unspecified => Found::Nothing,
    }
}

/// Of what was given back, what has ever come back, in minor units.
pub fn came_back(payment: &Payment) -> i64 {
    let reversed = payment.events.iter().filter(|event| event.kind() == PaymentEventKind::RefundReversed);
    reversed.map(|event| amount(event.amount.as_ref())).sum()
}

pub(super) fn authorized(payment: &Payment) -> Outcome {
    match payment.state() {
        PaymentState::Authorized | PaymentState::PartiallyCaptured | PaymentState::Captured => Outcome::Done,
        PaymentState::Failed => Outcome::Declined(payment.decline.clone()),
        PaymentState::Voided => Outcome::Declined("voided".into()),
        PaymentState::Expired => Outcome::Declined("expired".into()),
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        PaymentState::RequiresAction => {
            payment.action.as_ref().and_then(buyers).map_or_else(|| pending(payment), Outcome::Buyer)
        }
        PaymentState::Processing | PaymentState::Unknown | PaymentState::Unspecified => pending(payment),
    }
}

/// None when it does not say until when.
fn buyers(action: &PaymentAction) -> Option<BuyerAction> {
    let at = action.expires_at.as_ref()?;
    let expires_at = OffsetDateTime::from_unix_timestamp(at.seconds).ok()?;
    Some(BuyerAction { url: action.redirect_url.clone(), expires_at })
}

pub(super) fn captured(payment: &Payment, total: Money) -> Outcome {
    if covers(payment, total) {
        return Outcome::Done;
    }
    match payment.state() {
        PaymentState::Failed => Outcome::Declined(payment.decline.clone()),
        PaymentState::Voided => Outcome::Declined("voided".into()),
        PaymentState::Expired => Outcome::Declined("expired".into()),
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        // Nothing more can be captured, and what was is not all, or not all there any more.
        PaymentState::Captured => Outcome::Refused(format!(
            "the payment keeps {} of {} {} (minor units)",
            kept(payment),
            total.amount_minor(),
            total.currency()
        )),
        PaymentState::Authorized
        | PaymentState::PartiallyCaptured
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Unspecified => pending(payment),
    }
}

pub(super) fn voided(payment: &Payment) -> Outcome {
    match payment.state() {
        PaymentState::Voided | PaymentState::Failed | PaymentState::Expired => Outcome::Done,
        // What was captured has all gone back.
        PaymentState::Captured | PaymentState::PartiallyCaptured
            if amount(payment.refunded.as_ref()) >= amount(payment.captured.as_ref()) =>
        {
            Outcome::Done
        }
        PaymentState::Captured | PaymentState::PartiallyCaptured => Outcome::Captured,
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        PaymentState::Authorized
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Unspecified => pending(payment),
    }
}

pub(super) fn refunded(payment: &Payment) -> Outcome {
    if payment.state() == PaymentState::Conflicted {
        return Outcome::Refused("the payment is in conflict".into());
    }
    if is_unsettled(payment) { pending(payment) } else { Outcome::Done }
}

/// Of a part that was given back: what else is in dispute does not make it wait.
pub(super) fn part_refunded(payment: &Payment) -> Outcome {
    match payment.state() {
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        PaymentState::Captured
        | PaymentState::PartiallyCaptured
        | PaymentState::Authorized
        | PaymentState::Voided
        | PaymentState::Failed
        | PaymentState::Expired
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Unspecified => {
            if amount(payment.refund_pending.as_ref()) > 0 {
                pending(payment)
            } else {
                Outcome::Done
            }
        }
    }
}

/// Whether money of it is on its way back, in dispute, or nobody knows where it is.
pub fn is_unsettled(payment: &Payment) -> bool {
    payment.state() == PaymentState::Conflicted
        || amount(payment.refund_pending.as_ref()) > 0
        || amount(payment.disputed.as_ref()) > amount(payment.dispute_lost.as_ref())
}

/// Why a payment could not be let go.
pub(super) fn not_voided(status: &Status) -> Outcome {
    match reason(status) {
        Some(ErrorReason::PaymentState) => match fact(status, "state").trim_start_matches("PAYMENT_STATE_") {
            "CAPTURED" => Outcome::Captured,
            // A capture is under way: once it is known, the money is held or taken.
            "AUTHORIZED" | "PARTIALLY_CAPTURED" => Outcome::Pending("a capture is under way".into()),
            _ => failed(status),
        },
        Some(_) | None => failed(status),
    }
}

/// A refusal by the provider is an answer; every other failure is not.
pub(super) fn declined(status: &Status) -> Outcome {
    match reason(status) {
        Some(ErrorReason::PaymentDeclined) => Outcome::Declined(fact(status, "decline")),
        // Nothing was begun: the order may be paid another way.
        Some(ErrorReason::PaymentUnroutable) => Outcome::Declined("method_not_supported".into()),
        // The payment has ended without our money and says how.
        Some(ErrorReason::PaymentState) => match fact(status, "state").trim_start_matches("PAYMENT_STATE_") {
            "FAILED" => Outcome::Declined("failed".into()),
            "VOIDED" => Outcome::Declined("voided".into()),
            "EXPIRED" => Outcome::Declined("expired".into()),
            "CAPTURED" => Outcome::Captured,
            // Not known yet; or held and refused all the same: somebody's void is under way and will end it.
            "PROCESSING" | "UNKNOWN" | "REQUIRES_ACTION" | "AUTHORIZED" | "PARTIALLY_CAPTURED" => {
                Outcome::Pending("PAYMENT_STATE".into())
            }
            _ => failed(status),
        },
        Some(_) | None => failed(status),
    }
}

/// Of a part of the money. A payment that has ended gives nothing any more: a person looks.
pub(super) fn part_declined(status: &Status) -> Outcome {
    let ended = || fact(status, "state").trim_start_matches("PAYMENT_STATE_").to_owned();
    match declined(status) {
        Outcome::Declined(_) | Outcome::Captured if reason(status) == Some(ErrorReason::PaymentState) => {
            Outcome::Refused(format!("the payment is {}", ended()))
        }
        Outcome::Captured => Outcome::Refused("the payment is captured".into()),
        outcome @ (Outcome::Done
        | Outcome::Declined(_)
        | Outcome::HoldExpired
        | Outcome::HoldReleased
        | Outcome::HoldCommitted
        | Outcome::Buyer(_)
        | Outcome::Pending(_)
        | Outcome::Away(_)
        | Outcome::Refused(_)) => outcome,
    }
}

pub(super) fn pending(payment: &Payment) -> Outcome {
    Outcome::Pending(format!("the payment is {}", payment.state().as_str_name()))
}

pub(super) fn amount(money: Option<&stampede_proto::common::v1::Money>) -> i64 {
    money.map_or(0, |money| money.amount_minor)
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
