//! Carrying an attempt to its end: the provider is called outside any transaction, and its answer is applied under the row lock
//! with its facts, its entries in the books and its events in one commit.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::crash::Stage;
use crate::domain::stuck::Reason;
use crate::domain::{
    Answer, Attempt, AttemptState, CaptureMode, Event, EventKind, Operation, Payment, Settlement, changed,
    entries,
};
use crate::error::Error;
use crate::payments::{Begun, Errand, Payments};
use crate::provider::Found;
use crate::steps::Settle;
use crate::store::attempts::{self, Saved, Wait};
use crate::store::{events, ledger, payments, stuck};
use crate::stuck::UNKNOWN_AFTER;
use crate::tenders::Cause;
use crate::{contradiction, event, metrics};

/// Between questions after lost answers: growing with the attempt's age.
pub(crate) const WAIT: Wait = Wait {
    shortest: Duration::from_millis(200),
    longest: Duration::from_secs(60),
    stuck_after: UNKNOWN_AFTER,
    stuck: Duration::from_secs(5 * 60),
};
/// The void's own answer, after the authorisation's was heard.
const APPLY_AT_MOST: usize = 2;

/// What an answer means: [`Payment::settle`], [`Payment::settle_never_held`] or [`Payment::contradict`].
type Rule = fn(&mut Payment, Uuid, &Answer, OffsetDateTime) -> Settlement;

impl Payments {
    /// Sends or resumes, and gives the payment as it stands afterwards.
    pub(crate) async fn carry_out(&self, begun: Begun) -> Result<Payment, Error> {
        let (errand, answer) = match begun {
            Begun::Settled(payment) => return Ok(*payment),
            Begun::Several { whole, begun } => {
                for begun in begun {
                    Box::pin(self.carry_out(begun)).await?;
                }
                return self.get(whole).await;
            }
            Begun::Fresh(errand) => {
                let answer = self.send(&errand).await;
                (errand, answer)
            }
            Begun::Resume(errand) => {
                let answer = self.ask_then_send(&errand).await;
                (errand, answer)
            }
        };
        if answer != Answer::Lost {
            self.crash.at(Stage::Provider, errand.attempt.operation);
        }
        let payment = self.finish(&errand, &answer).await?;
        if answer != Answer::Lost {
            self.crash.at(Stage::Commit, errand.attempt.operation);
        }
        self.carry_on(&errand, payment).await
    }

    /// The next provider's authorisation was begun with the fact that this one cannot, the next tender's and an automatic payment's
    /// capture with the fact that it is held, the next hold with the fact that this one is gone; without this the resolver would carry
    /// them out.
    async fn carry_on(&self, errand: &Errand, payment: Payment) -> Result<Payment, Error> {
        match errand.attempt.operation {
            Operation::Authorize => {}
            Operation::Void if payment.is_renewed() => {}
            Operation::Void | Operation::Capture | Operation::Refund => return Ok(payment),
        }
        let automatic = errand.terms.capture == CaptureMode::Automatic;
        let capture = payment.open_attempt(Operation::Capture).filter(|_| automatic);
        let own = payment.open_attempt(Operation::Authorize).or(capture);
        let next = match (own, payment.part_of) {
            (Some(own), _) if own.state == AttemptState::Sent => Errand::of(&payment, own),
            (None, Some(part)) => self.next_tender(part).await?,
            (Some(_), _) | (None, None) => None,
        };
        match next {
            Some(errand) => Box::pin(self.carry_out(Begun::Fresh(errand))).await,
            None => Ok(payment),
        }
    }

    async fn send(&self, errand: &Errand) -> Answer {
        let Some(provider) = self.providers.get(&errand.attempt.provider) else { return Answer::Lost };
        let call = errand.call();
        match call.operation {
            Operation::Authorize => provider.authorize(&call, &errand.terms.method).await,
            Operation::Capture => provider.capture(&call).await,
            Operation::Void => provider.void(&call).await,
            Operation::Refund => provider.refund(&call).await,
        }
    }

