//! What a provider tells by itself, without having been asked just now. It is a fact once by the provider's name for it; whatever
//! order notices come in, the amounts end alike: what needs another one first is early and comes again. What contradicts a fact
//! is a conflict beside it, never over it.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Answer, Attempt, AttemptState, Conflict, Event, EventKind, Operation, Payment, Settlement};

/// One thing told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// What became of an attempt of ours.
    Answer { key: Uuid, answer: Answer },
    /// Something nobody here asked for. A reversal carries its refund's reference, the end of a dispute the dispute's.
    Fact { kind: Spontaneous, reference: String, amount_minor: i64, currency: String },
}

/// What happens without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spontaneous {
    /// Somebody gave money back at the provider's own desk.
    RefundedByHand,
    RefundReversed,
    DisputeOpened,
    DisputeWon,
    DisputeLost,
    Expired,
}

/// What a notice changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It said what was known.
    Known,
    /// What it is about is not known yet: it has to be heard again later.
    Early(&'static str),
    Recorded {
        facts: Vec<Event>,
        follow_up: Option<Attempt>,
    },
    Conflict(Conflict),
}

impl Spontaneous {
    #[must_use]
    pub const fn kind(self) -> EventKind {
        match self {
            Self::RefundedByHand => EventKind::Refunded,
            Self::RefundReversed => EventKind::RefundReversed,
            Self::DisputeOpened => EventKind::DisputeOpened,
            Self::DisputeWon => EventKind::DisputeClosed,
            Self::DisputeLost => EventKind::DisputeLost,
            Self::Expired => EventKind::Expired,
        }
    }
}

