//! Reading one payment.

use stampede_types::PaymentId;

use crate::domain::Payment;
use crate::error::Error;
use crate::payments::Payments;
use crate::store::payments;

impl Payments {
    /// # Errors
    /// No such payment, or the database does not answer.
    pub async fn get(&self, id: PaymentId) -> Result<Payment, Error> {
        let mut conn = self.db.acquire().await?;
        payments::read(&mut conn, id).await?.ok_or(Error::NotFound(id))
    }
}