    /// Asks the provider that the attempt was sent to, and no other.
    pub(crate) async fn query(&self, errand: &Errand) -> Found {
        match self.providers.get(&errand.attempt.provider) {
            Some(provider) => provider.query(&errand.call()).await,
            None => Found::Lost,
        }
    }

    /// A key the provider does not know has done nothing: the same key is sent again, never another one.
    async fn ask_then_send(&self, errand: &Errand) -> Answer {
        match self.query(errand).await {
            Found::Known(answer) => answer,
            Found::Absent => self.send(errand).await,
            Found::Lost => Answer::Lost,
        }
    }

    /// Applies an answer; a void that was quicker than the authorisation's answer waits for that one first: what it let go of was held, or
    /// had lapsed, or never was.
    pub(crate) async fn finish(&self, errand: &Errand, answer: &Answer) -> Result<Payment, Error> {
        for _ in 0..APPLY_AT_MOST {
            let (payment, settlement) = self.settle(errand, answer).await?;
            if settlement != Settlement::Premature {
                return Ok(payment);
            }
            let open = payment.open_attempt(Operation::Authorize);
            let Some(authorization) = open.and_then(|open| Errand::of(&payment, open)) else { continue };
            let heard = match self.query(&authorization).await {
                Found::Known(held @ Answer::Done { .. }) => held,
                Found::Known(Answer::Lost) | Found::Lost => Answer::Lost,
                Found::Known(Answer::Refused { .. } | Answer::Action { .. }) | Found::Absent
                    if let_go_of_nothing(answer) =>
                {
                    let never_held = Payment::settle_never_held;
                    return Ok(self.apply(errand, errand.attempt.id, answer, never_held).await?.0);
                }
                Found::Known(refused) => refused,
                Found::Absent => Answer::Lost,
            };
            self.apply(errand, authorization.attempt.id, &heard, Payment::settle).await?;
        }
        Ok(self.apply(errand, errand.attempt.id, &Answer::Lost, Payment::settle).await?.0)
    }

    /// With others in one commit, or alone.
    async fn settle(&self, errand: &Errand, answer: &Answer) -> Result<(Payment, Settlement), Error> {
        if !errand.is_part {
            let settle = Settle {
                payment: errand.payment,
                attempt: errand.attempt.id,
                operation: errand.attempt.operation,
                answer: answer.clone(),
            };
            if let Some(settled) = self.steps.settle(settle, self.now()).await? {
                return Ok(settled);
            }
        }
        self.apply(errand, errand.attempt.id, answer, Payment::settle).await
    }

    async fn apply(
        &self,
        errand: &Errand,
        attempt: Uuid,
        answer: &Answer,
        rule: Rule,
    ) -> Result<(Payment, Settlement), Error> {
        match self.write(errand, attempt, answer, rule).await {
            Err(Error::Database(error)) if is_taken(&error) => {
                self.write(errand, attempt, answer, Payment::contradict).await
            }
            written @ (Ok(_) | Err(_)) => written,
        }
    }

    async fn write(
        &self,
        errand: &Errand,
        attempt: Uuid,
        answer: &Answer,
        rule: Rule,
    ) -> Result<(Payment, Settlement), Error> {
        let at = self.now();
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let mut payment =
            payments::lock(&mut tx, errand.payment).await?.ok_or(Error::NotFound(errand.payment))?;
        let before = payment.attempts.clone();
        let settlement = rule(&mut payment, attempt, answer, at);
        let mut learned: &[Event] = &[];
        metrics::settlement(errand.attempt.operation, &settlement);
        match &settlement {
            Settlement::Unchanged | Settlement::Premature => return Ok((payment, settlement)),
            Settlement::Lost | Settlement::Waiting => {}
            Settlement::Settled { facts, follow_up } => {
                if let Some(follow_up) = follow_up {
                    note_fallback(&payment, follow_up);
                    let lease = leave_alone(follow_up, self.lease);
                    attempts::insert(&mut tx, payment.id, follow_up, lease, at).await?;
                }
                record(&mut tx, &payment, facts).await?;
                learned = facts;
            }
            Settlement::Conflict(conflict) => {
                contradiction::note(&mut tx, &payment, &errand.attempt.provider, conflict, at).await?;
            }
        }
        self.save_attempts(&mut tx, &payment, &before, at).await?;
        self.keep(&mut tx, &payment, learned, Cause { resolution: None, lease: self.lease, at }).await?;
        tx.commit().await?;
        self.wake.wake();
        Ok((payment, settlement))
    }

