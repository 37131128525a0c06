//! What a provider tells by itself: the signature first, then one transaction with the message, its effect, the books and the news;
//! the answer comes after its commit. What came before the thing it is about is parked and heard again until it fits, by
//! whichever process; what never fits is left to a person. A message is never believed twice.

use std::time::Duration;

use stampede_kit::postgres;
use stampede_types::PaymentId;
use tokio_util::sync::CancellationToken;

use crate::domain::{Conflict, Event, EventKind, Heard, Payment};
use crate::error::Error;
use crate::finish::{is_taken, note_fallback, record};
use crate::metrics;
use crate::payments::Payments;
use crate::provider::{About, Reading, Told};
use crate::store::webhooks::{self, Parked, Standing};
use crate::store::{attempts, events, intents, payments};

/// Waits of a parked webhook: as long again as it has waited, within these.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// What has waited longer is a person's.
const PARKED_AT_MOST: Duration = Duration::from_secs(3 * 24 * 3600);
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

const NEVER_CAME: &str = "what it is about never came";
const TAKEN: &str = "its reference belongs to another fact";

/// One message to be heard. `body` is that of one that has just come, `age` how long another has waited.
struct Message<'a> {
    provider: &'a str,
    payment: PaymentId,
    told: &'a Told,
    body: Option<&'a [u8]>,
    age: Duration,
}

impl Payments {
    /// Takes one webhook. An error means that nothing of it was kept: the provider sends it again.
    ///
    /// # Errors
    /// No such provider, a signature that is not good, a body that is no message, or the database does not answer.
    pub async fn receive(&self, provider: &str, body: &[u8], signature: &str) -> Result<(), Error> {
        let desk = self.providers.desk(provider).ok_or(Error::NoProvider)?;
        desk.keys.verify(signature, body, self.clock.now()).inspect_err(|_| metrics::webhook("unsigned"))?;
        let told = match desk.provider.told(body) {
            Reading::Told(told) => told,
            Reading::Ignored => {
                metrics::webhook("ignored");
                return Ok(());
            }
            Reading::Malformed => {
                return Err(Error::Invalid { field: "payload", rule: "must be a message of this provider" });
            }
        };
        let payment = self.meant(provider, &told.about).await?;
        if self.hear(provider, payment, &told, Some(body), Duration::ZERO).await? {
            self.hear_parked_of(payment).await?;
        }
        Ok(())
    }

    /// The payment a message is about. A hold that nobody here has heard of yet is told of again later.
    async fn meant(&self, provider: &str, about: &About) -> Result<PaymentId, Error> {
        match about {
            About::Payment(payment) => Ok(*payment),
            About::Hold(hold) => {
                let mut conn = self.db.acquire().await?;
                events::holder_of(&mut conn, provider, hold).await?.ok_or(Error::UnknownHold)
            }
        }
    }

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
    async fn hear_parked_of(&self, payment: PaymentId) -> Result<(), Error> {
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
        // One whose provider is not configured any more waits until it is.
        let Some(provider) = self.providers.get(&parked.provider) else { return Ok(false) };
        let Reading::Told(told) = provider.told(&parked.payload) else { return Ok(false) };
        self.hear(
            &parked.provider,
            PaymentId::new(parked.payment),
            &told,
            None,
            Duration::from_secs_f64(parked.age_seconds.max(0.0)),
        )
        .await
    }

    /// Whether there is a new fact. `body` is that of a message that has just come.
    async fn hear(
        &self,
        provider: &str,
        payment: PaymentId,
        told: &Told,
        body: Option<&[u8]>,
        age: Duration,
    ) -> Result<bool, Error> {
        let message = Message { provider, payment, told, body, age };
        let rule = |payment: &mut Payment| payment.hear(provider, &told.notice, self.now());
        match self.write_heard(&message, rule).await {
            // The provider's reference is another payment's fact: the message is kept, and believed nothing of.
            Err(Error::Database(error)) if is_taken(&error) => {
                let refuse = |payment: &mut Payment| Heard::Conflict(payment.refuse(&told.notice, TAKEN));
                self.write_heard(&message, refuse).await
            }
            written @ (Ok(_) | Err(_)) => written,
        }
    }

    async fn write_heard(
        &self,
        message: &Message<'_>,
        rule: impl FnOnce(&mut Payment) -> Heard,
    ) -> Result<bool, Error> {
        let Message { provider, payment: id, told, body, age } = *message;
        let mut tx = self.db.begin().await?;
        // The payment first: whoever changes it waits here, and so does the same message on another way.
        let payment = payments::lock(&mut tx, id).await?;
        let first = match body {
            Some(body) => webhooks::insert(&mut tx, provider, &told.event, id, body).await?,
            None => webhooks::is_parked(&mut tx, provider, &told.event).await?,
        };
        if !first {
            metrics::webhook("repeated");
            return Ok(false);
        }
        let late = age > PARKED_AT_MOST;
        let (standing, fresh) = match payment {
            Some(payment) => self.apply_heard(&mut tx, payment, told, late, rule).await?,
            None if late => (Standing::Refused(NEVER_CAME), false),
            None => (Standing::Parked("no such payment"), false),
        };
        webhooks::set(&mut tx, provider, &told.event, standing, WAITS).await?;
        tx.commit().await?;
        metrics::webhook(match standing {
            Standing::Applied => "applied",
            Standing::Parked(_) => "parked",
            Standing::Refused(why) => {
                tracing::error!(payment = %id, event = told.event, why, "a webhook is refused and kept");
                "refused"
            }
        });
        self.wake.wake();
        Ok(fresh)
    }

    async fn apply_heard(
        &self,
        conn: &mut sqlx::PgConnection,
        mut payment: Payment,
        told: &Told,
        late: bool,
        rule: impl FnOnce(&mut Payment) -> Heard,
    ) -> Result<(Standing, bool), Error> {
        let at = self.now();
        let before = payment.attempts.clone();
        let mut heard = rule(&mut payment);
        if let (Heard::Early(_), true) = (&heard, late) {
            heard = Heard::Conflict(payment.refuse(&told.notice, NEVER_CAME));
        }
        match heard {
            Heard::Known => return Ok((Standing::Applied, false)),
            Heard::Early(why) => return Ok((Standing::Parked(why), false)),
            Heard::Conflict(conflict) => {
                let Conflict { reason, .. } = conflict;
                events::insert_conflict(conn, payment.id, &conflict, at).await?;
                intents::save(conn, &payment, at).await?;
                return Ok((Standing::Refused(reason), false));
            }
            Heard::Recorded { facts, follow_up } => {
                if let Some(follow_up) = &follow_up {
                    note_fallback(&payment, follow_up);
                    attempts::insert(conn, payment.id, follow_up, Duration::ZERO, at).await?;
                }
                record(conn, &payment, &facts).await?;
                alert(&payment, &facts);
            }
        }
        self.save_attempts(conn, &payment, &before, at).await?;
        intents::save(conn, &payment, at).await?;
        Ok((Standing::Applied, true))
    }
}

/// A dispute is a person's to contest, the more so when part of the money was given back before.
fn alert(payment: &Payment, facts: &[Event]) {
    for fact in facts.iter().filter(|fact| fact.kind == EventKind::DisputeOpened) {
        let standing = payment.standing();
        let given = standing.amounts.refunded_minor + standing.pending.refund_minor;
        let twice = given + standing.amounts.disputed_minor > standing.amounts.captured_minor;
        metrics::dispute(twice);
        let reference = fact.reference.as_deref();
        tracing::error!(payment = %payment.id, reference, after_refund = twice, "a buyer's bank disputes a payment");
    }
}
