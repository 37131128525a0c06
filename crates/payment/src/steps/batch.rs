//! What the steps of one batch change, decided one after the other on payments that are locked. It never writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stampede_kit::outbox::Traced;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Settle, Step, Taken, What};
use crate::begin::{Begin, Plan};
use crate::domain::{Attempt, Entry, Event, Payment, Settlement, changed, entries};
use crate::error::Error;
use crate::finish::{leave_alone, needs_a_person, note_fallback};
use crate::payments::Begun;
use crate::{event, metrics};

/// A payment of the batch.
struct Held {
    /// Shared with the answers of the steps that left it so.
    payment: Arc<Payment>,
    /// Its attempts as they are in the store.
    before: Vec<Attempt>,
    /// When it was changed, if it was.
    changed: Option<OffsetDateTime>,
}

/// An attempt that is to be written.
pub struct NewAttempt {
    pub payment: PaymentId,
    pub attempt: Uuid,
    pub ask_again_in: Duration,
    pub at: OffsetDateTime,
}

pub struct Batch {
    lease: Duration,
    held: HashMap<PaymentId, Held>,
    new: Vec<NewAttempt>,
    pub facts: Vec<(PaymentId, Event)>,
    pub entries: Vec<Entry>,
    pub news: Vec<Traced>,
}

impl Held {
    fn change(&mut self, payment: &Arc<Payment>, at: OffsetDateTime) {
        self.payment = Arc::clone(payment);
        self.changed = Some(at);
    }
}

impl Batch {
    pub fn new(lease: Duration, payments: Vec<Payment>) -> Self {
        let held = |payment: Payment| {
            let before = payment.attempts.clone();
            (payment.id, Held { payment: Arc::new(payment), before, changed: None })
        };
        let held = payments.into_iter().map(held).collect();
        Self { lease, held, new: Vec::new(), facts: Vec::new(), entries: Vec::new(), news: Vec::new() }
    }

    /// A payment that was written just now, without its attempts.
    pub fn open(&mut self, payment: &Payment, at: OffsetDateTime) {
        for attempt in &payment.attempts {
            self.new.push(NewAttempt {
                payment: payment.id,
                attempt: attempt.id,
                ask_again_in: self.lease,
                at,
            });
        }
        let opened = Held { payment: Arc::new(payment.clone()), before: Vec::new(), changed: None };
        self.held.insert(payment.id, opened);
    }

    /// Takes a step of a payment that is there.
    ///
    /// # Errors
    /// The rules'.
    pub fn take(&mut self, step: &Step) -> Result<Taken, Error> {
        match &step.what {
            What::Begin(begin) => self.begin(begin, step),
            What::Settle(settle) => Ok(self.settle(settle, step)),
            // Its id is taken.
            What::Open(_) => Ok(Taken::Alone),
        }
    }

    pub fn holds(&self, step: &Step) -> bool {
        self.held.contains_key(&step.payment())
    }

    /// Of one method, and no part of another.
    fn plain(&mut self, id: PaymentId) -> Option<&mut Held> {
        let is_plain = |held: &&mut Held| held.payment.part_of.is_none() && !held.payment.is_whole();
        self.held.get_mut(&id).filter(is_plain)
    }

    fn begin(&mut self, begin: &Begin, step: &Step) -> Result<Taken, Error> {
        let Some(held) = self.plain(begin.payment) else { return Ok(Taken::Alone) };
        let (attempt, facts) = match begin.plan(Arc::make_mut(&mut held.payment), step.at)? {
            Plan::Known(begun) => return Ok(Taken::Begun(begun)),
            Plan::New { attempt, facts } => (attempt, facts),
        };
        held.changed = Some(step.at);
        let begun = Begun::fresh(&held.payment, &attempt);
        let (payment, ask_again_in) = (begin.payment, self.lease);
        self.new.push(NewAttempt { payment, attempt: attempt.id, ask_again_in, at: step.at });
        self.learn(payment, &facts, step);
        Ok(Taken::Begun(begun))
    }

    fn settle(&mut self, settle: &Settle, step: &Step) -> Taken {
        // Written with this batch: what became of it is the next one's.
        let is_new = self.new.iter().any(|new| new.attempt == settle.attempt);
        let Some(held) = self.plain(settle.payment).filter(|_| !is_new) else { return Taken::Alone };
        let mut payment = Payment::clone(&held.payment);
        let settlement = payment.settle(settle.attempt, &settle.answer, step.at);
        let payment = Arc::new(payment);
        match &settlement {
            Settlement::Unchanged => {}
            Settlement::Premature | Settlement::Conflict(_) => return Taken::Alone,
            Settlement::Lost | Settlement::Waiting => held.change(&payment, step.at),
            Settlement::Settled { facts, follow_up } => {
                if facts.iter().any(|fact| needs_a_person(&payment, fact).is_some()) {
                    return Taken::Alone;
                }
                held.change(&payment, step.at);
                if let Some(follow_up) = follow_up {
                    note_fallback(&payment, follow_up);
                    self.new.push(NewAttempt {
                        payment: payment.id,
                        attempt: follow_up.id,
                        ask_again_in: leave_alone(follow_up, self.lease),
                        at: step.at,
                    });
                }
                self.learn(payment.id, facts, step);
            }
        }
        metrics::settlement(settle.operation, &settlement);
        Taken::Settled(payment, settlement)
    }

    /// Facts, books and news belong to one commit.
    fn learn(&mut self, id: PaymentId, facts: &[Event], step: &Step) {
        let Some(Held { payment, .. }) = self.held.get(&id) else { return };
        for fact in facts {
            if let Some(terms) = &payment.terms {
                self.entries.extend(entries(fact, terms.amount.currency()));
            }
            self.facts.push((id, fact.clone()));
        }
        let news = event::news(payment, facts).into_iter();
        self.news.extend(news.map(|event| Traced { event, traceparent: step.trace.clone() }));
    }

    /// The attempts to be written, as the batch leaves them.
    pub fn new_attempts(&self) -> impl Iterator<Item = (&NewAttempt, &Attempt)> {
        self.new
            .iter()
            .filter_map(|new| Some((new, self.held.get(&new.payment)?.payment.attempt(new.attempt)?)))
    }

    /// The attempts that are not as the store has them, and when that happened.
    pub fn changed_attempts(&self) -> impl Iterator<Item = (&Attempt, OffsetDateTime)> {
        self.changed().flat_map(|(held, at)| {
            changed(&held.before, &held.payment.attempts).map(move |attempt| (attempt, at))
        })
    }

    /// The payments that are not as the store has them.
    pub fn changed_payments(&self) -> impl Iterator<Item = (&Payment, OffsetDateTime)> {
        self.changed().map(|(held, at)| (held.payment.as_ref(), at))
    }

    fn changed(&self) -> impl Iterator<Item = (&Held, OffsetDateTime)> {
        self.held.values().filter_map(|held| Some((held, held.changed?)))
    }

    /// Whether there is anything to be written beside new payments.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed().next().is_none()
    }
}
