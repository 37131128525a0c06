//! Why a payment waits for a person, and what he may decide about it. What a decision does is `decide`'s.

use time::OffsetDateTime;
use uuid::Uuid;

use super::state::read_by_name;
use super::{Attempt, EventKind, Payment};

/// Why a payment waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Conflict,
    Unknown,
    RefundRefused,
    HoldLapsed,
    WebhookParked,
    WebhookRefused,
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    AskAgain,
    TakeTheirs,
    KeepOurs,
    CloseByHand,
}

/// What to do first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    Compare,
    AskProvider,
    GiveBack,
    LookAtOrder,
    LookAtProvider,
}

/// What a provider claimed and nobody has decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its number in the store: later ones are larger.
    pub id: i64,
    pub attempt: Option<Uuid>,
    /// None when it says that something was not done.
    pub kind: Option<EventKind>,
    pub provider: Option<String>,
    pub reference: Option<String>,
    pub amount_minor: Option<i64>,
    pub reason: String,
    pub at: OffsetDateTime,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} is not possible: {fact}", decision.as_str())]
pub struct Impossible {
    pub decision: Decision,
    pub fact: &'static str,
}

/// What may be decided about a payment that waits for this reason; none when there is no such payment.
#[must_use]
pub fn possible(reason: Reason, payment: Option<&Payment>, claims: &[Claim]) -> Vec<Decision> {
    match reason {
        Reason::Conflict => payment.map_or_else(Vec::new, |payment| in_conflict(payment, claims)),
        Reason::Unknown | Reason::WebhookParked => vec![Decision::AskAgain, Decision::CloseByHand],
        Reason::RefundRefused | Reason::HoldLapsed | Reason::WebhookRefused => vec![Decision::KeepOurs],
    }
}

fn in_conflict(payment: &Payment, claims: &[Claim]) -> Vec<Decision> {
    // Tried on a copy: what the rules refuse is not offered.
    let tried = |decide: &dyn Fn(&mut Payment) -> bool| decide(&mut payment.clone());
    let at = OffsetDateTime::UNIX_EPOCH;
    Decision::ALL
        .into_iter()
        .filter(|decision| match decision {
            Decision::AskAgain => !payment.in_question(claims).is_empty(),
            Decision::TakeTheirs => tried(&|copy| copy.take_theirs(claims, Uuid::nil(), at).is_ok()),
            Decision::KeepOurs => tried(&|copy| copy.keep_ours(at).is_ok()),
            Decision::CloseByHand => true,
        })
        .collect()
}

impl Payment {
    /// The attempts whose outcome the provider has to be asked for: those the claims are about, and those that ended in conflict.
    #[must_use]
    pub fn in_question(&self, claims: &[Claim]) -> Vec<Attempt> {
        let claimed = |attempt: &Attempt| claims.iter().any(|claim| claim.attempt == Some(attempt.id));
        self.attempts.iter().filter(|attempt| claimed(attempt) || attempt.is_shut()).cloned().collect()
    }
}

impl Reason {
    pub const ALL: [Self; 6] = [
        Self::Conflict,
        Self::Unknown,
        Self::RefundRefused,
        Self::HoldLapsed,
        Self::WebhookParked,
        Self::WebhookRefused,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "CONFLICT",
            Self::Unknown => "UNKNOWN",
            Self::RefundRefused => "REFUND_REFUSED",
            Self::HoldLapsed => "HOLD_LAPSED",
            Self::WebhookParked => "WEBHOOK_PARKED",
            Self::WebhookRefused => "WEBHOOK_REFUSED",
        }
    }

    /// What to do first, and the same in a sentence.
    #[must_use]
    pub const fn advice(self) -> (NextStep, &'static str) {
        match self {
            Self::Conflict => (
                NextStep::Compare,
                "Look the payment up at the provider, then ask again, take its fact, or keep ours.",
            ),
            Self::Unknown => (
                NextStep::AskProvider,
                "Ask the provider; if it cannot answer, find out by other means and close the payment by hand.",
            ),
            Self::RefundRefused => (
                NextStep::GiveBack,
                "Give the money back by another refund or outside, and say so in the note.",
            ),
            Self::HoldLapsed => {
                (NextStep::LookAtOrder, "See whether the order was paid in another way or has to be undone.")
            }
            Self::WebhookParked => (
                NextStep::LookAtProvider,
                "Find out what the provider tells of; it is tried again until somebody closes it.",
            ),
            Self::WebhookRefused => {
                (NextStep::LookAtProvider, "Find out whose payment it is: none was ever made under this id.")
            }
        }
    }
}

impl Decision {
    pub const ALL: [Self; 4] = [Self::AskAgain, Self::TakeTheirs, Self::KeepOurs, Self::CloseByHand];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AskAgain => "ASK_AGAIN",
            Self::TakeTheirs => "TAKE_THEIRS",
            Self::KeepOurs => "KEEP_OURS",
            Self::CloseByHand => "CLOSE_BY_HAND",
        }
    }
}

read_by_name!(Reason, Decision);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_wrote_it() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        for decision in Decision::ALL {
            assert_eq!(decision.as_str().parse(), Ok(decision));
        }
    }
}
