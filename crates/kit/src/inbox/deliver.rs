//! One message from its arrival to its acknowledgement: once, again later, or dead. It never acknowledges what is not
//! committed, and never calls a message dead because Postgres was away.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_nats::jetstream;
use async_nats::jetstream::AckKind;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use moka::sync::Cache;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{ATTEMPTS, ConsumerConfig, Message, Poison, dead, first_time};
use crate::nats::{self, header};
use crate::{metrics, postgres, task, telemetry};

/// A handler that takes longer is rolled back; less than NATS waits for the acknowledgement.
const HANDLE_WITHIN: Duration = Duration::from_secs(20);
/// Events whose failures are remembered, and for how long.
const REMEMBERED: u64 = 10_000;
const REMEMBER_FOR: Duration = Duration::from_secs(3600);

pub(super) struct Delivery<H> {
    pool: PgPool,
    client: async_nats::Client,
    config: ConsumerConfig,
    handler: H,
    stop: CancellationToken,
    /// Failures by event. NATS's own count also grows while Postgres is away, so it cannot tell who is poisoned.
    failures: Cache<Uuid, u32>,
    handled: Counter<u64>,
    seconds: Histogram<f64>,
    since_written: Histogram<f64>,
}

/// What became of one attempt.
enum End {
    Committed,
    Repeated,
    /// Postgres was away: wait and try the same message again.
    Outage(anyhow::Error),
    Failed(anyhow::Error),
}

