//! ResolvePayment: one decision of a person about a payment that waits. The decision, what it does to the payment, books and news are
//! one commit; a provider is asked before it and never within.

use std::time::Duration;

use stampede_types::PaymentId;
use uuid::Uuid;

use crate::contradiction;
use crate::domain::stuck::{Claim, Decision, Impossible, Reason, possible};
use crate::domain::{Answer, Event, Payment, Settlement};
use crate::error::Error;
use crate::event;
use crate::finish::{is_taken, record};
use crate::payments::{Errand, Payments};
use crate::provider::Found;
use crate::store::resolutions::Resolution;
use crate::store::{attempts, payments, resolutions, stuck, webhooks};
use crate::stuck::BOUNDS;
use crate::tenders::Cause;

/// More reasons than there are: one payment's are read at once.
const REASONS: i64 = 16;
/// Why a webhook is refused that a person has closed.
const CLOSED: &str = "closed by a person";

/// The same id is the same decision.
#[derive(Debug, Clone)]
pub struct Resolve {
    pub id: Uuid,
    pub payment: PaymentId,
    pub reason: Reason,
    pub decision: Decision,
    pub note: String,
}

impl Payments {
    /// The payment as it stands then; None when there never was one under this id.
    ///
    /// # Errors
    /// It does not wait for this reason, the facts do not allow the decision, the id was used for another one, or the provider does
    /// not answer what it is asked.
    pub async fn resolve_stuck(&self, command: &Resolve, actor: &str) -> Result<Option<Payment>, Error> {
        if !self.was_decided(command).await? {
            let answers = self.answers(command).await?;
            self.decide(command, actor, &answers).await.map_err(|error| of_reference(command, error))?;
            self.wake.wake();
            self.hear_parked_of(command.payment).await?;
        }
        self.find(command.payment).await
    }

    async fn was_decided(&self, command: &Resolve) -> Result<bool, Error> {
        let mut conn = self.db.acquire().await?;
        match resolutions::decision(&mut conn, command.id).await? {
            None => Ok(false),
            Some(made)
                if (made.payment, made.reason, made.decision)
                    == (command.payment, command.reason, command.decision) =>
            {
                Ok(true)
            }
            Some(_) => Err(Error::ResolutionReused),
        }
    }

    /// What the provider says now, where that is what was decided. No transaction waits for it.
    async fn answers(&self, command: &Resolve) -> Result<Vec<(Uuid, Answer)>, Error> {
        if (command.reason, command.decision) != (Reason::Conflict, Decision::AskAgain) {
            return Ok(Vec::new());
        }
        let mut conn = self.db.acquire().await?;
        let Some(payment) = payments::read(&mut conn, command.payment).await? else {
            return Err(Error::NotStuck);
        };
        let claims = stuck::claims(&mut conn, command.payment).await?;
        drop(conn);
        let mut answers = Vec::new();
        for attempt in payment.in_question(&claims) {
            // What has no terms was never sent to anybody.
            let Some(errand) = Errand::of(&payment, &attempt) else { return Err(Error::Unknown) };
            match self.query(&errand).await {
                Found::Known(answer) => answers.push((attempt.id, answer)),
                Found::Absent | Found::Lost => return Err(Error::Unknown),
            }
        }
        Ok(answers)
    }

