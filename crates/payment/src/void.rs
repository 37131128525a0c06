//! Voiding: lets held money go, prevents what was never asked for, and waits for what is not known. Decided once, under the row lock:
//! from then on nothing is captured.

use stampede_types::PaymentId;

use crate::crash::Stage;
use crate::domain::{Operation, Payment, VoidPlan};
use crate::error::Error;
use crate::event;
use crate::payments::{Begun, Payments};
use crate::store::{attempts, events, intents, payments};
use crate::tenders::Cause;

impl Payments {
    /// The payment as it stands afterwards: VOIDED, or still what it was with the void to come as soon as it can.
    ///
    /// # Errors
    /// Everything is captured, a capture is under way, or the database does not answer.
    pub async fn void(&self, id: PaymentId) -> Result<Payment, Error> {
        let begun = self.begin_void(id).await?;
        let payment = self.carry_out(begun).await?;
        self.whole_of(payment).await
    }

    async fn begin_void(&self, id: PaymentId) -> Result<Begun, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let Some(mut payment) = payments::lock(&mut tx, id).await? else {
            return match self.prevent(tx, id).await? {
                Some(prevented) => Ok(Begun::Settled(Box::new(prevented))),
                // Its authorisation was written meanwhile: now there is a row to lock.
                None => Box::pin(self.begin_void(id)).await,
            };
        };
        // A part is let go with its whole.
        if payment.part_of.is_some() {
            return Err(Error::NotFound(id));
        }
        if payment.is_whole() {
            return self.begin_letting_go(tx, payment).await;
        }
        if let Some(attempt) = payment.open_void().cloned() {
            return Ok(Begun::resume(payment, &attempt));
        }
        match payment.standing().void().map_err(Error::Illegal)? {
            VoidPlan::Nothing => Ok(Begun::Settled(Box::new(payment))),
            VoidPlan::Now { amount_minor } => self.write_void(tx, payment, amount_minor).await,
            VoidPlan::WhenKnown => {
                payment.void_requested = true;
                intents::save(&mut tx, &payment, self.now()).await?;
                attempts::hurry(&mut tx, id).await?;
                tx.commit().await?;
                Ok(Begun::Settled(Box::new(payment)))
            }
        }
    }

    /// A void of a payment whose authorisation the provider has not heard of: it closes the payment there.
    pub(crate) async fn begin_closing(&self, id: PaymentId) -> Result<Begun, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let payment = payments::lock(&mut tx, id).await?.ok_or(Error::NotFound(id))?;
        if payment.open_attempt(Operation::Authorize).is_none() {
            return Ok(Begun::Settled(Box::new(payment)));
        }
        if let Some(attempt) = payment.open_void().cloned() {
            return Ok(Begun::resume(payment, &attempt));
        }
        self.write_void(tx, payment, 0).await
    }

    pub(crate) async fn write_void(
        &self,
        mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
        mut payment: Payment,
        amount_minor: i64,
    ) -> Result<Begun, Error> {
        let at = self.now();
        let attempt = payment.begin_void(amount_minor);
        attempts::insert(&mut tx, payment.id, &attempt, self.lease, at).await?;
        self.keep(&mut tx, &payment, &[], Cause { resolution: None, lease: self.lease, at }).await?;
        tx.commit().await?;
        self.crash.at(Stage::Intent, Operation::Void);
        Ok(Begun::fresh(&payment, &attempt))
    }

    /// Nothing is known of the id: the void takes it, and its authorisation will find it taken.
    async fn prevent(
        &self,
        mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
        id: PaymentId,
    ) -> Result<Option<Payment>, Error> {
        let payment = Payment::prevented(id, self.now());
        if !intents::insert(&mut tx, &payment).await? {
            return Ok(None);
        }
        for fact in &payment.events {
            events::insert(&mut tx, id, fact).await?;
        }
        event::publish(&mut tx, &payment, &payment.events).await?;
        tx.commit().await?;
        self.wake.wake();
        Ok(Some(payment))
    }
}
