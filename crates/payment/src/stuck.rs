//! What waits for a person, listed and counted. It changes nothing.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::domain::Payment;
use crate::domain::page::{DEFAULT_SIZE, MAX_SIZE, Place};
use crate::domain::stuck::{Claim, Decision, possible};
use crate::error::Error;
use crate::get::SNAPSHOT;
use crate::metrics;
use crate::payments::Payments;
use crate::store::resolutions::Resolution;
use crate::store::stuck::Case;
use crate::store::{payments, resolutions, stuck};

/// An attempt that is not known after this long is a person's too; it is still asked about, more seldom.
pub(crate) const UNKNOWN_AFTER: Duration = Duration::from_secs(10 * 60);
/// A webhook that is parked for longer is a person's too.
const PARKED_AFTER: Duration = Duration::from_secs(5 * 60);
pub(crate) const BOUNDS: (Duration, Duration) = (UNKNOWN_AFTER, PARKED_AFTER);
/// How often those that wait are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// A payment that waits, what may be decided, and what was decided before.
#[derive(Debug)]
pub struct Stuck {
    pub case: Case,
    /// None when no payment was ever made under this id.
    pub payment: Option<Payment>,
    pub claims: Vec<Claim>,
    pub possible: Vec<Decision>,
    pub resolutions: Vec<(Resolution, OffsetDateTime)>,
}

#[derive(Debug)]
pub struct Page {
    pub stuck: Vec<Stuck>,
    /// Empty when this is the last.
    pub next: String,
}

impl Payments {
    /// A page of what waits, longest first; `size` 0 is the usual one.
    ///
    /// # Errors
    /// The token is not of this list, or the database does not answer.
    pub async fn stuck(&self, size: u32, token: &str) -> Result<Page, Error> {
        let after = match token {
            "" => None,
            token => Some(Place::parse(token).map_err(|_| Error::PageToken)?),
        };
        let size = if size == 0 { DEFAULT_SIZE } else { size.min(MAX_SIZE) } as usize;
        let mut conn = stampede_kit::postgres::begin_with(&self.db, SNAPSHOT).await?;
        // One more than asked for tells whether there is a next page.
        let mut cases = stuck::list(&mut conn, after, None, BOUNDS, size as i64 + 1).await?;
        let more = cases.len() > size;
        cases.truncate(size);
        let next = match cases.last() {
            Some(last) if more => last.place().token(),
            Some(_) | None => String::new(),
        };
        let mut page = Vec::with_capacity(cases.len());
        for case in cases {
            let payment = payments::read(&mut conn, case.payment).await?;
            let claims = stuck::claims(&mut conn, case.payment).await?;
            let resolutions = resolutions::of_payment(&mut conn, case.payment).await?;
            let possible = possible(case.reason, payment.as_ref(), &claims);
            page.push(Stuck { case, payment, claims, possible, resolutions });
        }
        conn.commit().await?;
        Ok(Page { stuck: page, next })
    }

    /// Counts what waits, until `stop`. A count that fails is followed by another.
    ///
    /// # Errors
    /// None: the type is that of a background task.
    pub async fn count_stuck_until(&self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(COUNT_EVERY)).await.is_some() {
            match self.count_stuck().await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "payments that wait for a person could not be counted"),
            }
        }
        Ok(())
    }

    async fn count_stuck(&self) -> Result<(), Error> {
        let mut conn = self.db.acquire().await?;
        let counts = stuck::counts(&mut conn, BOUNDS).await?;
        metrics::stuck(&counts);
        Ok(())
    }
}
