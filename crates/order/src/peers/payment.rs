//! What payment is asked for an order; what it answers is read in `answers`.

mod answers;

use stampede_kit::client::request;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CaptureMode, CapturePaymentRequest, GetPaymentRequest, Payment,
    RefundPaymentRequest, VoidPaymentRequest,
};
use stampede_types::{Money, PaymentId};
use tonic::Status;
use uuid::Uuid;

use super::{ASK_WITHIN, Peers, failed, reason};
use crate::domain::late::Found;
use crate::domain::method::Method;
use crate::domain::order::Order;
use crate::domain::review::Facts;
use crate::domain::saga::Outcome;
use crate::wire;

use answers::{
    amount, authorized, captured, covers, declined, kept, not_voided, part_declined, part_refunded, pending,
    refunded, voided,
};
pub use answers::{came_back, is_unsettled, money_on};

/// Why nobody gives it back by himself.
pub const CAME_BACK: &str = "what was given back has come back";

impl Peers {
    /// `in_parts`: its money is taken as units leave, over a longer time than a hold may last.
    pub async fn authorize(
        &self,
        order: &Order,
        payment: PaymentId,
        method: &Method,
        in_parts: bool,
    ) -> Outcome {
        let message = AuthorizePaymentRequest {
            payment_id: payment.to_string(),
            order_id: order.id.to_string(),
            amount: Some(order.total.into()),
            method: Some(wire::method_message(method)),
            capture: if in_parts { CaptureMode::Multiple } else { CaptureMode::Manual }.into(),
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
            Ok(answer) => captured(&answer.into_inner(), order.total),
            Err(status) => match declined(&status) {
                // By whom, and how much of it is still there, is not said: the payment is looked at.
                Outcome::Captured => self.captured_before(order, payment).await,
                outcome @ (Outcome::Done
                | Outcome::Declined(_)
                | Outcome::HoldExpired
                | Outcome::HoldReleased
                | Outcome::HoldCommitted
                | Outcome::Buyer(_)
                | Outcome::Pending(_)
                | Outcome::Away(_)
                | Outcome::Refused(_)) => outcome,
            },
        }
    }

    /// Takes this much of what is held for an order, for units that are about to leave.
    pub async fn capture_part(&self, payment: PaymentId, capture: Uuid, part: Money) -> Outcome {
        let message = CapturePaymentRequest {
            payment_id: payment.to_string(),
            capture_id: capture.to_string(),
            amount: Some(part.into()),
        };
        match self.payments.clone().capture_payment(request(message, self.step_within)).await {
            Ok(_) => Outcome::Done,
            Err(status) => part_declined(&status),
        }
    }

    async fn captured_before(&self, order: &Order, payment: PaymentId) -> Outcome {
        match self.payment(payment).await {
            Ok(Some(payment)) => captured(&payment, order.total),
            Ok(None) => Outcome::Refused("payment does not know what it captured".into()),
            Err(status) => failed(&status),
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

    /// Gives back whatever is kept of a payment that no order stands on, or not any more.
    pub async fn give_back(&self, payment: PaymentId, refund: Uuid) -> Outcome {
        self.give_back_beyond(payment, refund, None, 0).await
    }

    /// Gives back this much of a payment of which an order keeps so many minor units.
    pub async fn give_part_back(&self, payment: PaymentId, refund: Uuid, part: Money, keeps: i64) -> Outcome {
        self.give_back_beyond(payment, refund, Some(part), keeps).await
    }

    async fn give_back_beyond(
        &self,
        payment: PaymentId,
        refund: Uuid,
        part: Option<Money>,
        keeps: i64,
    ) -> Outcome {
        let message = RefundPaymentRequest {
            payment_id: payment.to_string(),
            refund_id: refund.to_string(),
            amount: part.map(Into::into),
        };
        match self.payments.clone().refund_payment(request(message, self.step_within)).await {
            Ok(answer) => match money_on(answer.get_ref()) {
                Found::Taken(kept) if kept <= keeps => refunded(answer.get_ref()),
                Found::Nothing | Found::Conflicted(_) => refunded(answer.get_ref()),
                // The refund is settled, and asking for it again moves nothing: it came back, or somebody captured more.
                Found::Taken(_) if !is_unsettled(answer.get_ref()) => Outcome::Refused(CAME_BACK.into()),
                Found::Held(_) | Found::Taken(_) => pending(answer.get_ref()),
            },
            Err(status) => self.not_refunded(payment, &status).await,
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
            Some(payment) => {
                self.payment(payment).await?.is_some_and(|payment| covers(&payment, order.total))
            }
            None => false,
        };
        Ok(Facts { captured, committed: self.is_committed(order.reservation()).await? })
    }

    /// Gives back this much of what was captured. It is done when no refund of the payment is on its way any more, whatever else is in
    /// dispute: a refund that was refused is no answer but an error.
    pub async fn refund(&self, payment: PaymentId, refund: Uuid, money: Money) -> Outcome {
        let message = RefundPaymentRequest {
            payment_id: payment.to_string(),
            refund_id: refund.to_string(),
            amount: Some(money.into()),
        };
        match self.payments.clone().refund_payment(request(message, self.step_within)).await {
            Ok(answer) => part_refunded(answer.get_ref()),
            Err(status) => self.not_refunded(payment, &status).await,
        }
    }

    /// Why a refund was not taken on. There is no more to give back when somebody else gives all of it back, or has.
    async fn not_refunded(&self, payment: PaymentId, status: &Status) -> Outcome {
        if reason(status) != Some(ErrorReason::AmountExceeded) {
            return failed(status);
        }
        match self.payment(payment).await {
            // Less than nothing when a dispute took back what had been refunded.
            Ok(Some(payment)) if amount(payment.captured.as_ref()) > 0 && kept(&payment) <= 0 => {
                refunded(&payment)
            }
            Ok(Some(_) | None) => failed(status),
            Err(status) => failed(&status),
        }
    }
}
