//! One batch, one transaction. A batch that the database refuses is written alone, step by step, by those who wanted them. It never answers
//! before the commit.

use sqlx::PgConnection;
use stampede_kit::lanes::{Manner, Outcome};
use stampede_kit::postgres::Patience;
use stampede_kit::{outbox, postgres};
use stampede_types::PaymentId;
use uuid::Uuid;

use super::batch::Batch;
use super::{Step, Taken, What, Writer};
use crate::domain::Payment;
use crate::error::Error;
use crate::finish::{WAIT, jitter};
use crate::store::attempts::{New, Saved};
use crate::store::{attempts, events, intents, ledger, payments};

type Answer = Outcome<Step, Result<Taken, Error>>;

/// What came of a step; nothing yet when somebody else holds the payment.
type Came = Option<Result<Taken, Error>>;

pub async fn together(writer: &Writer, steps: Vec<Step>, manner: Manner) -> Vec<Answer> {
    match write(writer, &steps, manner).await {
        Ok(came) => {
            let outcome = |(step, came)| match came {
                Some(taken) => Outcome::Done(taken),
                None => Outcome::Held(step),
            };
            steps.into_iter().zip(came).map(outcome).collect()
        }
        // Nobody would fare better alone.
        Err(error) if postgres::is_outage(&error) || (steps.len() == 1 && postgres::is_contended(&error)) => {
            tracing::warn!(%error, steps = steps.len(), "the database does not answer, or somebody holds the row");
            steps.iter().map(|_| Outcome::Done(Err(Error::Unavailable))).collect()
        }
        Err(error) => {
            tracing::warn!(%error, steps = steps.len(), "a batch failed; its steps are written alone");
            steps.iter().map(|_| Outcome::Done(Ok(Taken::Alone))).collect()
        }
    }
}

async fn write(writer: &Writer, steps: &[Step], manner: Manner) -> Result<Vec<Came>, sqlx::Error> {
    // A lone step that waits holds up no other.
    let patience = if steps.len() > 1 { Patience::Short } else { Patience::Long };
    let mut tx = postgres::begin_by_key(&writer.db, patience).await?;
    let mut batch = Batch::new(writer.lease, lock(&mut tx, steps, manner).await?);
    let opened = open(&mut tx, steps, &mut batch).await?;
    let mut came = Vec::with_capacity(steps.len());
    for (step, is_opened) in steps.iter().zip(opened) {
        came.push(match manner {
            _ if is_opened => Some(Ok(Taken::Opened)),
            Manner::Brisk if !step.opens() && !batch.holds(step) => None,
            Manner::Brisk | Manner::Patient => Some(batch.take(step)),
        });
    }
    if batch.is_empty() {
        // Nothing was written.
        tx.rollback().await?;
        return Ok(came);
    }
    keep(&mut tx, &batch).await?;
    tx.commit().await?;
    writer.wake.wake();
    Ok(came)
}

/// The payments that are there already.
async fn lock(conn: &mut PgConnection, steps: &[Step], manner: Manner) -> Result<Vec<Payment>, sqlx::Error> {
    let mut ids: Vec<Uuid> =
        steps.iter().filter(|step| !step.opens()).map(|step| step.payment().uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    match (ids.as_slice(), manner) {
        ([], _) => Ok(Vec::new()),
        (ids, Manner::Brisk) => payments::lock_free(conn, ids).await,
        // All of it is about one payment, or few that share a number.
        (ids, Manner::Patient) => {
            let mut locked = Vec::with_capacity(ids.len());
            for id in ids {
                locked.extend(payments::lock(conn, PaymentId::new(*id)).await?);
            }
            Ok(locked)
        }
    }
}

/// Writes the new payments; for each step whether it was one of them.
async fn open(conn: &mut PgConnection, steps: &[Step], batch: &mut Batch) -> Result<Vec<bool>, sqlx::Error> {
    let mut new: Vec<(usize, &Payment)> =
        steps.iter().enumerate().filter_map(|(at, step)| Some((at, step.opened()?))).collect();
    // The first of those with one id is the one written.
    new.sort_by_key(|(at, payment)| (payment.id.uuid(), *at));
    new.dedup_by_key(|(_, payment)| payment.id);
    let mut opened = vec![false; steps.len()];
    if new.is_empty() {
        return Ok(opened);
    }
    let payments: Vec<&Payment> = new.iter().map(|(_, payment)| *payment).collect();
    let inserted = intents::insert_all(conn, &payments).await?;
    for (at, payment) in new.into_iter().filter(|(_, payment)| inserted.contains(&payment.id)) {
        batch.open(payment, steps[at].at);
        opened[at] = true;
    }
    Ok(opened)
}

async fn keep(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let new: Vec<New<'_>> = batch
        .new_attempts()
        .map(|(new, attempt)| New {
            payment: new.payment,
            attempt,
            ask_again_in: new.ask_again_in,
            at: new.at,
        })
        .collect();
    attempts::insert_all(conn, &new).await?;
    let facts: Vec<_> = batch.facts.iter().map(|(payment, fact)| (*payment, fact)).collect();
    events::insert_all(conn, &facts).await?;
    ledger::append(conn, &batch.entries).await?;
    let saved: Vec<Saved<'_>> =
        batch.changed_attempts().map(|(attempt, at)| Saved { attempt, jitter: jitter(), at }).collect();
    attempts::save_all(conn, &saved, &WAIT).await?;
    intents::save_all(conn, &batch.changed_payments().collect::<Vec<_>>(), None).await?;
    outbox::append_traced(conn, &batch.news).await
}

impl Step {
    fn opened(&self) -> Option<&Payment> {
        match &self.what {
            What::Open(payment) => Some(payment),
            What::Begin(_) | What::Settle(_) => None,
        }
    }

    fn opens(&self) -> bool {
        self.opened().is_some()
    }
}
