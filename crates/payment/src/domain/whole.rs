//! Several tenders on one payment: the whole holds nothing itself, each tender is a payment of its own, its part. The parts are asked
//! in turn; when one of them will not be, the others are let go. Amounts of the whole are the sums of its parts.

use stampede_types::{Money, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Amounts, Attempt, AttemptState, Event, IllegalStep, Method, Operation, Payment, Refused, Standing, State,
    Terms, VoidPlan, attempt_id,
};

/// One way to pay for a part of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tender {
    pub amount: Money,
    pub method: Method,
}

/// What a payment is a part of, and which of its tenders it is, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub whole: PaymentId,
    pub place: usize,
}

/// Why a capture or a refund was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDone {
    Illegal(IllegalStep),
    /// With its class.
    Declined(String),
}

/// What follows from what has become of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// All before it are held: this tender is asked for.
    Begin(usize),
    /// It will not be: what is held is let go, what is asked for is let go once it is known.
    LetGo,
}

impl Payment {
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.part_of.is_none() && self.terms.as_ref().is_some_and(Terms::are_in_parts)
    }

    fn tenders(&self) -> &[Tender] {
        self.terms.as_ref().map_or(&[], |terms| &terms.tenders)
    }

    /// What the part of this place is paid with; None when there is no such part, or it is too early to say.
    #[must_use]
    pub fn tender(&self, place: usize) -> Option<Tender> {
        if self.is_renewed() {
            return self.next_tender().filter(|_| place == self.parts.len());
        }
        self.tenders().get(place).cloned()
    }

    /// A payment of several parts about to be authorised; nothing of it is asked for yet.
    #[must_use]
    pub const fn whole(id: PaymentId, terms: Terms, at: OffsetDateTime) -> Self {
        Self::bare(id, Some(terms), at)
    }

    /// The part that is this tender, about to be authorised by the first of these providers. None when there is no such tender or
    /// nobody takes it.
    #[must_use]
    pub fn part(&self, place: usize, providers: &[String], at: OffsetDateTime) -> Option<Self> {
        let (terms, Tender { amount, method }) = (self.terms.as_ref()?, self.tender(place)?);
        let (first, fallbacks) = providers.split_first()?;
        let terms = Terms { amount, method, tenders: Vec::new(), ..terms.clone() };
        let id = PaymentId::new(self.id.derive(&format!("tender/{place}")));
        let part = Self::new(id, terms, first, at).falling_back_to(fallbacks);
        Some(Self { part_of: Some(Part { whole: self.id, place }), ..part })
    }

    /// What follows now. Once money is taken only the caller decides: he gives it back, or takes the rest.
    #[must_use]
    pub fn next(&self) -> Next {
        if self.is_renewed() {
            return self.next_hold();
        }
        let is = |state: State| self.parts.iter().any(|part| part.standing().state == state);
        let ended = self.decline.is_some() || is(State::Failed) || is(State::Expired) || is(State::Voided);
        let all_held = self.parts.iter().all(|part| part.standing().state == State::Authorized);
        if is(State::Conflicted) {
            Next::Nothing
        } else if self.void_requested || (ended && self.part_amounts().captured_minor == 0) {
            Next::LetGo
        } else if all_held && self.parts.len() < self.tenders().len() {
            Next::Begin(self.parts.len())
        } else {
            Next::Nothing
        }
    }

    /// Who is to be let go, and how; those about whom it is decided already are left out.
    #[must_use]
    pub fn to_let_go(&self) -> Vec<(usize, VoidPlan)> {
        let plan = |(place, part): (usize, &Self)| match part.standing().void() {
            Ok(VoidPlan::WhenKnown) if part.void_requested => None,
            Ok(plan @ (VoidPlan::Now { .. } | VoidPlan::WhenKnown)) if part.open_void().is_none() => {
                Some((place, plan))
            }
            Ok(VoidPlan::Now { .. } | VoidPlan::WhenKnown | VoidPlan::Nothing) | Err(_) => None,
        };
        self.parts.iter().enumerate().filter_map(plan).collect()
    }

    /// How much each part captures or gives back of `asked`, or of all there is: captured in the order of the tenders, given back in
    /// the opposite one.
    ///
    /// # Errors
    /// The state of the whole does not allow it, or it is more than is left.
    pub fn spread(&self, operation: Operation, asked: Option<i64>) -> Result<Vec<(usize, i64)>, Refused> {
        let standing = self.standing();
        let amount = match operation {
            Operation::Capture => {
                let taken = standing.capture(asked);
                // While the rest is asked for again it is no matter of amounts.
                if self.is_renewed() && !matches!(taken, Err(Refused::Illegal(_))) {
                    self.require_hold()?;
                }
                taken?
            }
            Operation::Refund => standing.refund(asked)?,
            Operation::Authorize | Operation::Void => return Err(standing.never(operation).into()),
        };
        let left = |part: &Self| match operation {
            Operation::Capture => part.standing().capture(None).unwrap_or(0),
            Operation::Authorize | Operation::Void | Operation::Refund => {
                part.standing().refund(None).unwrap_or(0)
            }
        };
        let mut places: Vec<usize> = (0..self.parts.len()).collect();
        if operation == Operation::Refund {
            places.reverse();
        }
        let (mut open, mut shares) = (amount, Vec::new());
        for place in places {
            let share = left(&self.parts[place]).min(open);
            open -= share;
            shares.extend((share > 0).then_some((place, share)));
        }
        // What one part has too much of another cannot give.
        if open > 0 { Err(Refused::Exceeds { left_minor: amount - open }) } else { Ok(shares) }
    }

    /// What was asked of providers under the caller's word: one attempt, or one for each part it touched.
    #[must_use]
    pub fn asked_as(&self, operation: Operation, word: Uuid) -> Vec<(&Self, &Attempt)> {
        let of = |payment: &Self| attempt_id(payment.id, operation, &word.to_string());
        let payments = if self.is_whole() { self.parts.as_slice() } else { std::slice::from_ref(self) };
        payments.iter().filter_map(|payment| Some((payment, payment.attempt(of(payment))?))).collect()
    }

    /// Why what was asked came to nothing, when a part of it did. In conflict that is no decline: the money may have moved.
    #[must_use]
    pub fn not_done(&self, asked: &[(&Self, &Attempt)]) -> Option<NotDone> {
        let (of, refused) = asked.iter().find(|(_, attempt)| attempt.state == AttemptState::Refused)?;
        Some(match &of.conflict {
            Some(_) => NotDone::Illegal(self.standing().never(refused.operation)),
            None => NotDone::Declined(refused.decline.clone().unwrap_or_default()),
        })
    }

    /// Every fact, the parts' in the order they became known.
    #[must_use]
    pub fn all_events(&self) -> Vec<&Event> {
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.extend(self.parts.iter().flat_map(|part| &part.events));
        if self.is_whole() {
            events.sort_by_key(|event| event.at);
        }
        events
    }

    /// The sums over its parts.
    pub(super) fn part_amounts(&self) -> Amounts {
        self.parts.iter().map(Self::amounts).fold(Amounts::default(), Amounts::plus)
    }

    /// The standing of the whole.
    pub(super) fn whole_standing(&self) -> Standing {
        let mut pending = super::standing::Pending::default();
        for part in &self.parts {
            let of_part = part.standing().pending;
            pending.capture_minor += of_part.capture_minor;
            pending.refund_minor += of_part.refund_minor;
        }
        let amounts = self.part_amounts();
        let (state, amounts) = match self.is_renewed() {
            true => self.renewed_state(amounts),
            false => (self.whole_state(amounts), amounts),
        };
        Standing { state, amounts, pending, void_requested: self.void_requested }
    }

    fn whole_state(&self, amounts: Amounts) -> State {
        let states: Vec<State> = self.parts.iter().map(|part| part.standing().state).collect();
        let is = |state: State| states.contains(&state);
        let asking = states
            .iter()
            .copied()
            .find(|state| matches!(state, State::Processing | State::Unknown | State::RequiresAction));
        let held = is(State::Authorized) || is(State::PartiallyCaptured);
        match asking {
            _ if is(State::Conflicted) => State::Conflicted,
            _ if amounts.captured_minor > 0 && held => State::PartiallyCaptured,
            _ if amounts.captured_minor > 0 || is(State::Captured) => State::Captured,
            _ if is(State::Failed) || self.decline.is_some() => State::Failed,
            _ if is(State::Expired) => State::Expired,
            Some(state) => state,
            None if self.void_requested || is(State::Voided) => {
                if held {
                    State::Authorized
                } else {
                    State::Voided
                }
            }
            None if self.parts.len() < self.tenders().len() => State::Processing,
            None => State::Authorized,
        }
    }
}

#[cfg(test)]
#[path = "whole_tests.rs"]
pub mod tests;
