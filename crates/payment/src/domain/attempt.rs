//! What is asked of a provider: one attempt, one key, for ever. An open attempt is asked about until it is known.

use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::state::read_by_name;
use super::{EventKind, PayerAction};

/// The class of an attempt that ended in a conflict, and of one about which a person has decided since that it was not done.
pub(super) const CONFLICT: &str = "conflict";
const DECIDED: &str = "conflict_decided";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Authorize,
    Capture,
    Void,
    Refund,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// Written down before the provider is called: it may or may not have heard of it.
    Sent,
    /// The answer was lost at least once; it is being asked for.
    Lost,
    /// The payer has to do something first; it is being asked about.
    Action,
    Succeeded,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Also the idempotency key the provider sees.
    pub id: Uuid,
    pub operation: Operation,
    pub provider: String,
    /// What is asked for; 0 for a void of what may never have been authorised.
    pub amount_minor: i64,
    pub state: AttemptState,
    pub reference: Option<String>,
    pub decline: Option<String>,
    pub lost_answers: i32,
    /// What the payer has to do, while the state says so.
    pub action: Option<PayerAction>,
    /// Until when the provider holds what was asked for, when it says so.
    pub hold_expires_at: Option<OffsetDateTime>,
}

/// What a provider says became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done {
        reference: String,
        amount_minor: i64,
        currency: String,
        /// Of an authorisation: until when it is held, when the provider says so.
        hold_expires_at: Option<OffsetDateTime>,
    },
    /// Nothing moved, and nothing will under this key.
    Refused { reference: Option<String>, decline: String },
    /// Nothing has moved yet: the payer has to do something.
    Action { reference: Option<String>, action: PayerAction },
    /// It may have happened or not: a timeout, a broken connection, an answer without meaning.
    Lost,
}

/// The one attempt that belongs to this payment and the caller's own word for it ("1", a capture id, a refund id).
#[must_use]
pub fn attempt_id(payment: PaymentId, operation: Operation, word: &str) -> Uuid {
    payment.derive(&format!("{}/{word}", operation.as_str()))
}

/// Those that are not as they were. Attempts are added behind those that are there, and none is ever taken away.
pub fn changed<'a>(before: &[Attempt], now: &'a [Attempt]) -> impl Iterator<Item = &'a Attempt> {
    now.iter().zip(before).filter(|(now, old)| now != old).map(|(now, _)| now)
}

impl Attempt {
    #[must_use]
    pub fn new(id: Uuid, operation: Operation, provider: &str, amount_minor: i64) -> Self {
        Self {
            id,
            operation,
            provider: provider.to_owned(),
            amount_minor,
            state: AttemptState::Sent,
            reference: None,
            decline: None,
            lost_answers: 0,
            action: None,
            hold_expires_at: None,
        }
    }

    /// Whether it asks this provider for a hold, and the outcome is not known.
    #[must_use]
    pub fn is_asking(&self, provider: &str) -> bool {
        self.operation == Operation::Authorize && self.is_open() && self.provider == provider
    }

    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self.state {
            AttemptState::Sent | AttemptState::Lost | AttemptState::Action => true,
            AttemptState::Succeeded | AttemptState::Refused => false,
        }
    }

    /// Whether it ended in a conflict: nothing of it is counted until somebody decides.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.state == AttemptState::Refused && self.decline.as_deref() == Some(CONFLICT)
    }

    /// Somebody has decided: it was not done.
    pub(super) fn reconciled(&mut self) {
        if self.is_shut() {
            self.decline = Some(DECIDED.to_owned());
        }
    }
}

impl Operation {
    const ALL: [Self; 4] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund];

    /// The fact that it was done.
    #[must_use]
    pub const fn done(self) -> EventKind {
        match self {
            Self::Authorize => EventKind::Authorized,
            Self::Capture => EventKind::Captured,
            Self::Void => EventKind::Voided,
            Self::Refund => EventKind::Refunded,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "AUTHORIZE",
            Self::Capture => "CAPTURE",
            Self::Void => "VOID",
            Self::Refund => "REFUND",
        }
    }
}

read_by_name!(Operation, AttemptState);

impl AttemptState {
    const ALL: [Self; 5] = [Self::Sent, Self::Lost, Self::Action, Self::Succeeded, Self::Refused];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Lost => "LOST",
            Self::Action => "ACTION",
            Self::Succeeded => "SUCCEEDED",
            Self::Refused => "REFUSED",
        }
    }
}