impl<H> Delivery<H>
where
    H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
        + Send
        + Sync
        + 'static,
{
    pub(super) fn new(
        pool: PgPool,
        client: async_nats::Client,
        config: ConsumerConfig,
        handler: H,
        stop: CancellationToken,
    ) -> Self {
        let failures = Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBER_FOR).build();
        let handled = metrics::counter("inbox_handled", "Events that were handled, by outcome");
        let seconds = metrics::seconds("inbox_handling", "Time from an event's arrival to its settlement");
        let since_written = metrics::ages(
            "inbox_since_written",
            "Time from the transaction that wrote an event to its effect here",
        );
        Self { pool, client, config, handler, stop, failures, handled, seconds, since_written }
    }

    /// Handles one message and tells NATS what became of it. What cannot be told is delivered again.
    pub(super) async fn settle(&self, taken: jetstream::Message) {
        if self.stop.is_cancelled() {
            // Somebody else, or the next process, takes it at once.
            acknowledge(&taken, AckKind::Nak(None)).await;
            return;
        }
        if !self.is_asked_for(&taken) {
            acknowledge(&taken, AckKind::Ack).await;
            return;
        }
        let started = Instant::now();
        let outcome = match self.parse(&taken) {
            Ok(message) => {
                let parent = header_of(&taken, header::TRACEPARENT);
                let span = match parent.is_some() || telemetry::begins_recorded() {
                    true => {
                        tracing::info_span!("consume", consumer = self.config.name, subject = message.subject)
                    }
                    false => tracing::Span::none(),
                };
                let span = telemetry::with_traceparent(span, parent);
                self.settle_event(&taken, message).instrument(span).await
            }
            Err(error) => self.bury(&taken, None, &error).await,
        };
        let labels = [KeyValue::new("consumer", self.config.name), KeyValue::new("outcome", outcome)];
        self.handled.add(1, &labels);
        self.seconds.record(started.elapsed().as_secs_f64(), &labels[..1]);
    }

    async fn settle_event(&self, taken: &jetstream::Message, message: Message) -> &'static str {
        let mut outages = 0;
        loop {
            match self.attempt(&message).await {
                End::Committed => {
                    let age = (self.config.clock.now() - message.at).as_seconds_f64();
                    self.since_written.record(age.max(0.0), &[KeyValue::new("consumer", self.config.name)]);
                    self.failures.invalidate(&message.id);
                    acknowledge(taken, AckKind::Ack).await;
                    return "committed";
                }
                End::Repeated => {
                    acknowledge(taken, AckKind::Ack).await;
                    return "repeated";
                }
                End::Outage(error) => {
                    outages += 1;
                    tracing::warn!(error = format!("{error:#}"), outages, event = %message.id, "an event waits for Postgres");
                    acknowledge(taken, AckKind::Progress).await;
                    task::back_off(outages, &self.stop).await;
                    if self.stop.is_cancelled() {
                        acknowledge(taken, AckKind::Nak(None)).await;
                        return "outage";
                    }
                }
                End::Failed(error) if error.is::<Poison>() || message.attempt >= ATTEMPTS => {
                    return self.bury(taken, Some(&message), &error).await;
                }
                End::Failed(error) => {
                    self.failures.insert(message.id, message.attempt);
                    let (attempt, event) = (message.attempt, message.id);
                    tracing::warn!(error = format!("{error:#}"), attempt, %event, "an event failed and comes again");
                    acknowledge(taken, AckKind::Nak(Some(task::pause_after(attempt)))).await;
                    return "failed";
                }
            }
        }
    }

    async fn attempt(&self, message: &Message) -> End {
        let transaction = match crate::postgres::begin(&self.pool).await {
            Ok(transaction) => transaction,
            // Nothing of the message has been seen yet, so it is not to blame.
            Err(error) => return End::Outage(error.into()),
        };
        // What a panicking handler leaves behind is its transaction, which is rolled back.
        let handling = AssertUnwindSafe(self.handle(transaction, message)).catch_unwind();
        let handled = match tokio::time::timeout(HANDLE_WITHIN, handling).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(_)) => Err(anyhow!("the handler panicked")),
            Err(_) => Err(anyhow!("the handler took longer than {HANDLE_WITHIN:?}")),
        };
        match handled {
            Ok(true) => End::Committed,
            Ok(false) => End::Repeated,
            Err(error) if is_outage(&error) => End::Outage(error),
            Err(error) => End::Failed(error),
        }
    }

    /// Whether it was the first time.
    async fn handle(
        &self,
        mut transaction: Transaction<'static, Postgres>,
        message: &Message,
    ) -> anyhow::Result<bool> {
        if !first_time(&mut transaction, self.config.name, message.id).await? {
            return Ok(false);
        }
        (self.handler)(&mut transaction, message).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Out of the main flow, kept for a person; acknowledged only when the dead letter is stored.
    async fn bury(
        &self,
        taken: &jetstream::Message,
        message: Option<&Message>,
        error: &anyhow::Error,
    ) -> &'static str {
        let reason = format!("{error:#}");
        let event = message.map(|message| message.id.to_string());
        let attempts = message.map_or(0, |message| message.attempt);
        if let Err(failure) = dead::bury(&self.client, &self.config, taken, attempts, &reason).await {
            tracing::error!(
                error = format!("{failure:#}"),
                event,
                reason,
                "a dead letter could not be stored"
            );
            acknowledge(taken, AckKind::Nak(Some(task::pause_after(ATTEMPTS)))).await;
            return "failed";
        }
        tracing::error!(consumer = self.config.name, subject = %taken.subject, event, reason, "an event is dead");
        if let Some(message) = message {
            self.failures.invalidate(&message.id);
        }
        acknowledge(taken, AckKind::Ack).await;
        "dead"
    }

    /// Whether it is of a subject that is heard here, and, when it was a dead letter, a letter of this consumer's.
    fn is_asked_for(&self, taken: &jetstream::Message) -> bool {
        let subject = self.config.stream.relative(&taken.subject);
        let for_others =
            header_of(taken, header::REPLAYED_FOR).is_some_and(|consumer| consumer != self.config.name);
        !for_others && self.config.subjects.iter().any(|pattern| nats::matches(pattern, subject))
    }

    fn parse(&self, taken: &jetstream::Message) -> anyhow::Result<Message> {
        let text = |name: &'static str| {
            header_of(taken, name).with_context(|| format!("the header {name} is missing"))
        };
        let id: Uuid = text(header::CE_ID)?.parse().context("ce-id is not a UUID")?;
        let at = OffsetDateTime::parse(text(header::CE_TIME)?, &Rfc3339).context("ce-time is not a time")?;
        Ok(Message {
            id,
            subject: self.config.stream.relative(&taken.subject).to_owned(),
            key: header::decoded(text(header::CE_PARTITION_KEY)?),
            payload: taken.payload.clone(),
            at,
            attempt: self.failures.get(&id).unwrap_or(0) + 1,
        })
    }
}

pub(super) fn header_of<'a>(taken: &'a jetstream::Message, name: &'static str) -> Option<&'a str> {
    taken.headers.as_ref()?.get(name).map(async_nats::HeaderValue::as_str)
}

/// An acknowledgement that does not arrive costs a repetition, which the inbox knows.
async fn acknowledge(taken: &jetstream::Message, kind: AckKind) {
    if let Err(error) = taken.ack_with(kind).await {
        tracing::debug!(%error, "an acknowledgement was not sent");
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<sqlx::Error>()).any(postgres::is_outage)
}
