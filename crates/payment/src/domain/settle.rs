//! What a provider's answer changes. An attempt is settled once; a later answer agrees with it, or is a conflict that a person
//! looks at and that overwrites nothing.

use time::OffsetDateTime;
use uuid::Uuid;

use super::attempt::CONFLICT;
use super::payment::OURSELVES;
use super::{Answer, Attempt, AttemptState, Event, EventKind, Operation, Payment};

/// The class of an authorisation that never reached the provider because it was voided first.
const VOIDED_FIRST: &str = "voided";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The answer said what was known.
    Unchanged,
    /// No answer: the attempt stays open.
    Lost,
    /// The payer has to do something: the attempt stays open.
    Waiting,
    /// The attempt is settled; these facts are new.
    Settled {
        facts: Vec<Event>,
        follow_up: Option<Attempt>,
    },
    /// Let go of before the authorisation's own answer was heard: that one comes first.
    Premature,
    Conflict(Conflict),
}

/// What a provider said that does not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The attempt it is about; none when nobody here asked for it.
    pub attempt: Option<Uuid>,
    /// What it claims to be.
    pub kind: Option<EventKind>,
    pub reference: Option<String>,
    pub amount_minor: Option<i64>,
    pub reason: &'static str,
}

impl Payment {
    /// Applies an answer to one of this payment's attempts.
    pub fn settle(&mut self, id: Uuid, answer: &Answer, at: OffsetDateTime) -> Settlement {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == id) else {
            return Settlement::Unchanged;
        };
        if !self.attempts[index].is_open() {
            return self.compare(index, answer, at);
        }
        if self.is_premature(index, answer) {
            return Settlement::Premature;
        }
        self.apply(index, answer, at)
    }

    /// Applies a void's answer that let go of nothing, once the provider has said since that nothing was ever held: the payment is closed,
    /// and what was asked for before can no longer happen.
    pub fn settle_never_held(&mut self, id: Uuid, answer: &Answer, at: OffsetDateTime) -> Settlement {
        let closed = |attempt: &Attempt| attempt.id == id && attempt.is_open();
        match self.attempts.iter().position(closed) {
            Some(index) => self.apply(index, answer, at),
            None => self.settle(id, answer, at),
        }
    }

    /// What was let go may have been held, or may have lapsed, without our having heard of it.
    fn is_premature(&self, index: usize, answer: &Answer) -> bool {
        let attempt = &self.attempts[index];
        let let_go = matches!(answer, Answer::Done { .. }) && attempt.operation == Operation::Void;
        let_go && self.is_asking(&attempt.provider)
    }

    fn apply(&mut self, index: usize, answer: &Answer, at: OffsetDateTime) -> Settlement {
        match answer {
            Answer::Lost => {
                let attempt = &mut self.attempts[index];
                // What the payer has to do is still so.
                if attempt.action.is_none() {
                    attempt.state = AttemptState::Lost;
                }
                attempt.lost_answers = attempt.lost_answers.saturating_add(1);
                Settlement::Lost
            }
            Answer::Action { reference, action } => self.wait_for_payer(index, reference.as_deref(), action),
            Answer::Refused { reference, decline } => self.refused(index, reference.clone(), decline, at),
            Answer::Done { reference, amount_minor, currency, hold_expires_at } => {
                self.attempts[index].hold_expires_at = *hold_expires_at;
                self.done(index, reference, *amount_minor, currency, at)
            }
        }
    }

    /// Applies an answer whose provider reference belongs to another fact already: that one stays, this one is for a person.
    pub fn contradict(&mut self, id: Uuid, answer: &Answer, _: OffsetDateTime) -> Settlement {
        match self.attempts.iter().position(|attempt| attempt.id == id) {
            Some(index) => self.shut(index, answer, "a reference that belongs to another fact"),
            None => Settlement::Unchanged,
        }
    }

    /// A conflict that also ends the attempt: nothing of it is counted.
    fn shut(&mut self, index: usize, answer: &Answer, reason: &'static str) -> Settlement {
        let attempt = &mut self.attempts[index];
        attempt.state = AttemptState::Refused;
        attempt.decline = Some(CONFLICT.to_owned());
        attempt.action = None;
        self.conflict(index, answer, reason)
    }

    fn compare(&mut self, index: usize, answer: &Answer, at: OffsetDateTime) -> Settlement {
        let attempt = &self.attempts[index];
        let reason = match (attempt.state, answer) {
            (_, Answer::Lost | Answer::Action { .. })
            | (AttemptState::Refused, Answer::Refused { .. })
            | (AttemptState::Sent | AttemptState::Lost | AttemptState::Action, _) => {
                return Settlement::Unchanged;
            }
            (AttemptState::Succeeded, Answer::Done { reference, amount_minor, .. }) => {
                let told = (Some(reference.as_str()), *amount_minor);
                let kind = attempt.operation.done();
                let known = self.events.iter().find(|event| event.id == Event::id_of(attempt.id, kind));
                if known.is_none_or(|known| (known.reference.as_deref(), known.amount_minor) == told) {
                    return Settlement::Unchanged;
                }
                "another amount or reference than before"
            }
            // It said so before it turned out to hold after all.
            (AttemptState::Succeeded, Answer::Refused { .. }) if self.was_declined(attempt) => {
                return Settlement::Unchanged;
            }
            (AttemptState::Succeeded, Answer::Refused { .. }) => "refused after it was done",
            (AttemptState::Refused, Answer::Done { reference, amount_minor, currency, .. })
                if self.is_left_behind(attempt) && self.is_as_asked(attempt, *amount_minor, currency) =>
            {
                return self.hold_left_behind(index, reference, at);
            }
            (AttemptState::Refused, Answer::Done { .. }) => "done after it was refused",
        };
        self.conflict(index, answer, reason)
    }

    fn refused(
        &mut self,
        index: usize,
        reference: Option<String>,
        decline: &str,
        at: OffsetDateTime,
    ) -> Settlement {
        let attempt = &mut self.attempts[index];
        attempt.state = AttemptState::Refused;
        attempt.action = None;
        attempt.reference.clone_from(&reference);
        attempt.decline = Some(decline.to_owned());
        let attempt = attempt.clone();
        let follow_up = self.begin_fallback(&attempt, decline);
        let kind = match attempt.operation {
            Operation::Authorize => {
                // While another provider is asked nothing is declined yet.
                self.decline = follow_up.is_none().then(|| decline.to_owned());
                EventKind::Declined
            }
            Operation::Refund => EventKind::RefundFailed,
            // The hold stays as it was; the caller is told the class.
            Operation::Capture => return Settlement::Settled { facts: Vec::new(), follow_up: None },
            Operation::Void => {
                let answer = Answer::Refused { reference, decline: decline.to_owned() };
                return self.shut(index, &answer, "a hold that cannot be let go");
            }
        };
        Settlement::Settled { facts: vec![self.add(&attempt, kind, attempt.amount_minor, at)], follow_up }
    }

    fn done(
        &mut self,
        index: usize,
        reference: &str,
        amount: i64,
        currency: &str,
        at: OffsetDateTime,
    ) -> Settlement {
        let attempt = &self.attempts[index];
        let asked = if attempt.operation == Operation::Void {
            self.held_at(&attempt.provider)
        } else {
            attempt.amount_minor
        };
        let foreign = amount > 0 && self.is_foreign(currency);
        // Nothing was left to let go: the hold has lapsed and nobody has told us yet.
        let lapsed = attempt.operation == Operation::Void && amount == 0 && asked > 0;
        if (amount != asked && !lapsed) || foreign {
            let answer = Answer::Done {
                reference: reference.to_owned(),
                amount_minor: amount,
                currency: currency.to_owned(),
                hold_expires_at: None,
            };
            return self.shut(index, &answer, "another amount than asked for");
        }
        let attempt = &mut self.attempts[index];
        attempt.state = AttemptState::Succeeded;
        attempt.action = None;
        attempt.reference = Some(reference.to_owned());
        let attempt = attempt.clone();
        if attempt.operation == Operation::Authorize {
            self.decline = None;
        }
        let mut facts = vec![self.add(&attempt, attempt.operation.done(), amount, at)];
        if lapsed {
            facts.push(self.add(&attempt, EventKind::Expired, asked, at));
        }
        let follow_up = match attempt.operation {
            Operation::Authorize if self.void_requested => Some(self.begin_void(amount)),
            Operation::Authorize => self.begin_automatic(),
            Operation::Void => {
                facts.extend(self.close_session(&attempt, at));
                None
            }
            Operation::Capture | Operation::Refund => None,
        };
        Settlement::Settled { facts, follow_up }
    }

    /// The void found nothing held. A payer who did not do in time what he was asked for has let it lapse.
    fn close_session(&mut self, void: &Attempt, at: OffsetDateTime) -> Option<Event> {
        let lapsed = |attempt: &Attempt| attempt.is_asking(&void.provider) && attempt.has_run_out(at);
        let lapsed = self.attempts.iter().any(lapsed);
        self.close_authorization(&void.provider);
        lapsed.then(|| self.add(void, EventKind::Expired, 0, at))
    }

    /// The provider has closed the payment with nothing held: what was asked for before can no longer happen.
    fn close_authorization(&mut self, provider: &str) {
        let open = |attempt: &&mut Attempt| attempt.is_asking(provider);
        if let Some(attempt) = self.attempts.iter_mut().find(open) {
            attempt.state = AttemptState::Refused;
            attempt.action = None;
            attempt.decline = Some(VOIDED_FIRST.to_owned());
        }
    }

    /// Records the fact that a refund was accepted and is on its way.
    pub fn note_refund(&mut self, attempt: &Attempt, at: OffsetDateTime) -> Event {
        let ours = Attempt { provider: OURSELVES.to_owned(), reference: None, ..attempt.clone() };
        self.add(&ours, EventKind::RefundPending, attempt.amount_minor, at)
    }

    pub(super) fn add(
        &mut self,
        attempt: &Attempt,
        kind: EventKind,
        amount_minor: i64,
        at: OffsetDateTime,
    ) -> Event {
        let id = Event::id_of(attempt.id, kind);
        let (provider, reference) = (attempt.provider.clone(), attempt.reference.clone());
        let event = Event { id, kind, amount_minor, provider, reference, at };
        self.events.push(event.clone());
        event
    }

    pub(super) fn conflict(&mut self, index: usize, answer: &Answer, reason: &'static str) -> Settlement {
        let attempt = &self.attempts[index];
        let (kind, reference, amount_minor) = match answer {
            Answer::Done { reference, amount_minor, .. } => {
                (Some(attempt.operation.done()), Some(reference.clone()), Some(*amount_minor))
            }
            Answer::Refused { reference, .. } => (None, reference.clone(), None),
            Answer::Action { .. } | Answer::Lost => (None, None, None),
        };
        let attempt = Some(attempt.id);
        self.conflict.get_or_insert_with(|| reason.to_owned());
        Settlement::Conflict(Conflict { attempt, kind, reference, amount_minor, reason })
    }

    /// Authorised at a provider and neither captured nor let go.
    pub(super) fn held_at(&self, provider: &str) -> i64 {
        let amounts = self.amounts_at(provider);
        amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor
    }

    pub(super) fn is_foreign(&self, currency: &str) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.amount.currency().as_str() != currency)
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
