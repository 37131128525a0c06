//! What a provider tells by itself: the signature first, then one transaction with the message, its effect, the books and the news;
//! the answer comes after its commit. What came before the thing it is about is parked (`parked`). A message is never believed twice.

use std::time::Duration;

use stampede_types::PaymentId;
use stampede_types::card::{NO_CARD_NUMBER, has_card_number, without_card_numbers};

use crate::contradiction;
use crate::domain::stuck::Reason;
use crate::domain::{Conflict, Event, EventKind, Heard, Payment};
use crate::error::Error;
use crate::finish::{is_taken, note_fallback, record};
use crate::metrics;
use crate::payments::Payments;
use crate::provider::{About, Reading, Told};
use crate::store::webhooks::{self, Standing};
use crate::store::{attempts, events, payments, stuck};
use crate::tenders::Cause;

/// Waits of a parked webhook: as long again as it has waited, within these.
pub(crate) const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// What has waited longer is a person's.
pub(crate) const PARKED_AT_MOST: Duration = Duration::from_secs(3 * 24 * 3600);

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
        if told.names().any(is_card_number) {
            return Err(Error::Invalid { field: "payload", rule: NO_CARD_NUMBER });
        }
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

    /// Whether there is a new fact. `body` is that of a message that has just come.
    pub(crate) async fn hear(
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
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        // The payment first: whoever changes it waits here, and so does the same message on another way.
        let payment = payments::lock(&mut tx, id).await?;
        let first = match body {
            Some(_) => webhooks::insert(&mut tx, provider, &told.event, id).await?,
            None => webhooks::is_parked(&mut tx, provider, &told.event).await?,
        };
        if !first {
            metrics::webhook("repeated");
            return Ok(false);
        }
        let late = age > PARKED_AT_MOST;
        let (standing, fresh) = match payment {
            Some(payment) => self.apply_heard(&mut tx, payment, message, rule).await?,
            None if late => {
                stuck::open(&mut tx, id, Reason::WebhookRefused, NEVER_CAME).await?;
                (Standing::Refused(NEVER_CAME), false)
            }
            None => (Standing::Parked("no such payment"), false),
        };
        // As it was written when it came.
        if body.is_none() || standing != Standing::Applied {
            let said = body.map(|body| self.to_keep(message, body));
            webhooks::set(&mut tx, provider, &told.event, standing, said.as_deref(), WAITS).await?;
        }
        tx.commit().await?;
        metrics::webhook(match standing {
            Standing::Applied => "applied",
            Standing::Parked(_) => "parked",
            Standing::Refused(why) => {
                tracing::error!(payment = %id, event = told.event, why, "a webhook is refused and kept");
                "refused"
            }
        });
        if fresh || matches!(standing, Standing::Refused(_)) {
            self.wake.wake();
        }
        Ok(fresh)
    }

    /// What is heard again says the same, without whatever else looks like a card number in it.
    fn to_keep(&self, message: &Message<'_>, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let clean = without_card_numbers(&text);
        let again = self.providers.get(message.provider).map(|provider| provider.told(clean.as_bytes()));
        match again {
            Some(Reading::Told(again)) if again == *message.told => clean,
            Some(Reading::Told(_) | Reading::Ignored | Reading::Malformed) | None => text.into_owned(),
        }
    }

    async fn apply_heard(
        &self,
        conn: &mut sqlx::PgConnection,
        mut payment: Payment,
        message: &Message<'_>,
        rule: impl FnOnce(&mut Payment) -> Heard,
    ) -> Result<(Standing, bool), Error> {
        let (at, late) = (self.now(), message.age > PARKED_AT_MOST);
        let before = payment.attempts.clone();
        let mut heard = rule(&mut payment);
        if let (Heard::Early(_), true) = (&heard, late) {
            heard = Heard::Conflict(payment.refuse(&message.told.notice, NEVER_CAME));
        }
        // Nobody waits for what follows: the resolver takes it at once.
        let cause = Cause { resolution: None, lease: Duration::ZERO, at };
        let learned: Vec<Event>;
        match heard {
            Heard::Known => return Ok((Standing::Applied, false)),
            Heard::Early(why) => return Ok((Standing::Parked(why), false)),
            Heard::Conflict(conflict) => {
                let Conflict { reason, .. } = conflict;
                contradiction::note(conn, &payment, message.provider, &conflict, at).await?;
                self.save_attempts(conn, &payment, &before, at).await?;
                self.keep(conn, &payment, &[], cause).await?;
                return Ok((Standing::Refused(reason), false));
            }
            Heard::Recorded { facts, follow_up } => {
                learned = facts;
                if let Some(follow_up) = &follow_up {
                    note_fallback(&payment, follow_up);
                    attempts::insert(conn, payment.id, follow_up, Duration::ZERO, at).await?;
                }
                record(conn, &payment, &learned).await?;
                alert(&payment, &learned);
            }
        }
        self.save_attempts(conn, &payment, &before, at).await?;
        self.keep(conn, &payment, &learned, cause).await?;
        Ok((Standing::Applied, true))
    }
}

/// A name that is a card number and nothing else; ids have letters.
fn is_card_number(name: &str) -> bool {
    let number = name.trim_start_matches(|character: char| !character.is_ascii_digit());
    let digits = |character: char| character.is_ascii_digit() || matches!(character, ' ' | '-' | '.');
    number.chars().all(digits) && has_card_number(number)
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
