//! The stock feed: one reader of the ledger's changes for all watchers of this process. Watchers who ask the same share one
//! view of the levels and the very bytes they are sent; a watcher is a place in its view, so one that is slow, or stops, costs
//! nothing more and gets the newest levels when it goes on. Nobody watching, nothing is read.

mod message;
mod registry;
pub mod token;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Bytes;
use uuid::Uuid;

pub use message::HEADER_BYTES;
pub use registry::{Filter, Member};
pub use view::{Place, TooMany};

use crate::store;
use crate::store::feed::{Point, Seen};
use message::Heartbeats;
use registry::Registry;
use token::Seal;
use view::View;

/// How soon a change made by another process is seen.
const EVERY: Duration = Duration::from_millis(100);
/// How often a change made here is looked for while there are many.
const AT_MOST_EVERY: Duration = Duration::from_millis(20);
/// Changed levels of one look. When there are more, every view is read afresh instead.
const MAX_CHANGES: usize = 10_000;
/// Views read afresh at once.
const REFRESHES: usize = 4;

pub struct Feed {
    seal: Seal,
    /// Everything up to here is in every view.
    point: Mutex<Point>,
    /// What the last look saw; none while nobody watches.
    seen: tokio::sync::Mutex<Option<Seen>>,
    registry: Arc<Registry>,
    heartbeats: Heartbeats,
}

impl Feed {
    pub async fn start(db: &PgPool) -> Result<Self, sqlx::Error> {
        let (feed_id, secret) = store::feed::identity(&mut *db.acquire().await?).await?;
        Ok(Self {
            seal: Seal::new(feed_id, secret),
            point: Mutex::default(),
            seen: tokio::sync::Mutex::default(),
            registry: Arc::default(),
            heartbeats: Heartbeats::default(),
        })
    }

    /// Whose feed this is: one ledger's, in every process.
    pub fn id(&self) -> Uuid {
        self.seal.feed_id()
    }

    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Up to where everything is in every view. Read it before looking for news in a view.
    pub fn point(&self) -> Point {
        *self.point.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every change that passes the filter comes into the view this watcher shares.
    pub async fn join(&self, db: &PgPool, filter: Filter) -> Result<Member, sqlx::Error> {
        let member = Registry::join(&self.registry, filter);
        let mut seen = self.seen.lock().await;
        if seen.is_none() {
            // Before any view is read: what commits after this is handed out, what committed before it is read.
            let first = store::feed::seen(&mut *db.acquire().await?).await?;
            self.stand_at(first.point);
            *seen = Some(first);
        }
        Ok(member)
    }

    /// The heartbeat of a watcher that has been told everything below `point`.
    pub fn heartbeat(&self, point: Point, told: i64, at: time::OffsetDateTime) -> Bytes {
        self.heartbeats.at(&self.seal, point, told, at)
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

    /// Takes what has changed into the views, as far as it has been committed now.
    pub async fn read(&self, db: &PgPool) -> Result<(), sqlx::Error> {
        let mut seen = self.seen.lock().await;
        if self.registry.is_empty() {
            *seen = None;
            return Ok(());
        }
        let Some(before) = seen.as_ref() else { return Ok(()) };
        let mut conn = db.acquire().await?;
        // What is seen now is asked before the changes: what commits in between is read now and once more, never missed.
        let now = store::feed::seen(&mut conn).await?;
        let limit = i64::try_from(MAX_CHANGES).unwrap_or(i64::MAX);
        let changes = store::feed::changed_since(&mut conn, before, limit).await?;
        drop(conn);
        if changes.len() < MAX_CHANGES {
            self.registry.hand_out(&changes, now.point);
        } else {
            self.refresh(db, now.point).await?;
        }
        self.stand_at(now.point);
        *seen = Some(now);
        Ok(())
    }

    /// More has changed than is told cell by cell: every view is read as a whole.
    async fn refresh(&self, db: &PgPool, point: Point) -> Result<(), sqlx::Error> {
        let views = self.registry.views();
        tracing::info!(views = views.len(), "so much has changed that every view is read afresh");
        let mut refreshed = futures::stream::iter(views)
            .map(|view| async move { view.refresh(&mut *db.acquire().await?, point).await })
            .buffer_unordered(REFRESHES);
        while let Some(refreshed) = refreshed.next().await {
            refreshed?;
        }
        Ok(())
    }

    fn stand_at(&self, point: Point) {
        *self.point.lock().unwrap_or_else(PoisonError::into_inner) = point;
    }
}
