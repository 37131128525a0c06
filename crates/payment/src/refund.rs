//! Refunding: gives captured money back. The amount is reserved as pending under the row lock before the provider is called; a
//! refund that was accepted is carried to its end.

use stampede_types::{Money, PaymentId};
use uuid::Uuid;

use crate::begin::Begin;
use crate::domain::{Operation, Payment};
use crate::error::Error;
use crate::payments::Payments;

impl Payments {
    /// `amount` None means all that is left. The same `refund` is the same refund. While its outcome is unknown the payment shows
    /// it as pending.
    ///
    /// # Errors
    /// No such payment, an illegal step (of a payment in conflict, too), more than is left, or a decline.
    pub async fn refund(&self, id: PaymentId, refund: Uuid, amount: Option<Money>) -> Result<Payment, Error> {
        let begun = self
            .begin(Begin { payment: id, operation: Operation::Refund, word: refund, asked: amount })
            .await?;
        let payment = self.carry_out(begun).await?;
        match payment.not_done(&payment.asked_as(Operation::Refund, refund)) {
            Some(refused) => Err(refused.into()),
            None => Ok(payment),
        }
    }
}
