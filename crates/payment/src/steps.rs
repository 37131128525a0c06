//! The group commit of payments: what gathers while one transaction commits goes into the next, and each caller waits for the commit its
//! own step is in. Two batches in flight never touch the same payment. It takes the steps of payments of one method that go well; a payment
//! in several parts, a contradiction and whatever a person has to see are written alone, by whoever asked.

mod batch;
mod together;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use stampede_kit::batch::Limits;
use stampede_kit::lanes::Lanes;
use stampede_kit::outbox::Wake;
use stampede_kit::telemetry;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::begin::Begin;
use crate::domain::{Answer, Operation, Payment, Settlement};
use crate::error::Error;
use crate::payments::Begun;
use together::together;

/// Steps of one transaction, transactions at once, and steps that may wait: more than the server has calls in progress.
const LIMITS: Limits = Limits { batch: 128, writers: 2, queue: 8192 };

/// A provider's answer to an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Settle {
    pub payment: PaymentId,
    pub attempt: Uuid,
    /// What whoever asked the provider was about.
    pub operation: Operation,
    pub answer: Answer,
}

#[derive(Debug, Clone)]
enum What {
    /// A new payment, with its first attempt.
    Open(Box<Payment>),
    Begin(Begin),
    Settle(Settle),
}

#[derive(Debug, Clone)]
struct Step {
    what: What,
    at: OffsetDateTime,
    /// The request's own trace, when it is recorded: what is told of the step belongs to it.
    trace: Option<String>,
}

/// What came of a step. It is durable.
#[derive(Debug)]
enum Taken {
    Opened,
    Begun(Begun),
    Settled(Arc<Payment>, Settlement),
    /// Nothing was written: it is not for a group.
    Alone,
}

/// Whom a batch writes for.
#[derive(Debug, Clone)]
struct Writer {
    db: PgPool,
    /// How long an attempt belongs to whoever began it.
    lease: Duration,
    wake: Wake,
}

#[derive(Debug, Clone)]
pub(crate) struct Steps(Lanes<Step, Result<Taken, Error>>);

impl Steps {
    pub fn start(db: PgPool, lease: Duration, wake: Wake) -> Self {
        let writer = Writer { db, lease, wake };
        Self(Lanes::start("payments", LIMITS, Step::lanes, move |steps, manner| {
            let writer = writer.clone();
            async move { together(&writer, steps, manner).await }
        }))
    }

    /// Writes a new payment and its first attempt; false when that is not for a group: its id may be taken.
    pub async fn open(&self, payment: &Payment, at: OffsetDateTime) -> Result<bool, Error> {
        let taken = self.take(What::Open(Box::new(payment.clone())), at).await?;
        Ok(matches!(taken, Taken::Opened))
    }

    /// None when it is not for a group.
    pub async fn begin(&self, begin: Begin, at: OffsetDateTime) -> Result<Option<Begun>, Error> {
        match self.take(What::Begin(begin), at).await? {
            Taken::Begun(begun) => Ok(Some(begun)),
            Taken::Opened | Taken::Settled(..) | Taken::Alone => Ok(None),
        }
    }

    /// None when it is not for a group.
    pub async fn settle(
        &self,
        settle: Settle,
        at: OffsetDateTime,
    ) -> Result<Option<(Payment, Settlement)>, Error> {
        match self.take(What::Settle(settle), at).await? {
            Taken::Settled(payment, settlement) => Ok(Some((Arc::unwrap_or_clone(payment), settlement))),
            Taken::Opened | Taken::Begun(_) | Taken::Alone => Ok(None),
        }
    }

    async fn take(&self, what: What, at: OffsetDateTime) -> Result<Taken, Error> {
        let trace = telemetry::recorded_traceparent();
        match self.0.submit(Step { what, at, trace }).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "a step of a payment was not taken");
                Err(Error::Unavailable)
            }
        }
    }
}

impl Step {
    fn payment(&self) -> PaymentId {
        match &self.what {
            What::Open(payment) => payment.id,
            What::Begin(begin) => begin.payment,
            What::Settle(settle) => settle.payment,
        }
    }

    /// The payment as a number. Two payments of one number are never in flight at once, and nothing else.
    fn lanes(&self) -> Vec<u64> {
        let mut hasher = DefaultHasher::new();
        self.payment().uuid().hash(&mut hasher);
        vec![hasher.finish()]
    }
}
