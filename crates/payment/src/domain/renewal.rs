//! A payment that is captured in parts over a longer time than a hold lasts: a whole whose parts are the holds that follow each other, each
//! for what was not taken of the ones before. One of them at a time holds or is asked for.

use stampede_types::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::payment::OURSELVES;
use super::{
    Amounts, CaptureMode, Event, EventKind, IllegalStep, Next, Payment, Refused, State, Tender, VoidPlan,
};

/// Holds that follow the first one. What is not taken by then is not asked for any more.
pub const MAX_REAUTHORIZATIONS: usize = 12;

impl Payment {
    /// Whether a hold of it that lapses is followed by another one; of a part, whether it is such a hold.
    #[must_use]
    pub fn is_renewed(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.capture == CaptureMode::Multiple)
    }

    /// Until when what it holds is held; None when it holds nothing, or its provider does not say.
    #[must_use]
    pub fn hold_expires_at(&self) -> Option<OffsetDateTime> {
        match self.parts.is_empty() {
            true => self.authorization().filter(|hold| self.held_at(&hold.provider) > 0)?.hold_expires_at,
            false => self.parts.iter().filter_map(Self::hold_expires_at).min(),
        }
    }

    /// When somebody has to see to it that the hold is let go, and the authorisation that made it; None when nobody has to.
    #[must_use]
    pub fn lapse_due(&self) -> Option<(Uuid, OffsetDateTime)> {
        let watched = self.is_renewed() && self.part_of.is_some() && self.conflict.is_none();
        let due = self.hold_expires_at().filter(|_| watched && !self.is_let_go())?;
        Some((self.authorization()?.id, due))
    }

    /// How much is let go because its time has passed; None while it has not, or while a capture may still take of it.
    #[must_use]
    pub fn to_lapse(&self, now: OffsetDateTime) -> Option<i64> {
        self.lapse_due().filter(|(_, due)| *due <= now)?;
        match self.standing().void() {
            Ok(VoidPlan::Now { amount_minor }) => Some(amount_minor),
            Ok(VoidPlan::WhenKnown | VoidPlan::Nothing) | Err(_) => None,
        }
    }

    /// What the next hold is for: the rest.
    pub(super) fn next_tender(&self) -> Option<Tender> {
        let terms = self.terms.as_ref()?;
        let (rest, method) = (self.untaken_minor(), terms.method.clone());
        (rest > 0).then(|| Tender { amount: Money::new(rest, terms.amount.currency()), method })
    }

    /// What follows from what has become of the holds.
    pub(super) fn next_hold(&self) -> Next {
        let may_follow = self.decline.is_none() && self.parts.len() <= MAX_REAUTHORIZATIONS;
        match self.parts.last() {
            _ if self.has_conflict() => Next::Nothing,
            _ if self.void_requested => Next::LetGo,
            Some(last) if may_follow && last.has_lapsed() && self.untaken_minor() > 0 => {
                Next::Begin(self.parts.len())
            }
            Some(_) | None => Next::Nothing,
        }
    }

    /// Whether these facts are the end of it: a hold lapsed, nobody holds the rest any more, and that is nobody's wish.
    #[must_use]
    pub fn ended_short_with(&self, facts: &[Event]) -> bool {
        let ended = match self.standing().state {
            State::Captured | State::Failed | State::Expired => true,
            State::RequiresAction
            | State::Processing
            | State::Unknown
            | State::Authorized
            | State::PartiallyCaptured
            | State::Voided
            | State::Conflicted => false,
        };
        let by_provider = |fact: &Event| fact.provider != OURSELVES;
        let end = |fact: &Event| {
            matches!(fact.kind, EventKind::Declined | EventKind::Expired | EventKind::Voided)
                && by_provider(fact)
        };
        let was_held = self.part_amounts().authorized_minor > 0;
        self.is_renewed()
            && ended
            && was_held
            && !self.void_requested
            && self.untaken_minor() > 0
            && facts.iter().any(end)
    }

    /// Nothing can be taken while the rest is being asked for again.
    ///
    /// # Errors
    /// No hold can be captured from: the caller asks again.
    pub(super) fn require_hold(&self) -> Result<(), IllegalStep> {
        let refusal = |part: &Self| match part.standing().capture(None) {
            Err(Refused::Illegal(step)) => Some(step),
            Ok(_) | Err(Refused::Exceeds { .. }) => None,
        };
        match self.parts.last().and_then(refusal) {
            Some(step) if self.parts.iter().all(|part| refusal(part).is_some()) => Err(step),
            Some(_) | None => Ok(()),
        }
    }

    /// The state of the whole, and the sums over its parts. What has ended is closed when not all of it was taken.
    pub(super) fn renewed_state(&self, sums: Amounts) -> (State, Amounts) {
        let closed = self.untaken_minor() > 0;
        (self.state_of_holds(sums.captured_minor > 0), Amounts { closed, ..sums })
    }

    fn state_of_holds(&self, taken: bool) -> State {
        let or_taken = |state| if taken { State::PartiallyCaptured } else { state };
        let held =
            |part: &Self| matches!(part.standing().state, State::Authorized | State::PartiallyCaptured);
        let Some(last) = self.parts.last() else {
            return if self.decline.is_some() { State::Failed } else { State::Processing };
        };
        match last.standing().state {
            _ if self.has_conflict() => State::Conflicted,
            // It is followed in the same commit.
            _ if matches!(self.next_hold(), Next::Begin(_)) => or_taken(State::Processing),
            _ if self.parts.iter().any(held) => or_taken(State::Authorized),
            state @ (State::Processing | State::Unknown | State::RequiresAction) => or_taken(state),
            _ if taken => State::Captured,
            // Let go because its time had passed, and not followed.
            State::Voided if !self.void_requested && last.has_lapsed() => State::Expired,
            state @ (State::Authorized
            | State::PartiallyCaptured
            | State::Captured
            | State::Voided
            | State::Failed
            | State::Expired
            | State::Conflicted) => state,
        }
    }

    /// It was held, what was not taken of it is gone, and no person has ended it.
    fn has_lapsed(&self) -> bool {
        let amounts = self.amounts();
        let by_hand = |event: &Event| event.kind == EventKind::Voided && event.provider == OURSELVES;
        amounts.authorized_minor > 0
            && amounts.captured_minor + amounts.voided_minor >= amounts.authorized_minor
            && !self.events.iter().any(by_hand)
    }

    /// Of what was agreed, what no hold was captured for.
    fn untaken_minor(&self) -> i64 {
        let agreed = self.terms.as_ref().map_or(0, |terms| terms.amount.amount_minor());
        agreed - self.part_amounts().captured_minor
    }

    fn has_conflict(&self) -> bool {
        self.parts.iter().any(|part| part.conflict.is_some())
    }
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
