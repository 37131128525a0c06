//! What payment is asked and what its answers mean to an order. A lost answer is never a no.

use stampede_kit::client::request;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CaptureMode, CapturePaymentRequest, GetPaymentRequest, Payment, PaymentState,
    RefundPaymentRequest, VoidPaymentRequest,
};
use stampede_types::{Money, PaymentId};
use tonic::Status;
use uuid::Uuid;

use super::{ASK_WITHIN, Peers, fact, failed, reason};
use crate::domain::late::Found;
use crate::domain::method::Method;
use crate::domain::order::Order;
use crate::domain::review::Facts;
use crate::domain::saga::Outcome;
use crate::wire;

impl Peers {
    pub async fn authorize(&self, order: &Order, payment: PaymentId, method: &Method) -> Outcome {
        let message = AuthorizePaymentRequest {
            payment_id: payment.to_string(),
            order_id: order.id.to_string(),
            amount: Some(order.total.into()),
            method: Some(wire::method_message(method)),
            capture: CaptureMode::Manual.into(),
        };
        match self.payments.clone().authorize_payment(request(message, self.step_within)).await {
            Ok(answer) => authorized(&answer.into_inner()),
            Err(status) => declined(&status),
        }
    }

    pub async fn capture(&self, order: &Order, payment: PaymentId) -> Outcome {
        let message = CapturePaymentRequest {
            payment_id: payment.to_string(),
            capture_id: order.capture_id().to_string(),
            amount: Some(order.total.into()),
        };
        match self.payments.clone().capture_payment(request(message, self.step_within)).await {
            Ok(answer) => captured(&answer.into_inner(), order),
            Err(status) => declined(&status),
        }
    }

    pub async fn void(&self, payment: PaymentId) -> Outcome {
        let message = VoidPaymentRequest { payment_id: payment.to_string() };
        match self.payments.clone().void_payment(request(message, self.step_within)).await {
            Ok(answer) => voided(&answer.into_inner()),
            // Nothing was ever authorised under this id.
            Err(status) if reason(&status) == Some(ErrorReason::PaymentNotFound) => Outcome::Done,
            Err(status) => not_voided(&status),
        }
    }

    /// Gives back whatever was captured of a payment that no order stands on.
    pub async fn give_back(&self, payment: PaymentId, refund: Uuid) -> Outcome {
        let message = RefundPaymentRequest {
            payment_id: payment.to_string(),
            refund_id: refund.to_string(),
            amount: None,
        };
        match self.payments.clone().refund_payment(request(message, self.step_within)).await {
            Ok(answer) => match money_on(answer.get_ref()) {
                (Found::Nothing, _) => refunded(answer.get_ref()),
                (Found::Held | Found::Taken, _) => pending(answer.get_ref()),
            },
            Err(status) => failed(&status),
        }
    }

