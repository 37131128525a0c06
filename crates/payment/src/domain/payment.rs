//! A payment: its terms, what was asked of providers, and what came of it. Everything else about it is derived from these.

use stampede_types::{Money, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Amounts, Attempt, CaptureMode, Event, EventKind, Operation, Part, Refused, Standing, Terms, attempt_id,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    /// None when it was voided before anything was asked for.
    pub terms: Option<Terms>,
    /// Decided once, under the row lock: from then on nothing is captured.
    pub void_requested: bool,
    /// Why a person has to decide.
    pub conflict: Option<String>,
    /// Why the authorisation was declined, as a class.
    pub decline: Option<String>,
    /// The providers that are asked in turn when the one before cannot; none of them twice.
    pub fallbacks: Vec<String>,
    pub attempts: Vec<Attempt>,
    pub events: Vec<Event>,
    /// What it is a part of, when it is one of several tenders.
    pub part_of: Option<Part>,
    /// Its tenders, in the order in which they were asked; only a payment of several has any.
    pub parts: Vec<Payment>,
    pub created_at: OffsetDateTime,
}

/// Who says what we decide ourselves.
pub const OURSELVES: &str = "stampede";

/// Every payment has one authorisation and one void; their words in the attempt's id.
const FIRST: &str = "1";
/// The word of the capture that the terms ask for.
const AUTOMATIC: &str = "automatic";

impl Payment {
    /// A payment about to be authorised.
    #[must_use]
    pub fn new(id: PaymentId, terms: Terms, provider: &str, at: OffsetDateTime) -> Self {
        let key = attempt_id(id, Operation::Authorize, FIRST);
        let attempt = Attempt::new(key, Operation::Authorize, provider, terms.amount.amount_minor());
        Self { attempts: vec![attempt], ..Self::bare(id, Some(terms), at) }
    }

    /// A payment that was voided before anybody asked for it: it will never be authorised.
    #[must_use]
    pub fn prevented(id: PaymentId, at: OffsetDateTime) -> Self {
        let kind = EventKind::Voided;
        let event = Event {
            id: Event::id_of(attempt_id(id, Operation::Void, FIRST), kind),
            kind,
            amount_minor: 0,
            provider: OURSELVES.to_owned(),
            reference: None,
            at,
        };
        Self { void_requested: true, events: vec![event], ..Self::bare(id, None, at) }
    }

    pub(super) const fn bare(id: PaymentId, terms: Option<Terms>, at: OffsetDateTime) -> Self {
        Self {
            id,
            terms,
            void_requested: false,
            conflict: None,
            decline: None,
            fallbacks: Vec::new(),
            attempts: Vec::new(),
            events: Vec::new(),
            part_of: None,
            parts: Vec::new(),
            created_at: at,
        }
    }

    /// What came of the authorisation that counts. A hold that was left behind elsewhere is none of the buyer's money for us.
    #[must_use]
    pub fn amounts(&self) -> Amounts {
        if self.is_whole() {
            return self.part_amounts();
        }
        match self.holder() {
            Some(holder) => self.amounts_at(holder),
            None => self.totals(),
        }
    }

    /// What came of this payment at one provider.
    #[must_use]
    pub fn amounts_at(&self, provider: &str) -> Amounts {
        let of_it = |event: &&Event| event.provider == provider || event.provider == OURSELVES;
        Amounts::of(self.events.iter().filter(of_it))
    }

    /// What came of it everywhere: the sums of all its facts, as the books have them.
    #[must_use]
    pub fn totals(&self) -> Amounts {
        Amounts::of(&self.events)
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.is_whole() {
            return self.whole_standing();
        }
        Standing::of(self.amounts(), &self.attempts, self.void_requested, self.conflict.is_some())
    }

    #[must_use]
    pub fn attempt(&self, id: Uuid) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }

    #[must_use]
    pub fn open_attempt(&self, operation: Operation) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.operation == operation && attempt.is_open())
    }

    /// An amount of this payment's currency; None when it never had one.
    #[must_use]
    pub fn money(&self, amount_minor: i64) -> Option<Money> {
        self.terms.as_ref().map(|terms| Money::new(amount_minor, terms.amount.currency()))
    }

    /// Reserves what a capture or a refund may move and gives the attempt that will move it.
    ///
    /// # Errors
    /// The standing does not allow it, or it is more than is left.
    pub fn begin(&mut self, operation: Operation, id: Uuid, asked: Option<i64>) -> Result<Attempt, Refused> {
        let standing = self.standing();
        let amount = match operation {
            Operation::Capture => standing.capture(asked)?,
            Operation::Refund => standing.refund(asked)?,
            Operation::Authorize | Operation::Void => return Err(standing.never(operation).into()),
        };
        let holder = self.holder().ok_or_else(|| standing.never(operation))?;
        let attempt = Attempt::new(id, operation, holder, amount);
        self.attempts.push(attempt.clone());
        Ok(attempt)
    }

    /// The capture of all that is held, when the terms say that nobody else will begin it.
    pub(super) fn begin_automatic(&mut self) -> Option<Attempt> {
        match self.terms.as_ref()?.capture {
            CaptureMode::Manual | CaptureMode::Multiple => None,
            // In conflict nothing moves: a person decides.
            CaptureMode::Automatic => {
                let id = attempt_id(self.id, Operation::Capture, AUTOMATIC);
                self.begin(Operation::Capture, id, None).ok()
            }
        }
    }

    /// Whether its void was begun, whatever became of it.
    pub(super) fn is_let_go(&self) -> bool {
        self.attempt(attempt_id(self.id, Operation::Void, FIRST)).is_some()
    }

    /// The void of what is authorised and not captured; 0 when it is not known whether anything is.
    pub fn begin_void(&mut self, amount_minor: i64) -> Attempt {
        let id = attempt_id(self.id, Operation::Void, FIRST);
        if let Some(begun) = self.attempt(id) {
            return begun.clone();
        }
        // Who was asked for nothing has nothing to let go.
        let holder = self.holder().unwrap_or(OURSELVES);
        let attempt = Attempt::new(id, Operation::Void, holder, amount_minor);
        self.void_requested = true;
        self.attempts.push(attempt.clone());
        attempt
    }
}
