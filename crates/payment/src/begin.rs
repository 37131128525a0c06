//! Beginning a capture or a refund: reserved under the row lock and committed, before any provider hears of it.

use stampede_types::{Money, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::crash::Stage;
use crate::domain::{Attempt, Event, Operation, Payment, attempt_id};
use crate::error::Error;
use crate::event;
use crate::payments::{Begun, Errand, Payments};
use crate::store::{attempts, events, intents, payments};

/// A capture or a refund that somebody wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    pub payment: PaymentId,
    pub operation: Operation,
    /// The caller's own word for it: the same word is the same capture, or the same refund.
    pub word: Uuid,
    pub asked: Option<Money>,
}

/// What beginning it means for a payment of one method.
#[derive(Debug)]
pub(crate) enum Plan {
    /// It was begun before.
    Known(Begun),
    /// To be written down, before anybody hears of it.
    New { attempt: Attempt, facts: Vec<Event> },
}

impl Payments {
    pub(crate) async fn begin(&self, begin: Begin) -> Result<Begun, Error> {
        let begun = match self.steps.begin(begin, self.now()).await? {
            Some(begun) => begun,
            None => self.begin_alone(begin).await?,
        };
        if matches!(begun, Begun::Fresh(_)) {
            self.crash.at(Stage::Intent, begin.operation);
        }
        Ok(begun)
    }

    async fn begin_alone(&self, begin: Begin) -> Result<Begun, Error> {
        let (id, at) = (begin.payment, self.now());
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let mut payment = payments::lock(&mut tx, id).await?.ok_or(Error::NotFound(id))?;
        // A part moves with its whole.
        if payment.part_of.is_some() {
            return Err(Error::NotFound(id));
        }
        if payment.is_whole() {
            return self.begin_shares(tx, payment, begin).await;
        }
        let (attempt, facts) = match begin.plan(&mut payment, at)? {
            Plan::Known(begun) => return Ok(begun),
            Plan::New { attempt, facts } => (attempt, facts),
        };
        attempts::insert(&mut tx, id, &attempt, self.lease, at).await?;
        intents::save(&mut tx, &payment, at).await?;
        for fact in &facts {
            events::insert(&mut tx, id, fact).await?;
        }
        event::publish(&mut tx, &payment, &facts).await?;
        tx.commit().await?;
        self.wake.wake();
        Ok(Begun::fresh(&payment, &attempt))
    }
}

impl Begin {
    /// Reserves it, in a payment of one method.
    ///
    /// # Errors
    /// Another amount under the same word, an amount that is none of the payment's, an illegal step, or more than is left.
    pub fn plan(&self, payment: &mut Payment, at: OffsetDateTime) -> Result<Plan, Error> {
        let asked = self.amount_of(payment)?;
        let key = attempt_id(payment.id, self.operation, &self.word.to_string());
        if let Some(known) = payment.attempt(key).cloned() {
            return again(payment.clone(), &known, asked).map(Plan::Known);
        }
        let attempt = payment.begin(self.operation, key, asked)?;
        let pending = (self.operation == Operation::Refund).then(|| payment.note_refund(&attempt, at));
        Ok(Plan::New { attempt, facts: pending.into_iter().collect() })
    }

    /// None means all that is left.
    ///
    /// # Errors
    /// It is nothing, or of another currency than the payment's.
    pub fn amount_of(&self, payment: &Payment) -> Result<Option<i64>, Error> {
        let Some(asked) = self.asked else { return Ok(None) };
        if asked.amount_minor() <= 0 {
            return Err(Error::Invalid { field: "amount.amount_minor", rule: "must be above 0" });
        }
        if payment.terms.as_ref().is_some_and(|terms| terms.amount.currency() != asked.currency()) {
            return Err(Error::Invalid { field: "amount.currency", rule: "must be the payment's currency" });
        }
        Ok(Some(asked.amount_minor()))
    }
}

/// The same id: the same amount goes on, another one is refused.
fn again(payment: Payment, known: &Attempt, asked: Option<i64>) -> Result<Begun, Error> {
    if asked.is_some_and(|amount| amount != known.amount_minor) {
        return Err(Error::Conflict(payment.id));
    }
    Ok(Begun::resume(payment, known))
}

impl Begun {
    /// Written down just now.
    pub fn fresh(payment: &Payment, attempt: &Attempt) -> Self {
        match Errand::of(payment, attempt) {
            Some(errand) => Self::Fresh(errand),
            None => Self::Settled(Box::new(payment.clone())),
        }
    }
}
