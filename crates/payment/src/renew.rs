//! Holds whose time has passed while money is left to take: each is let go, and what follows it is in the commit of its end (`tenders`). What
//! the provider lets lapse by itself before that ends the same way.

use futures::StreamExt as _;
use sqlx::PgConnection;
use stampede_types::PaymentId;

use crate::domain::stuck::Reason;
use crate::domain::{Event, Payment};
use crate::error::Error;
use crate::metrics;
use crate::payments::{Begun, Payments};
use crate::store::{attempts, payments, stuck};

/// Holds taken at once, and let go at the same time.
const BATCH: i64 = 32;
const IN_FLIGHT: usize = 16;
/// What a person reads.
const NOT_HELD_AGAIN: &str = "a hold lapsed and the rest is not held again";

impl Payments {
    /// Takes the holds whose time has passed and lets each go; how many there were.
    ///
    /// # Errors
    /// The database's, when nothing could be taken. One payment's trouble is logged and leaves the others alone.
    pub(crate) async fn renew_due(&self) -> Result<usize, Error> {
        let mut conn = self.db.acquire().await?;
        let due = attempts::take_lapsed(&mut conn, BATCH, self.lease).await?;
        drop(conn);
        let taken = due.len();
        futures::stream::iter(due)
            .for_each_concurrent(IN_FLIGHT, async |payment| {
                if let Err(error) = self.renew(payment).await {
                    tracing::error!(%payment, %error, "a hold whose time has passed is not let go yet");
                }
            })
            .await;
        Ok(taken)
    }

    async fn renew(&self, part: PaymentId) -> Result<(), Error> {
        let begun = self.begin_lapse(part).await?;
        self.carry_out(begun).await.map(drop)
    }

    /// A void of a hold whose time has passed. One that a capture may still take of is looked at again later.
    async fn begin_lapse(&self, id: PaymentId) -> Result<Begun, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let payment = payments::lock(&mut tx, id).await?.ok_or(Error::NotFound(id))?;
        match payment.to_lapse(self.now()) {
            Some(held_minor) => self.write_void(tx, payment, held_minor).await,
            None => Ok(Begun::Settled(Box::new(payment))),
        }
    }
}

/// That the rest is not held again is a person's: the buyer has it, and nobody will ask for it.
///
/// # Errors
/// The database's.
pub(crate) async fn note(
    conn: &mut PgConnection,
    whole: &Payment,
    facts: &[Event],
) -> Result<(), sqlx::Error> {
    if !whole.ended_short_with(facts) {
        return Ok(());
    }
    metrics::reauthorization("given_up");
    tracing::error!(payment = %whole.id, decline = whole.decline, "a hold lapsed and the rest is not held again");
    stuck::open(conn, whole.id, Reason::HoldLapsed, NOT_HELD_AGAIN).await
}
