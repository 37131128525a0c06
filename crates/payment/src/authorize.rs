//! Authorising: the intent is committed before the provider is called, so that whatever happens there is known here.

use stampede_types::PaymentId;
use time::OffsetDateTime;

use crate::crash::Stage;
use crate::domain::{MethodKind, Operation, Payment, Terms};
use crate::error::Error;
use crate::payments::{Begun, Errand, Payments};
use crate::store::{attempts, intents, payments};
use crate::tenders::resume;

/// The same id with the same terms is the same payment.
#[derive(Debug, Clone)]
pub struct Authorize {
    pub payment: PaymentId,
    pub terms: Terms,
}

impl Payments {
    /// The payment as it stands afterwards: AUTHORIZED, FAILED with its class, UNKNOWN, or whatever it already was.
    ///
    /// # Errors
    /// The id was used with other terms, no provider takes the method in this currency, or the database does not answer.
    pub async fn authorize(&self, command: Authorize) -> Result<Payment, Error> {
        let begun = match command.terms.are_in_parts() {
            true => self.begin_tenders(command.payment, command.terms).await?,
            false => self.begin_authorize(command).await?,
        };
        let payment = self.carry_out(begun).await?;
        self.whole_of(payment).await
    }

    async fn begin_authorize(&self, command: Authorize) -> Result<Begun, Error> {
        let at = self.now();
        let (method, currency) = (command.terms.method.kind, command.terms.amount.currency());
        let Some((first, fallbacks)) = self.providers.route(method, currency).split_first() else {
            return self.unroutable(command.payment, &command.terms, method).await;
        };
        let payment = Payment::new(command.payment, command.terms, first, at).falling_back_to(fallbacks);
        // The id is claimed first: two equal requests must meet here, not at the bank.
        if !self.steps.open(&payment, at).await?
            && let Some(known) = self.open_alone(&payment, at).await?
        {
            return resume(payment.id, payment.terms.as_ref(), known);
        }
        self.crash.at(Stage::Intent, Operation::Authorize);
        let errand = payment.attempts.first().and_then(|attempt| Errand::of(&payment, attempt));
        Ok(errand.map_or_else(|| Begun::Settled(Box::new(payment)), Begun::Fresh))
    }

    /// What is there, when its id is taken.
    async fn open_alone(&self, payment: &Payment, at: OffsetDateTime) -> Result<Option<Payment>, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        if !intents::insert(&mut tx, payment).await? {
            let known = payments::lock(&mut tx, payment.id).await?.ok_or(Error::NotFound(payment.id))?;
            tx.rollback().await?;
            return Ok(Some(known));
        }
        for attempt in &payment.attempts {
            attempts::insert(&mut tx, payment.id, attempt, self.lease, at).await?;
        }
        tx.commit().await?;
        Ok(None)
    }
}

impl Payments {
    /// Nobody takes it now; one that was begun while somebody did goes on.
    pub(crate) async fn unroutable(
        &self,
        id: PaymentId,
        terms: &Terms,
        method: MethodKind,
    ) -> Result<Begun, Error> {
        let mut conn = self.db.acquire().await?;
        match payments::read(&mut conn, id).await? {
            Some(known) => resume(id, Some(terms), known),
            None => Err(Error::Unroutable { method, currency: terms.amount.currency() }),
        }
    }
}
