//! The resolver: whatever is open and not being worked on, after a lost answer or a crash, is asked about until it is known. It
//! never uses another key, and it never gives up: an open attempt always has this owner.

use std::time::Duration;

use futures::StreamExt as _;
use stampede_kit::postgres;
use tokio_util::sync::CancellationToken;

use crate::domain::{Answer, Operation};
use crate::error::Error;
use crate::payments::{Begun, Errand, Payments};
use crate::provider::Found;
use crate::store::attempts::{self, Due};
use crate::store::payments;

/// Attempts taken at once, and asked about at the same time.
const BATCH: i64 = 32;
const IN_FLIGHT: usize = 16;
/// How often the store is looked at when nothing was due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Payments {
    /// Runs until `stop`. A look that fails is followed by another: a lock or statement timeout must not take the service
    /// down with it.
    ///
    /// # Errors
    /// None: the type is that of a background task.
    pub async fn resolve_until(&self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let idle = match self.resolve_due().await {
                Ok(resolved) => resolved == 0,
                Err(Error::Database(error)) if postgres::is_outage(&error) => {
                    tracing::warn!(%error, "the resolver waits for the database");
                    true
                }
                Err(error) => {
                    tracing::error!(%error, "the resolver could not look for open attempts");
                    true
                }
            };
            if idle {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        Ok(())
    }

    /// Takes what is due now and asks about each, and lets go of holds whose time has passed; how many there were.
    ///
    /// # Errors
    /// The database's, when nothing could be taken. One payment's trouble is logged and leaves the others alone.
    pub async fn resolve_due(&self) -> Result<usize, Error> {
        let mut conn = self.db.acquire().await?;
        let due = attempts::take_due(&mut conn, BATCH, self.lease).await?;
        drop(conn);
        let taken = due.len();
        futures::stream::iter(due)
            .for_each_concurrent(IN_FLIGHT, async |due| {
                if let Err(error) = self.resolve(due).await {
                    tracing::error!(payment = %due.payment, attempt = %due.attempt, %error, "a payment is not resolved yet");
                }
            })
            .await;
        Ok(taken + self.renew_due().await?)
    }

    async fn resolve(&self, due: Due) -> Result<(), Error> {
        let mut conn = self.db.acquire().await?;
        let Some(payment) = payments::read(&mut conn, due.payment).await? else { return Ok(()) };
        drop(conn);
        let Some(attempt) = payment.attempt(due.attempt).cloned() else { return Ok(()) };
        // A payer who has not done what he was asked for until now shall not do it any more.
        let is_over = payment.void_requested || attempt.has_run_out(self.now());
        if is_over && attempt.operation == Operation::Authorize {
            return match Errand::of(&payment, &attempt) {
                Some(errand) => self.close(errand).await,
                None => Ok(()),
            };
        }
        self.carry_out(Begun::resume(payment, &attempt)).await.map(drop)
    }

    /// A void is waiting for this authorisation, or its payer's time has passed. It is never sent again: either it is known, or the
    /// provider closes the payment.
    async fn close(&self, errand: Errand) -> Result<(), Error> {
        match self.query(&errand).await {
            Found::Known(answer @ (Answer::Done { .. } | Answer::Refused { .. } | Answer::Lost)) => {
                self.finish(&errand, &answer).await.map(drop)
            }
            Found::Lost => self.finish(&errand, &Answer::Lost).await.map(drop),
            Found::Absent | Found::Known(Answer::Action { .. }) => {
                let begun = self.begin_closing(errand.payment).await?;
                self.carry_out(begun).await.map(drop)
            }
        }
    }
}
