//! What a person's decision does to a payment: the only way out of a conflict. Facts that are there stay; what was wrong is
//! corrected by further ones. It decides from values alone.

use time::OffsetDateTime;
use uuid::Uuid;

use super::payment::OURSELVES;
use super::stuck::{Claim, Decision, Impossible};
use super::{
    Answer, Attempt, AttemptState, Event, EventKind, Operation, Payment, Settlement, Standing, State,
};

/// The class of what a person has closed.
const CLOSED_BY_HAND: &str = "closed_by_hand";

impl Payment {
    /// What the provider says now is heard as if it had never said anything else; whatever still does not agree is a conflict again.
    pub fn ask_again(&mut self, answers: &[(Uuid, Answer)], at: OffsetDateTime) -> Vec<Settlement> {
        self.conflict = None;
        let shut = self.attempts.iter_mut().filter(|attempt| attempt.is_shut());
        for attempt in shut {
            attempt.state = AttemptState::Lost;
            attempt.decline = None;
        }
        answers.iter().map(|(id, answer)| self.settle(*id, answer, at)).collect()
    }

    /// The facts stay as they are. What ended in conflict was not done.
    ///
    /// # Errors
    /// A hold could not be let go: it is still there.
    pub fn keep_ours(&mut self, at: OffsetDateTime) -> Result<Vec<Event>, Impossible> {
        let shut = |attempt: &&Attempt| attempt.is_shut();
        if self.attempts.iter().filter(shut).any(|attempt| attempt.operation == Operation::Void) {
            return Err(refuse(Decision::KeepOurs, "what was to be let go may still be held"));
        }
        self.conflict = None;
        let shut: Vec<_> = self.attempts.iter().filter(shut).cloned().collect();
        let facts = shut.iter().filter_map(|attempt| self.was_not_done(attempt, at)).collect();
        for attempt in &mut self.attempts {
            attempt.reconciled();
        }
        Ok(facts)
    }

    /// What the provider claims becomes the fact: a new one, or the difference to the one there is.
    ///
    /// # Errors
    /// It claims several things, or what the books cannot hold.
    pub fn take_theirs(
        &mut self,
        claims: &[Claim],
        decision: Uuid,
        at: OffsetDateTime,
    ) -> Result<Vec<Event>, Impossible> {
        let claim = the_one(claims)?;
        let mut taken = self.clone();
        let facts = taken.take(claim, decision, at)?;
        if !taken.is_within_ceilings() {
            return Err(refuse(Decision::TakeTheirs, "the amounts would no longer fit each other"));
        }
        taken.conflict = None;
        *self = taken;
        Ok(facts)
    }

    /// It was settled outside: what is open was not done, what is held was let go.
    pub fn close_by_hand(&mut self, decision: Uuid, at: OffsetDateTime) -> Vec<Event> {
        self.conflict = None;
        let ending: Vec<_> =
            self.attempts.iter().filter(|attempt| attempt.is_open() || attempt.is_shut()).cloned().collect();
        let mut facts = Vec::new();
        for attempt in ending {
            facts.extend(self.was_not_done(&attempt, at));
            if let Some(ended) = self.attempts.iter_mut().find(|ended| ended.id == attempt.id) {
                ended.state = AttemptState::Refused;
                ended.decline = Some(CLOSED_BY_HAND.to_owned());
                ended.action = None;
            }
        }
        let amounts = self.amounts();
        let held = amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor;
        if held > 0 {
            self.void_requested = true;
            facts.push(self.decided(EventKind::Voided, held, decision, at));
        }
        facts
    }

    /// The capture that nobody else will begin, once nothing is in the way of it any more.
    pub fn go_on(&mut self) -> Option<Attempt> {
        let begun = self.attempts.iter().any(|attempt| attempt.operation == Operation::Capture);
        let held = self.standing().state == State::Authorized && !self.void_requested && !begun;
        if held { self.begin_automatic() } else { None }
    }

    fn take(&mut self, claim: &Claim, decision: Uuid, at: OffsetDateTime) -> Result<Vec<Event>, Impossible> {
        let impossible = |fact| refuse(Decision::TakeTheirs, fact);
        if self.terms.is_none() {
            return Err(impossible("nobody asked for this payment"));
        }
        let attempt = claim.attempt.and_then(|id| self.attempt(id)).cloned();
        let kind = match (claim.kind, &attempt) {
            (Some(kind), _) => kind,
            (None, Some(attempt)) if attempt.state == AttemptState::Succeeded => attempt.operation.done(),
            (None, _) => return Err(impossible("it claims nothing that could be a fact")),
        };
        // Without an amount it says that nothing was done.
        let theirs = claim.amount_minor.unwrap_or(0);
        match self.ours(claim, kind, attempt.as_ref()) {
            None => self.add_theirs(claim, kind, attempt, theirs, at).map(|fact| vec![fact]),
            Some(ours) if ours == theirs => Ok(Vec::new()),
            Some(ours) if ours < theirs => Ok(vec![self.decided(kind, theirs - ours, decision, at)]),
            Some(ours) => {
                let undo = kind.undone_by().ok_or(impossible("what it is about cannot be undone"))?;
                Ok(vec![self.decided(undo, ours - theirs, decision, at)])
            }
        }
    }

