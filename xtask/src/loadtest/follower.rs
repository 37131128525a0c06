//! A consumer that only takes the time: from an order's transaction to its event. It never acknowledges, and nobody waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures::StreamExt as _;
use hdrhistogram::Histogram;
use stampede_kit::clock::Clock;
use stampede_kit::{Secret, nats, task};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;

/// What the keys of a backlog's rows begin with.
pub(super) const BACKLOG_KEY: &str = "backlog-";

/// Reads what is told of placed orders from its start on, as a consumer does, and how long ago each transaction began, in
/// microseconds. The backlog's rows and orders placed before the start are passed over.
pub(super) struct Follower {
    times: Arc<Mutex<Histogram<u64>>>,
    task: JoinHandle<()>,
}

impl Follower {
    pub(super) async fn start(url: &str) -> anyhow::Result<Self> {
        let times = Arc::new(Mutex::new(Histogram::new_with_bounds(1, 3_600_000_000, 3)?));
        let (client, stream) = (nats::connect(&Secret::new(url)).await?, nats::Stream::default());
        nats::ensure(&client, &stream).await?;
        let stored = async_nats::jetstream::new(client).get_stream(&stream.name).await?;
        let only = OrderedConfig {
            filter_subject: stream.subject("order.placed"),
            deliver_policy: DeliverPolicy::New,
            ..OrderedConfig::default()
        };
        let mut told = stored.create_consumer(only).await?.messages().await?;
        let (into, began) = (times.clone(), Clock::system().now());
        let task = task::spawn("consumer", async move {
            while let Some(Ok(message)) = told.next().await {
                if let Some(at) = placed_at(&message).filter(|at| *at >= began) {
                    let micros = (Clock::system().now() - at).whole_microseconds();
                    let micros = u64::try_from(micros).unwrap_or(1).max(1);
                    into.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
                }
            }
        });
        Ok(Self { times, task })
    }

    pub(super) fn end(self) -> Histogram<u64> {
        self.task.abort();
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When the order's transaction began; nothing for a row of the backlog.
fn placed_at(message: &Message) -> Option<OffsetDateTime> {
    let headers = message.headers.as_ref()?;
    let key = headers.get(nats::header::CE_PARTITION_KEY)?;
    let at = headers.get(nats::header::CE_TIME).filter(|_| !key.as_str().starts_with(BACKLOG_KEY))?;
    OffsetDateTime::parse(at.as_str(), &Rfc3339).ok()
}