    /// Writes those that are not as they were.
    pub(crate) async fn save_attempts(
        &self,
        conn: &mut sqlx::PgConnection,
        payment: &Payment,
        before: &[Attempt],
        at: OffsetDateTime,
    ) -> Result<(), sqlx::Error> {
        let saved = |attempt| Saved { attempt, jitter: jitter(), at };
        let changed: Vec<_> = changed(before, &payment.attempts).map(saved).collect();
        attempts::save_all(conn, &changed, &WAIT).await
    }
}

/// What follows an answer is the resolver's at once, unless whoever heard it carries it on.
pub(crate) const fn leave_alone(follow_up: &Attempt, lease: Duration) -> Duration {
    match follow_up.operation {
        Operation::Authorize | Operation::Capture => lease,
        Operation::Void | Operation::Refund => Duration::ZERO,
    }
}

const fn let_go_of_nothing(answer: &Answer) -> bool {
    matches!(answer, Answer::Done { amount_minor: 0, .. })
}

/// That a provider could not is for whoever runs the house, not for the buyer.
pub(crate) fn note_fallback(payment: &Payment, follow_up: &Attempt) {
    if follow_up.operation != Operation::Authorize {
        return;
    }
    let before = payment.attempts.iter().rev().filter(|attempt| attempt.operation == Operation::Authorize);
    let Some(refused) = before.into_iter().find(|attempt| attempt.id != follow_up.id) else { return };
    let (from, to) = (refused.provider.as_str(), follow_up.provider.as_str());
    metrics::fallback(from, to);
    tracing::warn!(payment = %payment.id, from, to, decline = refused.decline, "another provider is asked");
}

/// The provider's reference belongs to a fact of another attempt.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|database| database.constraint()) == Some("payment_event_fact_once")
}

/// Facts, books and news belong to one commit.
pub(crate) async fn record(
    conn: &mut sqlx::PgConnection,
    payment: &Payment,
    facts: &[Event],
) -> Result<(), sqlx::Error> {
    for fact in facts {
        events::insert(conn, payment.id, fact).await?;
        if let Some(terms) = &payment.terms {
            ledger::append(conn, &entries(fact, terms.amount.currency())).await?;
        }
    }
    for fact in facts {
        if let Some(reason) = needs_a_person(payment, fact) {
            stuck::open(conn, payment.id, reason, fact.kind.subject()).await?;
        }
    }
    event::publish(conn, payment, facts).await
}

/// What nobody asked for or nobody can mend: none of it happens to a payment that goes well.
pub(crate) fn needs_a_person(payment: &Payment, fact: &Event) -> Option<Reason> {
    match fact.kind {
        EventKind::RefundFailed => Some(Reason::RefundRefused),
        // What follows a hold that is renewed is seen to by its whole.
        EventKind::Expired if !payment.void_requested && !payment.is_renewed() => Some(Reason::HoldLapsed),
        EventKind::Authorized
        | EventKind::Declined
        | EventKind::Captured
        | EventKind::CaptureCorrected
        | EventKind::Voided
        | EventKind::RefundPending
        | EventKind::Refunded
        | EventKind::RefundReversed
        | EventKind::DisputeOpened
        | EventKind::DisputeClosed
        | EventKind::DisputeLost
        | EventKind::Expired => None,
    }
}

/// So that a recovered provider is not met by everybody at once.
pub(crate) fn jitter() -> f64 {
    rand::random_range(0.5..=1.0)
}
