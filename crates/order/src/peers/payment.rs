//! What payment is asked and what its answers mean to an order. A lost answer is never a no.

use stampede_kit::client::request;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CapturePaymentRequest, Payment, PaymentState, RefundPaymentRequest,
    VoidPaymentRequest,
};
use stampede_types::PaymentId;
use tonic::Status;

use super::{Peers, fact, failed, reason};
use crate::domain::method::Method;
use crate::domain::order::Order;
use crate::domain::saga::Outcome;
use crate::wire;

impl Peers {
    pub async fn authorize(&self, order: &Order, payment: PaymentId, method: &Method) -> Outcome {
        let message = AuthorizePaymentRequest {
            payment_id: payment.to_string(),
            order_id: order.id.to_string(),
            amount: Some(order.total.into()),
            method: Some(wire::method_message(method)),
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
            Err(status) => failed(&status),
        }
    }

    /// Gives back all that was captured.
    pub async fn refund(&self, order: &Order, payment: PaymentId) -> Outcome {
        let message = RefundPaymentRequest {
            payment_id: payment.to_string(),
            refund_id: order.refund_id().to_string(),
            amount: Some(order.total.into()),
        };
        match self.payments.clone().refund_payment(request(message, self.step_within)).await {
            Ok(answer) => refunded(&answer.into_inner(), order),
            Err(status) => failed(&status),
        }
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
        PaymentState::Captured | PaymentState::PartiallyCaptured => {
            Outcome::Refused("money was captured under a void".into())
        }
        PaymentState::Conflicted => Outcome::Refused("the payment is in conflict".into()),
        PaymentState::Authorized
        | PaymentState::RequiresAction
        | PaymentState::Processing
        | PaymentState::Unknown
        | PaymentState::Unspecified => pending(payment),
    }
}

fn refunded(payment: &Payment, order: &Order) -> Outcome {
    if amount(payment.refunded.as_ref()) >= order.total.amount_minor() {
        return Outcome::Done;
    }
    if payment.state() == PaymentState::Conflicted {
        return Outcome::Refused("the payment is in conflict".into());
    }
    pending(payment)
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
        let answers = [
            authorized(&payment(PaymentState::Unknown)),
            declined(&unknown.into()),
            declined(&Status::deadline_exceeded("late")),
            declined(&Status::cancelled("gone away")),
        ];
        for answer in answers {
            assert!(matches!(answer, Outcome::Pending(_)), "{answer:?}");
        }
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
