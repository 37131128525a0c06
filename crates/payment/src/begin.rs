//! Beginning a capture or a refund: reserved under the row lock and committed, before any provider hears of it.

use stampede_types::{Money, PaymentId};
use uuid::Uuid;

use crate::crash::Stage;
use crate::domain::{Attempt, Operation, Payment, attempt_id};
use crate::error::Error;
use crate::event;
use crate::payments::{Begun, Errand, Payments};
use crate::store::{attempts, events, intents, payments};

impl Payments {
    pub(crate) async fn begin(
        &self,
        id: PaymentId,
        operation: Operation,
        word: Uuid,
        asked: Option<Money>,
    ) -> Result<Begun, Error> {
        let key = attempt_id(id, operation, &word.to_string());
        let at = self.now();
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let mut payment = payments::lock(&mut tx, id).await?.ok_or(Error::NotFound(id))?;
        // A part moves with its whole.
        if payment.part_of.is_some() {
            return Err(Error::NotFound(id));
        }
        check_amount(&payment, asked)?;
        let asked = asked.map(Money::amount_minor);
        if payment.is_whole() {
            return self.begin_shares(tx, payment, operation, word, asked).await;
        }
        if let Some(known) = payment.attempt(key).cloned() {
            return again(payment, &known, asked);
        }
        let attempt = payment.begin(operation, key, asked)?;
        attempts::insert(&mut tx, id, &attempt, self.lease, at).await?;
        intents::save(&mut tx, &payment, at).await?;
        if operation == Operation::Refund {
            let pending = payment.note_refund(&attempt, at);
            events::insert(&mut tx, id, &pending).await?;
            event::publish(&mut tx, &payment, &[pending]).await?;
        }
        tx.commit().await?;
        self.wake.wake();
        self.crash.at(Stage::Intent, operation);
        Ok(match Errand::of(&payment, &attempt) {
            Some(errand) => Begun::Fresh(errand),
            None => Begun::Settled(Box::new(payment)),
        })
    }
}

/// The same id: the same amount goes on, another one is refused.
fn again(payment: Payment, known: &Attempt, asked: Option<i64>) -> Result<Begun, Error> {
    if asked.is_some_and(|amount| amount != known.amount_minor) {
        return Err(Error::Conflict(payment.id));
    }
    Ok(Begun::resume(payment, known))
}

fn check_amount(payment: &Payment, asked: Option<Money>) -> Result<(), Error> {
    let Some(asked) = asked else { return Ok(()) };
    if asked.amount_minor() <= 0 {
        return Err(Error::Invalid { field: "amount.amount_minor", rule: "must be above 0" });
    }
    if payment.terms.as_ref().is_some_and(|terms| terms.amount.currency() != asked.currency()) {
        return Err(Error::Invalid { field: "amount.currency", rule: "must be the payment's currency" });
    }
    Ok(())
}
