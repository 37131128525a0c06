//! The stock feed: one reader of the ledger's changes for all watchers of this process. Every change of every process is
//! seen, in whatever order transactions commit; a slow watcher gets the newest level of what it missed, and costs no more.

pub mod token;
mod watcher;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use watcher::{Filter, Registration};

use crate::store;
use crate::store::feed::Point;
use token::Seal;
use watcher::Registry;

/// How soon a change made by another process is seen.
const EVERY: Duration = Duration::from_millis(100);
/// How often a change made here is looked for while there are many.
const AT_MOST_EVERY: Duration = Duration::from_millis(20);

pub struct Feed {
    seal: Seal,
    /// Everything up to here has been handed to the watchers.
    point: Mutex<Point>,
    registry: Arc<Registry>,
}

impl Feed {
    /// Begins where the ledger stands.
    pub async fn start(db: &PgPool) -> Result<Self, sqlx::Error> {
        let mut conn = db.acquire().await?;
        let (feed_id, secret) = store::feed::identity(&mut conn).await?;
        let point = store::feed::point(&mut conn).await?;
        Ok(Self { seal: Seal::new(feed_id, secret), point: Mutex::new(point), registry: Arc::default() })
    }

    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Whose feed this is: one ledger's, in every process.
    pub fn id(&self) -> Uuid {
        self.seal.feed_id()
    }

    /// Up to where everything has been handed out. Read it before taking what was handed out.
    pub fn point(&self) -> Point {
        *self.point.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every change that passes the filter is kept for this watcher.
    pub fn register(&self, filter: Filter) -> Registration {
        Registry::register(&self.registry, filter)
    }

    /// Reads changes until it is told to stop: soon after a commit of this process, and at least ten times a second.
    pub async fn run(
        self: Arc<Self>,
        db: PgPool,
        changed: Arc<Notify>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = changed.notified(), if !self.registry.is_empty() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.read(&db).await {
                tracing::warn!(%error, "the feed was not read");
            }
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
    }

    async fn read(&self, db: &PgPool) -> Result<(), sqlx::Error> {
        let mut conn = db.acquire().await?;
        // The new point comes before the changes: what commits in between is read now and once more, never missed.
        let next = store::feed::point(&mut conn).await?;
        let changes = store::feed::changed_since(&mut conn, self.point().horizon).await?;
        self.registry.hand_out(&changes);
        *self.point.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}