/// Whether a fact may be added now.
enum Fits {
    Yes,
    NotYet(&'static str),
    Never(&'static str),
}

impl Payment {
    /// Applies what `provider` told of this payment.
    pub fn hear(&mut self, provider: &str, notice: &Notice, at: OffsetDateTime) -> Heard {
        match notice {
            Notice::Answer { key, answer } => self.hear_answer(provider, *key, answer, at),
            Notice::Fact { kind, reference, amount_minor, currency } => {
                self.hear_fact(provider, *kind, (reference, *amount_minor, currency), at)
            }
        }
    }

    /// Believes nothing of a notice: a person has to look.
    pub fn refuse(&mut self, notice: &Notice, reason: &'static str) -> Conflict {
        self.conflict.get_or_insert_with(|| reason.to_owned());
        match notice {
            Notice::Answer { answer, .. } => {
                let (reference, amount_minor) = match answer {
                    Answer::Done { reference, amount_minor, .. } => {
                        (Some(reference.clone()), Some(*amount_minor))
                    }
                    Answer::Refused { reference, .. } => (reference.clone(), None),
                    Answer::Action { reference, .. } => (reference.clone(), None),
                    Answer::Lost => (None, None),
                };
                // Without an attempt there is nothing it could be the kind of.
                Conflict { attempt: None, kind: None, reference, amount_minor, reason }
            }
            Notice::Fact { kind, reference, amount_minor, .. } => Conflict {
                attempt: None,
                kind: Some(kind.kind()),
                reference: Some(reference.clone()),
                amount_minor: Some(*amount_minor),
                reason,
            },
        }
    }

    /// Like an answer to a call, but for another amount than asked for: that ends no attempt. The resolver asks for the truth.
    fn hear_answer(&mut self, provider: &str, key: Uuid, answer: &Answer, at: OffsetDateTime) -> Heard {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.id == key) else {
            return Heard::Early("no such attempt");
        };
        let settlement = if self.attempts[index].provider != provider {
            self.conflict(index, answer, "told by another provider than was asked")
        } else if self.is_another_amount(index, answer) {
            self.conflict(index, answer, "another amount than asked for")
        } else {
            match answer {
                Answer::Lost => Settlement::Unchanged,
                Answer::Done { .. } | Answer::Refused { .. } | Answer::Action { .. } => {
                    self.settle(key, answer, at)
                }
            }
        };
        match settlement {
            Settlement::Unchanged | Settlement::Lost => Heard::Known,
            Settlement::Premature => Heard::Early("the authorisation's outcome is not known"),
            Settlement::Waiting => Heard::Recorded { facts: Vec::new(), follow_up: None },
            Settlement::Settled { facts, follow_up } => Heard::Recorded { facts, follow_up },
            Settlement::Conflict(conflict) => Heard::Conflict(conflict),
        }
    }

    /// Of a void only what is held is known, and only once the authorisation is; that nothing was left to let go is no amount.
    fn is_another_amount(&self, index: usize, answer: &Answer) -> bool {
        let attempt = &self.attempts[index];
        let Answer::Done { amount_minor, currency, .. } = answer else { return false };
        let foreign = *amount_minor > 0 && self.is_foreign(currency);
        let other = match (attempt.operation, attempt.state) {
            (Operation::Void, AttemptState::Sent | AttemptState::Lost | AttemptState::Action) => {
                let known = !self.is_asking(&attempt.provider);
                known && *amount_minor > 0 && *amount_minor != self.held_at(&attempt.provider)
            }
            // What was let go is compared with the fact.
            (Operation::Void, AttemptState::Succeeded | AttemptState::Refused) => false,
            (Operation::Authorize | Operation::Capture | Operation::Refund, _) => {
                *amount_minor != attempt.amount_minor
            }
        };
        foreign || other
    }

    fn hear_fact(
        &mut self,
        provider: &str,
        what: Spontaneous,
        (reference, amount_minor, currency): (&str, i64, &str),
        at: OffsetDateTime,
    ) -> Heard {
        let kind = what.kind();
        let known = self.told(provider, kind, reference).map(|event| event.amount_minor);
        let fits = match (known, &self.terms) {
            (Some(known), _) if known == amount_minor => return Heard::Known,
            (Some(_), _) => Fits::Never("another amount than before"),
            (None, None) => Fits::Never("told of a payment that nobody asked for"),
            (None, Some(terms)) if terms.amount.currency().as_str() != currency => {
                Fits::Never("another currency")
            }
            (None, Some(_)) => self.fits(provider, what, reference, amount_minor),
        };
        match fits {
            Fits::Yes => {
                let event = Event {
                    id: Event::id_of_fact(self.id, provider, kind, reference),
                    kind,
                    amount_minor,
                    provider: provider.to_owned(),
                    reference: Some(reference.to_owned()),
                    at,
                };
                self.events.push(event.clone());
                Heard::Recorded { facts: vec![event], follow_up: None }
            }
            Fits::NotYet(why) => Heard::Early(why),
            Fits::Never(reason) => {
                self.conflict.get_or_insert_with(|| reason.to_owned());
                Heard::Conflict(Conflict {
                    attempt: None,
                    kind: Some(kind),
                    reference: Some(reference.to_owned()),
                    amount_minor: Some(amount_minor),
                    reason,
                })
            }
        }
    }

    fn fits(&self, provider: &str, what: Spontaneous, reference: &str, amount_minor: i64) -> Fits {
        let (amounts, pending) = (self.amounts_at(provider), self.standing().pending);
        let once = |holds: bool, why| if holds { Fits::Yes } else { Fits::NotYet(why) };
        let amount_of = |kind| self.told(provider, kind, reference).map(|event| event.amount_minor);
        match what {
            Spontaneous::RefundedByHand => once(
                amounts.refunded_minor + pending.refund_minor + amount_minor <= amounts.captured_minor,
                "more than is known to be captured",
            ),
            Spontaneous::RefundReversed => match amount_of(EventKind::Refunded) {
                None => Fits::NotYet("its refund is not known"),
                Some(refunded) if refunded == amount_minor => Fits::Yes,
                Some(_) => Fits::Never("another amount than was refunded"),
            },
            Spontaneous::DisputeOpened => once(
                amounts.disputed_minor + amount_minor <= amounts.captured_minor,
                "more than is known to be captured",
            ),
            Spontaneous::DisputeWon | Spontaneous::DisputeLost => {
                let ended = [EventKind::DisputeClosed, EventKind::DisputeLost]
                    .map(|kind| amount_of(kind).unwrap_or(0));
                match amount_of(EventKind::DisputeOpened) {
                    None => Fits::NotYet("its dispute is not known"),
                    Some(opened) if ended.iter().sum::<i64>() + amount_minor <= opened => Fits::Yes,
                    Some(_) => Fits::Never("more than was disputed"),
                }
            }
            Spontaneous::Expired => once(
                amounts.authorized_minor > 0
                    && pending.capture_minor == 0
                    && amount_minor == self.held_at(provider),
                "not what is known to be held",
            ),
        }
    }

    /// A hold lapses once, whatever that is called: a void that found it gone has said so under a name of its own.
    fn told(&self, provider: &str, kind: EventKind, reference: &str) -> Option<&Event> {
        let any_name = kind == EventKind::Expired;
        self.events.iter().find(|event| {
            let named = any_name || event.reference.as_deref() == Some(reference);
            event.kind == kind && event.provider == provider && named
        })
    }
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;