    async fn decide(&self, command: &Resolve, actor: &str, answers: &[(Uuid, Answer)]) -> Result<(), Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let payment = payments::lock(&mut tx, command.payment).await?;
        let cases = stuck::list(&mut tx, None, Some(command.payment), BOUNDS, REASONS).await?;
        if !cases.iter().any(|case| case.reason == command.reason) {
            // The same decision may have come twice at once: the other one was first.
            tx.rollback().await?;
            return if self.was_decided(command).await? { Ok(()) } else { Err(Error::NotStuck) };
        }
        let claims = stuck::claims(&mut tx, command.payment).await?;
        let of_conflict = command.reason == Reason::Conflict;
        let resolution = Resolution {
            id: command.id,
            payment: command.payment,
            reason: command.reason,
            decision: command.decision,
            claim: claims.last().filter(|_| of_conflict).map_or(0, |claim| claim.id),
            actor: actor.to_owned(),
            note: command.note.clone(),
        };
        if !resolutions::record(&mut tx, &resolution).await? {
            tx.rollback().await?;
            return if self.was_decided(command).await? { Ok(()) } else { Err(Error::NotStuck) };
        }
        self.carry_through(&mut tx, command, payment, &claims, answers).await?;
        tx.commit().await?;
        let (reason, decision) = (command.reason.as_str(), command.decision.as_str());
        tracing::info!(payment = %command.payment, reason, decision, actor, "a stuck payment was resolved");
        Ok(())
    }

    async fn carry_through(
        &self,
        conn: &mut sqlx::PgConnection,
        command: &Resolve,
        payment: Option<Payment>,
        claims: &[Claim],
        answers: &[(Uuid, Answer)],
    ) -> Result<(), Error> {
        let fits = possible(command.reason, payment.as_ref(), claims).contains(&command.decision);
        match (command.reason, command.decision, payment) {
            (Reason::Conflict, _, Some(payment)) => {
                self.decide_conflict(conn, command, payment, claims, answers).await
            }
            _ if !fits => Err(impossible(command, "it waits for another reason")),
            (Reason::Unknown, Decision::CloseByHand, Some(mut payment)) => {
                let before = payment.attempts.clone();
                let at = self.now();
                let facts = payment.close_by_hand(command.id, at);
                record(conn, &payment, &facts).await?;
                self.save_attempts(conn, &payment, &before, at).await?;
                let cause = Cause { resolution: None, lease: Duration::ZERO, at };
                Ok(self.keep(conn, &payment, &facts, cause).await?)
            }
            (Reason::Unknown, _, _) => Ok(attempts::ask_now(conn, command.payment).await?),
            (Reason::WebhookParked, Decision::CloseByHand, _) => {
                Ok(webhooks::refuse_parked(conn, command.payment, CLOSED).await?)
            }
            (Reason::WebhookParked, _, _) => Ok(webhooks::hurry(conn, command.payment).await?),
            (
                Reason::Conflict | Reason::RefundRefused | Reason::HoldLapsed | Reason::WebhookRefused,
                _,
                _,
            ) => Ok(stuck::close(conn, command.payment, command.reason).await?),
        }
    }

    async fn decide_conflict(
        &self,
        conn: &mut sqlx::PgConnection,
        command: &Resolve,
        mut payment: Payment,
        claims: &[Claim],
        answers: &[(Uuid, Answer)],
    ) -> Result<(), Error> {
        let at = self.now();
        let before = payment.attempts.clone();
        let facts = match command.decision {
            Decision::AskAgain => {
                let asked = |id: Uuid| answers.iter().any(|(answered, _)| *answered == id);
                let in_question = payment.in_question(claims);
                if in_question.is_empty() {
                    return Err(impossible(command, "it is about nothing that was asked for"));
                }
                if !in_question.iter().all(|attempt| asked(attempt.id)) {
                    // Something came in between: it is asked for when the caller tries again.
                    return Err(Error::Unknown);
                }
                let settled = payment.ask_again(answers, at);
                self.note_answers(conn, &payment, settled).await?
            }
            Decision::TakeTheirs => payment.take_theirs(claims, command.id, at)?,
            Decision::KeepOurs => payment.keep_ours(at)?,
            Decision::CloseByHand => payment.close_by_hand(command.id, at),
        };
        record(conn, &payment, &facts).await?;
        if let Some(capture) = payment.go_on() {
            attempts::insert(conn, payment.id, &capture, Duration::ZERO, at).await?;
        }
        self.save_attempts(conn, &payment, &before, at).await?;
        let cause = Cause { resolution: Some(command.id), lease: Duration::ZERO, at };
        self.keep(conn, &payment, &facts, cause).await?;
        if payment.conflict.is_none() {
            stuck::close(conn, payment.id, Reason::Conflict).await?;
        }
        Ok(event::publish_resolved(conn, &payment, command.id, at).await?)
    }

    /// What the provider said when it was asked again: facts, what follows from them, and claims that still contradict.
    async fn note_answers(
        &self,
        conn: &mut sqlx::PgConnection,
        payment: &Payment,
        settled: Vec<Settlement>,
    ) -> Result<Vec<Event>, Error> {
        let at = self.now();
        let mut learned = Vec::new();
        for settlement in settled {
            match settlement {
                Settlement::Unchanged | Settlement::Lost | Settlement::Waiting | Settlement::Premature => {}
                Settlement::Settled { facts, follow_up } => {
                    learned.extend(facts);
                    if let Some(follow_up) = &follow_up {
                        attempts::insert(conn, payment.id, follow_up, Duration::ZERO, at).await?;
                    }
                }
                Settlement::Conflict(conflict) => {
                    let told_by = conflict.attempt.and_then(|id| payment.attempt(id));
                    let provider = told_by.map_or("", |attempt| attempt.provider.as_str());
                    contradiction::note(conn, payment, provider, &conflict, at).await?;
                }
            }
        }
        Ok(learned)
    }
}

/// The name that the provider gives it is another fact's.
fn of_reference(command: &Resolve, error: Error) -> Error {
    if let Error::Database(database) = &error
        && is_taken(database)
    {
        return impossible(command, "its reference belongs to another fact");
    }
    error
}

const fn impossible(command: &Resolve, fact: &'static str) -> Error {
    Error::Impossible(Impossible { decision: command.decision, fact })
}
