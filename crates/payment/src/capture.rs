//! Capturing: takes authorised money. What it may take is reserved under the row lock before the provider is called.

use stampede_types::{Money, PaymentId};
use uuid::Uuid;

use crate::begin::Begin;
use crate::domain::{Operation, Payment};
use crate::error::Error;
use crate::payments::Payments;

impl Payments {
    /// `amount` None means all that is left. The same `capture` is the same capture.
    ///
    /// # Errors
    /// No such payment, an illegal step (of a payment in conflict, too), more than is left, a decline, or an outcome that is not
    /// known yet: then ask again.
    pub async fn capture(
        &self,
        id: PaymentId,
        capture: Uuid,
        amount: Option<Money>,
    ) -> Result<Payment, Error> {
        let begun = self
            .begin(Begin { payment: id, operation: Operation::Capture, word: capture, asked: amount })
            .await?;
        let payment = self.carry_out(begun).await?;
        let asked = payment.asked_as(Operation::Capture, capture);
        if asked.is_empty() || asked.iter().any(|(_, attempt)| attempt.is_open()) {
            return Err(Error::Unknown);
        }
        match payment.not_done(&asked) {
            Some(refused) => Err(refused.into()),
            None => Ok(payment),
        }
    }
}
