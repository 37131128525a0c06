//! Reading one payment.

use stampede_types::PaymentId;

use crate::domain::Payment;
use crate::error::Error;
use crate::payments::Payments;
use crate::store::payments;

/// A payment is several rows: they are of one moment, or a refund that is settled meanwhile would be seen twice.
pub(crate) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Payments {
    /// # Errors
    /// No such payment, or the database does not answer.
    pub async fn get(&self, id: PaymentId) -> Result<Payment, Error> {
        self.find(id).await?.ok_or(Error::NotFound(id))
    }

    /// None when there never was one under this id.
    pub(crate) async fn find(&self, id: PaymentId) -> Result<Option<Payment>, Error> {
        let mut snapshot = stampede_kit::postgres::begin_with(&self.db, SNAPSHOT).await?;
        let payment = payments::read(&mut snapshot, id).await?;
        snapshot.commit().await?;
        Ok(payment)
    }
}
