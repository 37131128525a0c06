//! A durable pull consumer: it takes messages from JetStream and puts them into lanes by key, so that different keys
//! go at once and one key goes in order. It survives the absence of NATS by trying again, and never ends because of it.
//!
//! An event that fails and comes again may come after a later one of its key: what a handler does must not depend on
//! the order, only be the better for it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use futures::StreamExt as _;
use futures::future::{BoxFuture, join, join_all};
use sqlx::{PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::deliver::Delivery;
use super::{ConsumerConfig, Message, dead};
use crate::{nats, task};

/// Keys that are handled at once; each may hold one connection of the pool.
const LANES: usize = 4;
/// Messages that wait in one lane.
const LANE_DEPTH: usize = 64;
/// Messages that one process has taken and not yet acknowledged.
const TAKEN_AT_ONCE: usize = 256;
/// NATS delivers what was not acknowledged by then again; a handler is given less.
pub(super) const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
const PULL_FOR: Duration = Duration::from_secs(30);

/// One message on its way to its lane.
pub(super) struct Taken {
    pub message: jetstream::Message,
    pub at: Instant,
}

/// Hears events until `stop`. The handler gets the connection of the transaction that also writes the inbox row: both
/// commit or neither does. An error rolls back and the event comes again, `ATTEMPTS` times, then it goes to the subject
/// `dead.<consumer>`; a `Poison` goes there at once. While Postgres is away nothing counts as an attempt.
pub async fn consume<H>(
    pool: PgPool,
    client: Client,
    config: ConsumerConfig,
    handler: H,
    stop: CancellationToken,
) -> anyhow::Result<()>
where
    H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
        + Send
        + Sync
        + 'static,
{
    let delivery = Delivery::new(pool, client.clone(), config.clone(), handler, stop.clone());
    // On the heap: it lives as long as the process, and whoever starts it should not carry its size.
    let listening = Box::pin(keep_listening(&client, &config, &delivery, &stop));
    join(listening, Box::pin(dead::count(&client, &config, &stop))).await;
    Ok(())
}

async fn keep_listening<H>(
    client: &Client,
    config: &ConsumerConfig,
    delivery: &Delivery<H>,
    stop: &CancellationToken,
) where
    H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
        + Send
        + Sync
        + 'static,
{
    let mut failures = 0;
    while !stop.is_cancelled() {
        match listen(client, config, delivery, stop).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                let error = format!("{error:#}");
                tracing::warn!(error, failures, consumer = config.name, "the consumer tries again");
                task::back_off(failures, stop).await;
            }
        }
    }
}

/// Takes messages until the subscription ends or `stop` comes; then the lanes finish what they are at and end.
async fn listen<H>(
    client: &Client,
    config: &ConsumerConfig,
    delivery: &Delivery<H>,
    stop: &CancellationToken,
) -> anyhow::Result<()>
where
    H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
        + Send
        + Sync
        + 'static,
{
    let subscribed = stop.run_until_cancelled(subscribe(client, config)).await;
    let Some(mut messages) = subscribed.transpose()? else { return Ok(()) };
    let (doors, lanes): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(LANE_DEPTH)).unzip();
    let take = async move {
        while let Some(next) = stop.run_until_cancelled(messages.next()).await {
            let message = next.context("the subscription ended")?.context("taking a message")?;
            let lane = &doors[lane_of(&message)];
            // A lane ends only after its door, so this fails never; it waits while the lane is full.
            let _ = lane.send(Taken { message, at: Instant::now() }).await;
        }
        anyhow::Ok(())
    };
    let work = join_all(lanes.into_iter().map(|lane| work(lane, delivery)));
    let (taken, _) = join(take, work).await;
    taken
}

async fn subscribe(client: &Client, config: &ConsumerConfig) -> anyhow::Result<pull::Stream> {
    let jetstream = jetstream::new(client.clone());
    if !config.mirrored {
        nats::ensure(client, &config.stream).await.context("the stream")?;
    }
    let stored = jetstream.get_stream(&config.stream.name).await.context("the stream")?;
    // A consumer that was put back to a position keeps it: JetStream lets nobody change it under its name.
    let deliver_policy = match stored.consumer_info(config.name).await {
        Ok(present) => present.config.deliver_policy,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => DeliverPolicy::All,
        Err(error) => return Err(anyhow::Error::new(error).context("the consumer")),
    };
    let mut subjects: Vec<_> = config.subjects.iter().map(|subject| config.stream.subject(subject)).collect();
    // Several filters need NATS 2.10; an older server ignores them, and the delivery passes over what was not asked for.
    let only = if subjects.len() == 1 { subjects.pop() } else { None };
    let consumer = stored
        .create_consumer(pull::Config {
            durable_name: Some(config.name.to_owned()),
            filter_subject: only.unwrap_or_default(),
            filter_subjects: subjects,
            deliver_policy,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACKNOWLEDGE_WITHIN,
            max_ack_pending: TAKEN_AT_ONCE as i64,
            // Attempts are counted here, where an outage can be told from a poisoned message.
            max_deliver: -1,
            ..pull::Config::default()
        })
        .await
        .context("the consumer")?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(TAKEN_AT_ONCE)
        .expires(PULL_FOR)
        .heartbeat(HEARTBEAT)
        .messages()
        .await?;
    Ok(messages)
}

async fn work<H>(mut lane: mpsc::Receiver<Taken>, delivery: &Delivery<H>)
where
    H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
        + Send
        + Sync
        + 'static,
{
    while let Some(taken) = lane.recv().await {
        // NATS has given up on it and delivers it again: handling this copy too would only be work.
        if taken.at.elapsed() < ACKNOWLEDGE_WITHIN {
            delivery.settle(taken.message).await;
        }
    }
}

fn lane_of(message: &jetstream::Message) -> usize {
    let key = message.headers.as_ref().and_then(|headers| headers.get(nats::header::CE_PARTITION_KEY));
    let mut hasher = DefaultHasher::new();
    key.map(async_nats::HeaderValue::as_str).unwrap_or_default().hash(&mut hasher);
    (hasher.finish() % LANES as u64) as usize
}