    /// The amount of our fact of the same name.
    fn ours(&self, claim: &Claim, kind: EventKind, attempt: Option<&Attempt>) -> Option<i64> {
        let known = |event: &&Event| match attempt {
            Some(attempt) => event.id == Event::id_of(attempt.id, kind),
            None => {
                event.kind == kind && event.provider == claim.teller() && event.reference == claim.reference
            }
        };
        self.events.iter().find(known).map(|event| event.amount_minor)
    }

    fn add_theirs(
        &mut self,
        claim: &Claim,
        kind: EventKind,
        attempt: Option<Attempt>,
        amount_minor: i64,
        at: OffsetDateTime,
    ) -> Result<Event, Impossible> {
        let Some(reference) = claim.reference.clone() else {
            return Err(refuse(Decision::TakeTheirs, "it has no name"));
        };
        let (id, provider) = match attempt {
            Some(attempt) => {
                if let Some(done) = self.attempts.iter_mut().find(|done| done.id == attempt.id) {
                    done.state = AttemptState::Succeeded;
                    done.reference = Some(reference.clone());
                    done.decline = None;
                    done.action = None;
                }
                (Event::id_of(attempt.id, kind), attempt.provider)
            }
            None => (Event::id_of_fact(self.id, claim.teller(), kind, &reference), claim.teller().to_owned()),
        };
        let event = Event { id, kind, amount_minor, provider, reference: Some(reference), at };
        self.events.push(event.clone());
        Ok(event)
    }

    /// A fact that a person has found; the decision is its name.
    fn decided(&mut self, kind: EventKind, amount_minor: i64, decision: Uuid, at: OffsetDateTime) -> Event {
        let id = Event::id_of_fact(self.id, OURSELVES, kind, &decision.to_string());
        let event = Event { id, kind, amount_minor, provider: OURSELVES.to_owned(), reference: None, at };
        self.events.push(event.clone());
        event
    }

    /// The fact that an attempt came to nothing, where others wait for one.
    fn was_not_done(&mut self, attempt: &Attempt, at: OffsetDateTime) -> Option<Event> {
        let kind = match attempt.operation {
            Operation::Authorize => {
                self.decline.get_or_insert_with(|| CLOSED_BY_HAND.to_owned());
                EventKind::Declined
            }
            Operation::Refund => EventKind::RefundFailed,
            Operation::Capture | Operation::Void => return None,
        };
        let id = Event::id_of(attempt.id, kind);
        let amount_minor = attempt.amount_minor;
        let event = Event { id, kind, amount_minor, provider: OURSELVES.to_owned(), reference: None, at };
        self.events.push(event.clone());
        Some(event)
    }

    /// The ceilings of the store, asked before it is: a person is told which decision does not fit.
    fn is_within_ceilings(&self) -> bool {
        let Standing { amounts, pending, .. } = self.standing();
        let captured = amounts.captured_minor + pending.capture_minor + amounts.voided_minor;
        let given = amounts.refunded_minor + pending.refund_minor;
        let least =
            [amounts.captured_minor, amounts.voided_minor, amounts.refunded_minor, amounts.lost_minor];
        least.iter().all(|amount| *amount >= 0)
            && captured <= amounts.authorized_minor
            && given <= amounts.captured_minor
            && amounts.lost_minor <= amounts.disputed_minor
            && amounts.disputed_minor <= amounts.captured_minor
    }
}

impl Claim {
    fn teller(&self) -> &str {
        self.provider.as_deref().unwrap_or_default()
    }

    /// Whether both claim the same thing.
    fn is_as(&self, other: &Self) -> bool {
        (self.attempt, self.kind, &self.reference, self.amount_minor)
            == (other.attempt, other.kind, &other.reference, other.amount_minor)
    }
}

impl EventKind {
    /// The fact that takes back a part of this one.
    const fn undone_by(self) -> Option<Self> {
        match self {
            Self::Authorized => Some(Self::Voided),
            Self::Captured => Some(Self::CaptureCorrected),
            Self::Refunded => Some(Self::RefundReversed),
            Self::RefundReversed => Some(Self::Refunded),
            Self::DisputeOpened => Some(Self::DisputeClosed),
            Self::DisputeClosed => Some(Self::DisputeOpened),
            Self::Declined
            | Self::CaptureCorrected
            | Self::Voided
            | Self::RefundPending
            | Self::RefundFailed
            | Self::DisputeLost
            | Self::Expired => None,
        }
    }
}

/// The one thing that is claimed, however often.
fn the_one(claims: &[Claim]) -> Result<&Claim, Impossible> {
    match claims {
        [first, rest @ ..] if rest.iter().all(|claim| claim.is_as(first)) => Ok(first),
        [] => Err(refuse(Decision::TakeTheirs, "nothing is claimed")),
        [..] => Err(refuse(Decision::TakeTheirs, "it claims several things")),
    }
}

const fn refuse(decision: Decision, fact: &'static str) -> Impossible {
    Impossible { decision, fact }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
