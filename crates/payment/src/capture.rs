//! Capturing: takes authorised money. What it may take is reserved under the row lock before the provider is called.

use stampede_types::{Money, PaymentId};
use uuid::Uuid;

use crate::domain::{AttemptState, Operation, Payment, attempt_id};
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
        let begun = self.begin(id, Operation::Capture, capture, amount).await?;
        let payment = self.carry_out(begun).await?;
        let attempt = payment.attempt(attempt_id(id, Operation::Capture, &capture.to_string()));
        match attempt.map(|attempt| (attempt.state, attempt.decline.clone())) {
            Some((AttemptState::Succeeded, _)) => Ok(payment),
            // No decline: the money may have been taken, and whoever is told "declined" pays twice.
            Some((AttemptState::Refused, _)) if payment.conflict.is_some() => {
                Err(Error::Illegal(payment.standing().never(Operation::Capture)))
            }
            Some((AttemptState::Refused, decline)) => Err(Error::Declined(decline.unwrap_or_default())),
            Some((AttemptState::Sent | AttemptState::Lost | AttemptState::Action, _)) | None => {
                Err(Error::Unknown)
            }
        }
    }
}
