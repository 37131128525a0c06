//! Carries the outbox's rows to JetStream: one relay leads per database, the others stand by. It survives the absence
//! of either side by trying again, and never ends with an error because of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use sqlx::{Connection as _, PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publish::Publisher;
use super::rows;
use super::watch::Watch;
use crate::nats::{self, Stream};
use crate::postgres::microseconds;
use crate::task;

/// "STAMPEDE" in ASCII: the advisory lock of the relay that leads.
const LOCK: i64 = 0x5354_414D_5045_4445;
/// Rows and payload bytes of one batch: what is in memory and in flight at once.
const BATCH_ROWS: usize = 1000;
const BATCH_BYTES: i64 = 8 * 1024 * 1024;
/// How long an event can wait when nobody wakes the relay.
const POLL: Duration = Duration::from_millis(100);
/// How often a relay that stands by asks whether it may lead.
const STAND_BY: Duration = Duration::from_secs(1);
/// The longest pause behind a batch that was not full. It is as long as the batch took: what gathers meanwhile makes the next one
/// larger, and the relay takes half of the time of a session and no more, on a slow machine too. Behind a full batch there is
/// a backlog and no pause, and the first event after silence waits for nothing.
const GATHER: Duration = Duration::from_millis(10);
/// Rows of one statement that makes them unpublished again.
const CHUNK: i64 = 5_000;
/// How far Postgres's clock and NATS's may differ; within it an event is rather published twice than not.
const SKEW: Duration = Duration::from_secs(5);

/// Wakes the relay after a commit, so that an event does not wait for the next poll.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

#[derive(Debug, Clone)]
pub struct Relay {
    pool: PgPool,
    client: async_nats::Client,
    stream: Stream,
    wake: Wake,
}

/// Runs the relay on the default stream until `stop`.
pub async fn relay(pool: PgPool, client: async_nats::Client, stop: CancellationToken) -> anyhow::Result<()> {
    Relay::new(pool, client).run(stop).await
}

impl Relay {
    pub fn new(pool: PgPool, client: async_nats::Client) -> Self {
        Self { pool, client, stream: Stream::default(), wake: Wake::default() }
    }

    pub fn stream(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    pub fn wake(self, wake: Wake) -> Self {
        Self { wake, ..self }
    }

    /// Relays until `stop`. What is unpublished then is the next relay's.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let mut progress = false;
            match stop.run_until_cancelled(self.lead(&mut progress)).await {
                None => break,
                Some(Ok(())) => failures = 0,
                Some(Err(error)) => {
                    failures = if progress { 0 } else { failures + 1 };
                    tracing::warn!(error = format!("{error:#}"), failures, "the outbox's relay tries again");
                    task::back_off(failures, &stop).await;
                }
            }
        }
        Ok(())
    }

    /// Leads until something fails; returns `Ok` after a pause when somebody else leads. Everything goes through the one
    /// session that holds the lock: when it dies, so does the lead, and no statement of an overthrown leader succeeds.
    async fn lead(&self, progress: &mut bool) -> anyhow::Result<()> {
        let mut session =
            PgConnection::connect_with(&self.pool.connect_options()).await.context("Postgres")?;
        if !rows::try_lead(&mut session, LOCK).await? {
            session.close().await?;
            tokio::time::sleep(STAND_BY).await;
            return Ok(());
        }
        let mut watch = Watch::new();
        // Before NATS is needed: when it is away, the backlog is what one wants to see.
        watch.measure(&mut session).await?;
        let made_at = self.refill(&mut session).await?;
        let publisher = Publisher::new(self.client.clone(), self.stream.clone(), BATCH_ROWS);
        loop {
            if watch.look_after(&mut session).await? {
                self.still_has(made_at).await?;
            }
            let began = Instant::now();
            let rows = rows::unpublished(&mut session, BATCH_ROWS as i64, BATCH_BYTES).await?;
            if rows.is_empty() {
                *progress = true;
                self.idle().await;
                continue;
            }
            self.reachable()?;
            let full = rows.len() >= BATCH_ROWS;
            let outcome = publisher.publish(rows).await;
            rows::mark_published(&mut session, &outcome.published).await?;
            watch.published.add(outcome.published.len() as u64, &[]);
            *progress |= !outcome.published.is_empty();
            if let Some(failure) = outcome.failure {
                return Err(failure.context("publishing"));
            }
            if !full {
                tokio::time::sleep(began.elapsed().min(GATHER)).await;
            }
        }
    }

    async fn idle(&self) {
        // Either way it looks again; the poll finds what was committed without a wake or by another process.
        let _ = tokio::time::timeout(POLL, self.wake.0.notified()).await;
    }

    /// Publishing to a client that is not connected would fill its buffer with what is sent again later anyway.
    fn reachable(&self) -> anyhow::Result<()> {
        let state = self.client.connection_state();
        ensure!(state == async_nats::connection::State::Connected, "NATS is {state}");
        Ok(())
    }

    /// Makes the stream if it is gone. When it is another than the one that had what was published, all that was written before it
    /// was made waits again. The inboxes know what they have had.
    async fn refill(&self, session: &mut PgConnection) -> anyhow::Result<OffsetDateTime> {
        self.reachable()?;
        let made_at = microseconds(nats::ensure(&self.client, &self.stream).await?.created);
        if rows::filled(session, &self.stream.name).await? == Some(made_at) {
            return Ok(made_at);
        }
        let (mut after, mut lost) = (i64::MIN, 0);
        loop {
            let pass = rows::wait_again(session, after, made_at + SKEW, CHUNK).await?;
            lost += pass.done;
            let Some(on) = pass.goes_on_after() else { break };
            after = on;
        }
        rows::set_filled(session, &self.stream.name, made_at).await?;
        if lost > 0 {
            tracing::warn!(
                lost,
                stream = self.stream.name,
                "the stream is younger than its events: publishing again"
            );
        }
        Ok(made_at)
    }

    /// Ends the lead when the stream is gone or was made anew by somebody else, so that the next lead fills it again: a relay
    /// with nothing to send would not notice otherwise. A NATS that is away says nothing about its stream.
    async fn still_has(&self, made_at: OffsetDateTime) -> anyhow::Result<()> {
        if self.reachable().is_err() {
            return Ok(());
        }
        let stored = jetstream::new(self.client.clone()).get_stream(&self.stream.name).await;
        let now_made_at = microseconds(stored.context("the stream")?.cached_info().created);
        ensure!(now_made_at == made_at, "the stream was lost and made again at {now_made_at}");
        Ok(())
    }
}
