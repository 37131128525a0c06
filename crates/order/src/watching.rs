//! The orders somebody watches at this process, and the one reader that reads them again when they have changed. Watchers of one
//! order share what was read of it; each is told the newest it has not been told, so one that is slow, or stops, costs
//! nothing more. It never reads an order nobody watches, and no change of an order waits for it.
//!
//! A change is heard of at once, from this process or another (`news`). What was not heard of is found by looking: every
//! watched order, by its key, once a second.

pub mod news;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::nats::Stream;
use sqlx::PgPool;
use stampede_kit as kit;
use stampede_types::OrderId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::order::Order;
use crate::store;
use news::News;

/// How soon a change is seen that nobody told of.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Changes that come this soon after others are read together with the next.
const READ_AT_MOST_EVERY: Duration = Duration::from_millis(5);
/// Orders of one reading.
const READ_AT_ONCE: usize = 256;

type Newest = Option<Arc<Order>>;

/// One a process; it is bounded by the streams the process admits.
pub struct Watching {
    index: Mutex<Index>,
    changed: Notify,
    news: News,
}

#[derive(Default)]
struct Index {
    watched: HashMap<OrderId, Watched>,
    /// Told of and not read yet; only orders that are watched.
    stale: HashSet<OrderId>,
}

struct Watched {
    newest: watch::Sender<Newest>,
    members: usize,
}

/// A watcher's share in an order; dropping the last one forgets the order.
pub struct Member {
    id: OrderId,
    newest: watch::Receiver<Newest>,
    watching: Arc<Watching>,
}

/// Starts what keeps the watched orders fresh.
pub fn start(
    app: &mut kit::App,
    watching: &Arc<Watching>,
    db: &PgPool,
    nats: &async_nats::Client,
    stream: &Stream,
) {
    let subject = stream.live(news::SUBJECT);
    let (told, to, by) = (watching.clone(), nats.clone(), subject.clone());
    app.task("watch-tell", move |stop| news::publish(told, to, by, stop));
    let (heard, from) = (watching.clone(), nats.clone());
    app.task("watch-hear", move |stop| news::hear(heard, from, subject, stop));
    let (read, db) = (watching.clone(), db.clone());
    app.task("watch", move |stop| read.run(db, stop));
}

impl Watching {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { index: Mutex::default(), changed: Notify::new(), news: News::default() })
    }

    /// What other processes are told.
    pub fn news(&self) -> &News {
        &self.news
    }

    /// An order has come to this version, and it is committed: told to the watchers here and at the other processes. Cheap, and
    /// it never waits.
    pub fn changed(&self, id: OrderId, version: i64) {
        self.heard(id, version);
        self.news.tell(id, version);
    }

    /// The same, of another process's order.
    pub fn heard(&self, id: OrderId, version: i64) {
        let mut index = self.index();
        let older = index.watched.get(&id).is_some_and(|watched| watched.version() < version);
        if older && index.stale.insert(id) {
            drop(index);
            self.changed.notify_one();
        }
    }

    /// From now on every change of the order is seen. Read the order after this, and show it.
    pub fn join(self: &Arc<Self>, id: OrderId) -> Member {
        let mut index = self.index();
        let newest = match index.watched.entry(id) {
            Entry::Occupied(mut watched) => {
                watched.get_mut().members += 1;
                watched.get().newest.subscribe()
            }
            Entry::Vacant(place) => {
                let (newest, seen) = watch::channel(None);
                place.insert(Watched { newest, members: 1 });
                seen
            }
        };
        drop(index);
        Member { id, newest, watching: self.clone() }
    }

    /// Reads what has changed, until it is told to stop. A database that is away is waited for.
    pub async fn run(self: Arc<Self>, db: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
        let mut looked_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(looked_at + LOOK_EVERY) => {}
            }
            let look = looked_at.elapsed() >= LOOK_EVERY;
            if look {
                looked_at = Instant::now();
            }
            if let Err(error) = self.read(&db, look).await {
                tracing::warn!(%error, "watched orders were not read; the next look finds what has changed");
            }
            tokio::time::sleep(READ_AT_MOST_EVERY).await;
        }
    }

    /// Reads the watched orders that were told of, or all of them, as far as they are newer than what is shown.
    async fn read(&self, db: &PgPool, all: bool) -> Result<(), sqlx::Error> {
        for due in self.take(all).chunks(READ_AT_ONCE) {
            let mut conn = db.acquire().await?;
            let newer = store::orders::newer(&mut conn, due).await?;
            drop(conn);
            newer.into_iter().for_each(|order| self.show(Arc::new(order)));
        }
        Ok(())
    }

    /// What is to be read, with the version that is shown; 0 where none is.
    fn take(&self, all: bool) -> Vec<(OrderId, i64)> {
        let mut index = self.index();
        let stale = std::mem::take(&mut index.stale);
        let shown = |(id, watched): (&OrderId, &Watched)| (*id, watched.version());
        if all {
            return index.watched.iter().map(shown).collect();
        }
        stale.iter().filter_map(|id| index.watched.get_key_value(id)).map(shown).collect()
    }

    /// Takes an order in, in whatever order readings end: the newer one stays.
    fn show(&self, order: Arc<Order>) {
        if let Some(watched) = self.index().watched.get(&order.id) {
            watched.newest.send_if_modified(|newest| {
                let news = version(newest) < order.version;
                if news {
                    *newest = Some(order);
                }
                news
            });
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn version(&self) -> i64 {
        version(&self.newest.borrow())
    }
}

impl Member {
    /// Everybody who watches the order sees it.
    pub fn show(&self, order: Order) {
        self.watching.show(Arc::new(order));
    }

    /// The newest of the order, when it is newer than this version.
    pub fn newer_than(&mut self, told: i64) -> Newest {
        self.newest.borrow_and_update().clone().filter(|order| order.version > told)
    }

    /// Wakes when the order has changed.
    pub async fn changed(&mut self) {
        // The sender lives as long as its members.
        let _ = self.newest.changed().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut index = self.watching.index();
        if let Entry::Occupied(mut watched) = index.watched.entry(self.id) {
            watched.get_mut().members -= 1;
            if watched.get().members == 0 {
                watched.remove();
                index.stale.remove(&self.id);
            }
        }
    }
}

fn version(newest: &Newest) -> i64 {
    newest.as_ref().map_or(0, |order| order.version)
}
