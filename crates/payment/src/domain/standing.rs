//! Where a payment stands and what it allows: the state machine as functions of values. A refused step says its facts.

use super::{Amounts, Attempt, AttemptState, Operation, State};

/// What open attempts may still move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    pub capture_minor: i64,
    pub refund_minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    pub amounts: Amounts,
    pub pending: Pending,
    pub void_requested: bool,
}

/// A step its state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {state} cannot do {}", operation.as_str())]
pub struct IllegalStep {
    pub state: State,
    pub operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
    #[error("only {left_minor} is left")]
    Exceeds { left_minor: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidPlan {
    /// Held money is let go now.
    Now { amount_minor: i64 },
    /// Whether anything is held is not known yet: it is let go as soon as it is.
    WhenKnown,
    /// It has been let go, or there never was any.
    Nothing,
}

impl Pending {
    #[must_use]
    pub fn of(attempts: &[Attempt]) -> Self {
        let open = |operation: Operation| {
            attempts
                .iter()
                .filter(|attempt| attempt.operation == operation && attempt.is_open())
                .map(|attempt| attempt.amount_minor)
                .sum()
        };
        Self { capture_minor: open(Operation::Capture), refund_minor: open(Operation::Refund) }
    }
}

impl Standing {
    /// The standing these facts and questions make.
    #[must_use]
    pub fn of(amounts: Amounts, attempts: &[Attempt], void_requested: bool, conflicted: bool) -> Self {
        let state = if conflicted { State::Conflicted } else { state_of(amounts, attempts) };
        Self { state, amounts, pending: Pending::of(attempts), void_requested }
    }

    /// What a capture of `asked` (or of everything) may take.
    ///
    /// # Errors
    /// Nothing is authorised, it is being voided, or it is more than is left.
    pub fn capture(&self, asked: Option<i64>) -> Result<i64, Refused> {
        match self.state {
            State::Authorized | State::PartiallyCaptured if !self.void_requested => {
                within(asked, self.uncaptured_minor())
            }
            State::Authorized
            | State::PartiallyCaptured
            | State::RequiresAction
            | State::Processing
            | State::Unknown
            | State::Captured
            | State::Voided
            | State::Failed
            | State::Expired
            | State::Conflicted => Err(self.illegal(Operation::Capture).into()),
        }
    }

    /// What a refund of `asked` (or of everything) may give back.
    ///
    /// # Errors
    /// Nothing is captured, or it is more than is left.
    pub fn refund(&self, asked: Option<i64>) -> Result<i64, Refused> {
        match self.state {
            State::PartiallyCaptured | State::Captured => within(asked, self.refundable_minor()),
            State::RequiresAction
            | State::Processing
            | State::Unknown
            | State::Authorized
            | State::Voided
            | State::Failed
            | State::Expired
            | State::Conflicted => Err(self.illegal(Operation::Refund).into()),
        }
    }

    /// What a void has to do.
    ///
    /// # Errors
    /// Everything is captured or about to be, or a person has to decide.
    pub fn void(&self) -> Result<VoidPlan, IllegalStep> {
        match self.state {
            State::Processing | State::Unknown => Ok(VoidPlan::WhenKnown),
            // The payer's session is closed; what he has done a moment ago is let go with it.
            State::RequiresAction => Ok(VoidPlan::Now { amount_minor: 0 }),
            State::Voided | State::Failed | State::Expired => Ok(VoidPlan::Nothing),
            State::Captured if self.amounts.closed => Ok(VoidPlan::Nothing),
            State::Authorized | State::PartiallyCaptured if self.pending.capture_minor == 0 => {
                Ok(VoidPlan::Now { amount_minor: self.uncaptured_minor() })
            }
            State::Authorized | State::PartiallyCaptured | State::Captured | State::Conflicted => {
                Err(self.illegal(Operation::Void))
            }
        }
    }

    /// What is captured and neither given back, nor about to be, nor taken back by the buyer's bank: a buyer is not paid twice.
    #[must_use]
    pub fn refundable_minor(&self) -> i64 {
        let amounts = &self.amounts;
        let gone = amounts.refunded_minor + self.pending.refund_minor + amounts.disputed_minor;
        (amounts.captured_minor - gone).max(0)
    }

    const fn uncaptured_minor(&self) -> i64 {
        let amounts = &self.amounts;
        amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor - self.pending.capture_minor
    }

    /// A step that is never taken this way.
    #[must_use]
    pub const fn never(&self, operation: Operation) -> IllegalStep {
        self.illegal(operation)
    }

    const fn illegal(&self, operation: Operation) -> IllegalStep {
        IllegalStep { state: self.state, operation }
    }
}

fn within(asked: Option<i64>, left_minor: i64) -> Result<i64, Refused> {
    match asked.unwrap_or(left_minor) {
        amount if amount > 0 && amount <= left_minor => Ok(amount),
        _ => Err(Refused::Exceeds { left_minor }),
    }
}

fn state_of(amounts: Amounts, attempts: &[Attempt]) -> State {
    let gone = amounts.captured_minor + amounts.voided_minor >= amounts.authorized_minor;
    match (amounts.authorized_minor > 0, amounts.captured_minor > 0) {
        (true, true) if gone => State::Captured,
        (true, true) => State::PartiallyCaptured,
        (true, false) if gone && amounts.expired => State::Expired,
        (true, false) if gone => State::Voided,
        (true, false) => State::Authorized,
        // What was declined stays declined, whatever was to be let go beside it.
        (false, _) if amounts.closed && !amounts.declined && amounts.expired => State::Expired,
        (false, _) if amounts.closed && !amounts.declined => State::Voided,
        (false, _) => asking(amounts, attempts),
    }
}

/// Nothing is authorised: what is known of the asking.
fn asking(amounts: Amounts, attempts: &[Attempt]) -> State {
    let mut authorizations = attempts.iter().filter(|attempt| attempt.operation == Operation::Authorize);
    match authorizations.find(|attempt| attempt.is_open()).map(|attempt| attempt.state) {
        Some(AttemptState::Sent) => State::Processing,
        Some(AttemptState::Lost) => State::Unknown,
        Some(AttemptState::Action) => State::RequiresAction,
        Some(AttemptState::Succeeded | AttemptState::Refused) | None if amounts.declined => State::Failed,
        // Neither fact nor question: never written by this service, and nobody may act on it.
        Some(AttemptState::Succeeded | AttemptState::Refused) | None => State::Conflicted,
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
