//! Webhooks that came before the thing they are about: heard again until they fit, by whichever process; what never fits is left to
//! a person. Those of long ago are forgotten here too.

use std::time::Duration;

use stampede_kit::postgres;
use stampede_types::PaymentId;
use tokio_util::sync::CancellationToken;

use crate::domain::stuck::Reason;
use crate::error::Error;
use crate::payments::Payments;
use crate::provider::Reading;
use crate::store::stuck;
use crate::store::webhooks::{self, Parked, Standing};
use crate::webhook::{PARKED_AT_MOST, WAITS};

/// What was applied is remembered this long: far beyond the time a signature is good for.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Parked webhooks taken at once, and how long they are left alone then.
const BATCH: i64 = 64;
const LEASE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks between two prunings, the chunks of one at most, and the rows of a chunk.
const LOOKS: u32 = 2_400;
const CHUNKS: u32 = 100;
const CHUNK: u32 = 5_000;

const UNREADABLE: &str = "no message that this program reads";
const NOT_HEARD: &str = "it could not be heard";

impl Payments {
    /// Hears parked webhooks whose time has come, until `stop`. A look that fails is followed by another.
    ///
    /// # Errors
    /// None: the type is that of a background task.
    pub async fn hear_parked_until(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut looks = 0_u32;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            looks = looks.wrapping_add(1);
            let looked = match looks.is_multiple_of(LOOKS) {
                true => self.forget().await,
                false => self.hear_due().await.map(drop),
            };
            match looked {
                Ok(()) => {}
                Err(Error::Database(error)) if postgres::is_outage(&error) => {
                    tracing::warn!(%error, "parked webhooks wait for the database");
                }
                Err(error) => tracing::error!(%error, "parked webhooks could not be looked at"),
            }
        }
        Ok(())
    }

    /// Takes what is due now and hears it again; how many there were.
    ///
    /// # Errors
    /// The database's, when nothing could be taken. One webhook's trouble is logged and leaves the others alone.
    pub async fn hear_due(&self) -> Result<usize, Error> {
        let mut conn = self.db.acquire().await?;
        let due = webhooks::take_due(&mut conn, BATCH, LEASE).await?;
        drop(conn);
        let taken = due.len();
        for parked in due {
            if let Err(error) = self.hear_again(&parked).await {
                tracing::error!(event = parked.event, %error, "a parked webhook was not heard");
                self.stand(&parked, Standing::Parked(NOT_HEARD)).await?;
            }
        }
        Ok(taken)
    }

    /// Deletes what was applied long ago, faster than it comes.
    ///
    /// # Errors
    /// The database's: what went before is gone.
    pub async fn forget(&self) -> Result<(), Error> {
        let mut conn = self.db.acquire().await?;
        for _ in 0..CHUNKS {
            if webhooks::prune(&mut conn, KEEP, i64::from(CHUNK)).await? < u64::from(CHUNK) {
                break;
            }
        }
        Ok(())
    }

    /// A new fact may be what others wait for, and those what further ones wait for.
    pub(crate) async fn hear_parked_of(&self, payment: PaymentId) -> Result<(), Error> {
        let mut progress = true;
        while progress {
            let mut conn = self.db.acquire().await?;
            let parked = webhooks::parked_for(&mut conn, payment, BATCH).await?;
            drop(conn);
            progress = false;
            for parked in parked {
                progress |= self.hear_again(&parked).await?;
            }
        }
        Ok(())
    }

    async fn hear_again(&self, parked: &Parked) -> Result<bool, Error> {
        let age = Duration::from_secs_f64(parked.age_seconds.max(0.0));
        // One whose provider is not configured any more waits until it is.
        let reading = self.providers.get(&parked.provider).map(|provider| provider.told(&parked.payload));
        match reading {
            Some(Reading::Told(told)) => {
                self.hear(&parked.provider, PaymentId::new(parked.payment), &told, None, age).await
            }
            Some(Reading::Ignored | Reading::Malformed) | None => self.stand(parked, unreadable(age)).await,
        }
    }

    /// Nothing new came of it.
    async fn stand(&self, parked: &Parked, standing: Standing) -> Result<bool, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        webhooks::set(&mut tx, &parked.provider, &parked.event, standing, None, WAITS).await?;
        if let Standing::Refused(why) = standing {
            stuck::open(&mut tx, PaymentId::new(parked.payment), Reason::WebhookRefused, why).await?;
        }
        tx.commit().await?;
        Ok(false)
    }
}

/// Parked by a later program: it is left to that one, and to a person when none comes.
fn unreadable(age: Duration) -> Standing {
    if age > PARKED_AT_MOST { Standing::Refused(UNREADABLE) } else { Standing::Parked(UNREADABLE) }
}
