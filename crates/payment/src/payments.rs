//! The service behind the RPCs: what every verb needs. Each verb is a file of its own.

use std::time::Duration;

use sqlx::PgPool;
use stampede_kit::clock::Clock;
use stampede_kit::outbox::Wake;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::crash::Crash;
use crate::domain::{Attempt, Payment, Terms};
use crate::provider::Call;
use crate::providers::Providers;
use crate::steps::Steps;

/// Beyond the provider's own deadline: our commits before and after the call.
const MARGIN: Duration = Duration::from_millis(500);

/// Payments over one database and the providers there are. Cheap to clone.
#[derive(Clone)]
pub struct Payments {
    pub(crate) db: PgPool,
    pub(crate) providers: Providers,
    pub(crate) clock: Clock,
    /// How long an attempt belongs to whoever began it: the longest call, twice (ask, then send), and a margin.
    pub(crate) lease: Duration,
    pub(crate) wake: Wake,
    pub(crate) crash: Crash,
    pub(crate) steps: Steps,
}

/// An attempt to carry out, with what its call needs.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    pub payment: stampede_types::PaymentId,
    pub terms: Terms,
    pub attempt: Attempt,
    /// The provider's own name for the hold that a capture, a void or a refund is about, when it is known.
    pub hold: Option<String>,
    /// The key under which that hold was asked for.
    pub authorization: Option<Uuid>,
    /// Whether the payment is a part of another.
    pub is_part: bool,
}

/// How a command begins.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Written down just now: the provider has never heard of it.
    Fresh(Errand),
    /// Begun before and not known: the provider is asked first.
    Resume(Errand),
    /// Nothing to do any more.
    Settled(Box<Payment>),
    /// Of several parts of one payment, one after the other.
    Several { whole: stampede_types::PaymentId, begun: Vec<Begun> },
}

impl Payments {
    /// `timeout` is the providers': after it an answer counts as lost. Starts the group commit: it needs a runtime.
    #[must_use]
    pub fn new(db: PgPool, providers: Providers, clock: Clock, timeout: Duration, crash: Crash) -> Self {
        let (lease, wake) = (timeout * 2 + MARGIN, Wake::default());
        let steps = Steps::start(db.clone(), lease, wake.clone());
        Self { db, providers, clock, lease, wake, crash, steps }
    }

    /// In whole microseconds, as the store keeps it: what is answered now is what is read later.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let now = self.clock.now();
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }

    /// Poked after every commit that others must hear of.
    #[must_use]
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }
}

impl Errand {
    /// None when the payment has no terms: then nothing was ever asked of a provider.
    pub fn of(payment: &Payment, attempt: &Attempt) -> Option<Self> {
        Some(Self {
            payment: payment.id,
            terms: payment.terms.clone()?,
            attempt: attempt.clone(),
            hold: payment.hold_at(&attempt.provider).map(str::to_owned),
            authorization: payment.asked_at(&attempt.provider).map(|asked| asked.id),
            is_part: payment.part_of.is_some(),
        })
    }

    /// What the provider is sent, or asked about.
    pub fn call(&self) -> Call {
        Call {
            key: self.attempt.id,
            operation: self.attempt.operation,
            payment: self.payment,
            amount_minor: self.attempt.amount_minor,
            currency: self.terms.amount.currency(),
            hold: self.hold.clone(),
            authorization: self.authorization,
        }
    }
}

impl Begun {
    /// Asks on when the attempt is open; otherwise there is nothing to do.
    pub fn resume(payment: Payment, attempt: &Attempt) -> Self {
        match Errand::of(&payment, attempt) {
            Some(errand) if attempt.is_open() => Self::Resume(errand),
            Some(_) | None => Self::Settled(Box::new(payment)),
        }
    }
}
