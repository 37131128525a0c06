//! Word of changed orders, from the process that changed them to every other. It decides nothing and carries no order: word that
//! is lost, late or doubled costs a watcher at most a second, so nothing is kept, repeated or waited for.
//!
//! Why not Postgres's NOTIFY: it would be part of every transaction that changes an order, whether or not anybody watches,
//! and commits with a NOTIFY go one at a time through a lock of the whole server. This is sent after the commit and beside
//! it, many changes in one message, and placing an order sends nothing: nobody can watch what is not there yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use futures::StreamExt as _;
use prost::Message as _;
use stampede_proto::order::v1::{OrderChanged, OrdersChanged};
use stampede_types::OrderId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Watching;

/// Relative to the event stream's prefix, and beside the stream, which does not keep it.
pub const SUBJECT: &str = "order.changed";
/// Orders that may wait to be told. Word of one more is dropped.
const MAX_WAITING: usize = 10_000;
/// Orders of one message, about 30 bytes each.
const ORDERS_OF_A_MESSAGE: usize = 1_000;
/// Word that comes this soon after other word waits and travels together.
const AT_MOST_EVERY: Duration = Duration::from_millis(5);
/// A NATS that takes longer is treated as one that is away.
const PUBLISH_WITHIN: Duration = Duration::from_millis(100);
/// When a subscription that could not be made, or that ended, is made again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// What waits to be told: the newest version of each order.
#[derive(Debug, Default)]
pub struct News {
    waiting: Mutex<HashMap<OrderId, i64>>,
    wake: Notify,
}

impl News {
    /// Tells every other process. Never waits.
    pub fn tell(&self, id: OrderId, version: i64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING && !waiting.contains_key(&id) {
            return;
        }
        let newest = waiting.entry(id).or_insert(version);
        *newest = version.max(*newest);
        drop(waiting);
        self.wake.notify_one();
    }

    fn take(&self) -> Vec<OrderChanged> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let wire = |(id, version): (OrderId, i64)| OrderChanged { order_id: id.uuid().into(), version };
        waiting.into_iter().map(wire).collect()
    }
}

/// Publishes what waits until it is told to stop: the first at once, what comes meanwhile together.
pub async fn publish(
    watching: Arc<Watching>,
    nats: Client,
    subject: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let news = watching.news();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = news.wake.notified() => {}
        }
        for orders in news.take().chunks(ORDERS_OF_A_MESSAGE) {
            send(&nats, &subject, orders).await;
        }
        tokio::time::sleep(AT_MOST_EVERY).await;
    }
}

/// Without a connection nothing is queued: told late it would be of no use.
async fn send(nats: &Client, subject: &str, orders: &[OrderChanged]) {
    if nats.connection_state() != State::Connected {
        return;
    }
    let message = OrdersChanged { orders: orders.to_vec() }.encode_to_vec();
    let sent = nats.publish(subject.to_owned(), message.into());
    if !matches!(tokio::time::timeout(PUBLISH_WITHIN, sent).await, Ok(Ok(()))) {
        tracing::debug!(orders = orders.len(), "word of changed orders was not sent");
    }
}

/// Hears of what other processes changed, until it is told to stop. The client subscribes again by itself when NATS comes back.
pub async fn hear(
    watching: Arc<Watching>,
    nats: Client,
    subject: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = follow(&watching, &nats, &subject) => {}
        }
        tokio::time::sleep(SUBSCRIBE_AGAIN).await;
    }
}

async fn follow(watching: &Watching, nats: &Client, subject: &str) {
    let mut messages = match nats.subscribe(subject.to_owned()).await {
        Ok(messages) => messages,
        Err(error) => {
            return tracing::warn!(%error, "other processes' changes of orders are seen by looking alone");
        }
    };
    while let Some(message) = messages.next().await {
        match OrdersChanged::decode(message.payload) {
            Ok(changed) => changed.orders.iter().for_each(|order| heard(watching, order)),
            Err(error) => tracing::warn!(%error, "word of changed orders cannot be read"),
        }
    }
}

fn heard(watching: &Watching, changed: &OrderChanged) {
    if let Ok(id) = Uuid::from_slice(&changed.order_id) {
        watching.heard(OrderId::new(id), changed.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_the_newest_of_each_order_and_never_more_than_so_many() {
        let news = News::default();
        let order = |id: usize| OrderId::new(Uuid::from_u128(id as u128));
        for id in 0..MAX_WAITING + 5 {
            news.tell(order(id), 2);
        }
        news.tell(order(7), 4);
        news.tell(order(7), 3);
        let taken = news.take();
        assert_eq!(taken.len(), MAX_WAITING);
        let seventh = taken.iter().find(|told| told.order_id == order(7).uuid().as_bytes()).unwrap();
        assert_eq!(seventh.version, 4);
        assert!(news.take().is_empty());
    }
}