    /// The payment as it stands; `None` when there never was one with this id.
    pub async fn payment(&self, payment: PaymentId) -> Result<Option<Payment>, Status> {
        let message = GetPaymentRequest { payment_id: payment.to_string() };
        match self.payments.clone().get_payment(request(message, ASK_WITHIN)).await {
            Ok(answer) => Ok(Some(answer.into_inner())),
            Err(status) if reason(&status) == Some(ErrorReason::PaymentNotFound) => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// What payment and inventory say of an order that somebody wants confirmed.
    pub async fn facts(&self, order: &Order) -> Result<Facts, Status> {
        let captured = match order.payment {
            _ if order.is_free() => true,
            Some(payment) => self.payment(payment).await?.is_some_and(|payment| {
                amount(payment.captured.as_ref()) >= order.total.amount_minor()
                    && amount(payment.refunded.as_ref()) + amount(payment.refund_pending.as_ref()) == 0
            }),
            None => false,
        };
        Ok(Facts { captured, committed: self.is_committed(order.reservation()).await? })
    }

    /// Gives back this much of what was captured. It is done when no refund of the payment is on its way any more: a refund that was
    /// refused is no answer but an error.
    pub async fn refund(&self, payment: PaymentId, refund: Uuid, money: Money) -> Outcome {
        let message = RefundPaymentRequest {
            payment_id: payment.to_string(),
            refund_id: refund.to_string(),
            amount: Some(money.into()),
        };
        match self.payments.clone().refund_payment(request(message, self.step_within)).await {
            Ok(answer) => refunded(&answer.into_inner()),
            Err(status) => failed(&status),
        }
    }
}

/// What there is on a payment, and how much of it in minor units.
pub fn money_on(payment: &Payment) -> (Found, i64) {
    let back = amount(payment.refunded.as_ref()) + amount(payment.refund_pending.as_ref());
    let taken = amount(payment.captured.as_ref()) - back;
    match payment.state() {
        PaymentState::Authorized | PaymentState::PartiallyCaptured => {
            (Found::Held, amount(payment.authorized.as_ref()) - back)
        }
        PaymentState::Captured | PaymentState::Conflicted if taken > 0 => (Found::Taken, taken),
        PaymentState::Captured
        | PaymentState::Conflicted
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Voided
        | PaymentState::Failed
        | PaymentState::Expired
        | PaymentState::Unspecified => (Found::Nothing, 0),
    }
}

fn authorized(payment: &Payment) -> Outcome {
    match payment.state() {
        PaymentState::Authorized | PaymentState::PartiallyCaptured | PaymentState::Captured => Outcome::Done,
        PaymentState::Failed => Outcome::Declined(payment.decline.clone()),
        PaymentState::Voided => Outcome::Declined("voided".into()),
        PaymentState::Expired => Outcome::Declined("expired".into()),
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Unspecified => pending(payment),
    }
}

fn captured(payment: &Payment, order: &Order) -> Outcome {
    if amount(payment.captured.as_ref()) >= order.total.amount_minor() {
        return Outcome::Done;
    }
    match payment.state() {
        PaymentState::Failed => Outcome::Declined(payment.decline.clone()),
        PaymentState::Voided => Outcome::Declined("voided".into()),
        PaymentState::Expired => Outcome::Declined("expired".into()),
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        PaymentState::Authorized
        | PaymentState::PartiallyCaptured
        | PaymentState::Captured
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Unspecified => pending(payment),
    }
}

fn voided(payment: &Payment) -> Outcome {
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

fn refunded(payment: &Payment) -> Outcome {
    if payment.state() == PaymentState::Conflicted {
        return Outcome::Refused("the payment is in conflict".into());
    }
    if is_unsettled(payment) { pending(payment) } else { Outcome::Done }
}

/// Whether money of it is on its way back, or nobody knows where it is.
pub fn is_unsettled(payment: &Payment) -> bool {
    payment.state() == PaymentState::Conflicted || amount(payment.refund_pending.as_ref()) > 0
}

/// Why a payment could not be let go.
fn not_voided(status: &Status) -> Outcome {
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
fn declined(status: &Status) -> Outcome {
    match reason(status) {
        Some(ErrorReason::PaymentDeclined) => Outcome::Declined(fact(status, "decline")),
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

fn pending(payment: &Payment) -> Outcome {
    Outcome::Pending(format!("the payment is {}", payment.state().as_str_name()))
}

fn amount(money: Option<&stampede_proto::common::v1::Money>) -> i64 {
    money.map_or(0, |money| money.amount_minor)
}

#[cfg(test)]
mod tests {
    use stampede_kit::Refusal;
    use tonic::Code;

    use super::*;

    fn payment(state: PaymentState) -> Payment {
        Payment { state: state.into(), decline: "do_not_honour".into(), ..Payment::default() }
    }

    #[test]
    fn a_lost_answer_is_asked_again_and_never_taken_for_a_no() {
        let unknown = Refusal::new(Code::Unavailable, "PAYMENT_UNKNOWN", "lost");
        for answer in [authorized(&payment(PaymentState::Unknown)), declined(&unknown.into())] {
            assert!(matches!(answer, Outcome::Pending(_)), "{answer:?}");
        }
        for silence in
            [Status::deadline_exceeded("late"), Status::cancelled("gone away"), Status::unavailable("no")]
        {
            assert!(matches!(declined(&silence), Outcome::Away(_)), "{silence:?}");
        }
    }

    #[test]
    fn a_fault_of_the_peers_own_is_no_outage() {
        let fault = Refusal::new(Code::Internal, "INTERNAL", "a bug");
        assert!(matches!(declined(&fault.into()), Outcome::Pending(_)));
        assert!(matches!(declined(&Status::internal("the stream broke")), Outcome::Away(_)));
    }

    #[test]
    fn captured_money_is_not_voided_but_given_back() {
        let refused = |state: &str| {
            not_voided(
                &Refusal::new(Code::FailedPrecondition, "PAYMENT_STATE", "no")
                    .metadata("state", state)
                    .into(),
            )
        };
        assert_eq!(
            (refused("CAPTURED"), voided(&payment(PaymentState::PartiallyCaptured))),
            (Outcome::Captured, Outcome::Done)
        );
        assert!(matches!(refused("AUTHORIZED"), Outcome::Pending(_)));
        assert!(matches!(refused("CONFLICTED"), Outcome::Refused(_)));
        let money =
            |amount_minor| Some(stampede_proto::common::v1::Money { amount_minor, currency: "EUR".into() });
        let taken = Payment { captured: money(10), refunded: money(9), ..payment(PaymentState::Captured) };
        assert_eq!(voided(&taken), Outcome::Captured);
    }

    #[test]
    fn a_refund_is_done_when_nothing_is_on_its_way_any_more() {
        let eur = |minor| Some(Money::new(minor, "EUR".parse().unwrap()).into());
        let given_back = |refunded, pending| Payment {
            refunded: eur(refunded),
            refund_pending: eur(pending),
            ..payment(PaymentState::Captured)
        };
        // Whatever went back by other means before.
        assert_eq!(refunded(&given_back(30, 0)), Outcome::Done);
        assert!(matches!(refunded(&given_back(10, 20)), Outcome::Pending(_)));
        assert!(matches!(refunded(&payment(PaymentState::Conflicted)), Outcome::Refused(_)));
    }

    #[test]
    fn a_refusal_of_the_provider_is_a_decline_with_its_class() {
        assert_eq!(authorized(&payment(PaymentState::Failed)), Outcome::Declined("do_not_honour".into()));
        let refusal =
            Refusal::new(Code::FailedPrecondition, "PAYMENT_DECLINED", "no").metadata("decline", "lost_card");
        assert_eq!(declined(&refusal.into()), Outcome::Declined("lost_card".into()));
    }

    #[test]
    fn another_use_of_the_id_is_for_a_person() {
        let conflict = Refusal::new(Code::Aborted, "PAYMENT_CONFLICT", "other amount");
        assert!(matches!(declined(&conflict.into()), Outcome::Refused(_)));
    }

    #[test]
    fn a_payment_in_conflict_is_for_a_person_and_one_that_is_being_voided_is_asked_again() {
        let refused = |state: &str| {
            let refusal =
                Refusal::new(Code::FailedPrecondition, "PAYMENT_STATE", "no").metadata("state", state);
            declined(&refusal.into())
        };
        assert!(matches!(refused("CONFLICTED"), Outcome::Refused(_)));
        assert!(matches!(refused("AUTHORIZED"), Outcome::Pending(_)));
        assert_eq!(refused("VOIDED"), Outcome::Declined("voided".into()));
    }
}
