//! The ledger: group commit in front of Postgres. What has gathered is decided by the books in one transaction and answered
//! when it is durable. A batch that fails for one member's sake is repeated member by member, so that neighbours succeed.

mod hold;
mod resolve;

use std::sync::Arc;

use futures::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use stampede_kit::batch::{Batcher, Limits};
use stampede_kit::{outbox, postgres};
use stampede_types::ReservationId;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::domain::{Changes, Demand, Line, Reservation, Resolution, Resolved};
use crate::error::Error;
use crate::{events, store};
pub(crate) use resolve::lock;

/// One writer: on a hot row a second one would only wait for the first one's lock, with a smaller batch in its hands.
const HOLDS: Limits = Limits { batch: 256, writers: 1, queue: 8_192 };
const RESOLUTIONS: Limits = Limits { batch: 256, writers: 2, queue: 8_192 };
const LOOKUPS: Limits = Limits { batch: 256, writers: 1, queue: 8_192 };
/// A lone request meets the same trouble at most this often: a lost race is over at the second time.
const ATTEMPTS: usize = 3;

/// A reservation, and whether this request made it.
#[derive(Debug, Clone)]
pub struct Held {
    pub reservation: Reservation,
    pub fresh: bool,
}

/// Who wants which reservation to end how.
#[derive(Debug, Clone)]
pub struct Ending {
    pub id: ReservationId,
    pub resolution: Resolution,
    /// Only these lines are sold, or these are kept of a release; none means that it ends whole.
    pub part: Vec<Line>,
}

/// What became of an ending.
#[derive(Debug, Clone)]
pub struct Settled {
    pub reservation: Reservation,
    pub resolved: Resolved,
    /// What nobody holds any more, of each line.
    pub freed: Vec<Line>,
    /// The first movement of its transaction.
    pub number: i64,
}

/// Whom to wake after a commit of this process.
#[derive(Debug, Clone, Default)]
pub struct AfterCommit {
    pub outbox: outbox::Wake,
    pub feed: Arc<Notify>,
}

impl AfterCommit {
    pub fn wake(&self) {
        self.outbox.wake();
        self.feed.notify_one();
    }
}

#[derive(Debug, Clone)]
pub struct Ledger {
    demands: Batcher<Demand, Result<Held, Error>>,
    endings: Batcher<Ending, Result<Settled, Error>>,
    lookups: Batcher<ReservationId, Result<Option<Reservation>, Error>>,
    pub after_commit: AfterCommit,
}

impl Ledger {
    pub fn start(db: &PgPool, after_commit: AfterCommit) -> Self {
        let (pool, after) = (db.clone(), after_commit.clone());
        let demands = Batcher::start("ledger-hold", HOLDS, move |demands: Vec<Demand>| {
            let (pool, after) = (pool.clone(), after.clone());
            async move { together(&pool, &after, demands, hold::apply).await }
        });
        let (pool, after) = (db.clone(), after_commit.clone());
        let endings = Batcher::start("ledger-resolve", RESOLUTIONS, move |endings: Vec<Ending>| {
            let (pool, after) = (pool.clone(), after.clone());
            async move { together(&pool, &after, endings, resolve::apply).await }
        });
        let pool = db.clone();
        let lookups = Batcher::start("ledger-lookup", LOOKUPS, move |ids: Vec<ReservationId>| {
            let pool = pool.clone();
            async move { look_up(&pool, &ids).await }
        });
        Self { demands, endings, lookups, after_commit }
    }

    /// Holds or deducts; durable when it answers.
    pub async fn demand(&self, demand: Demand) -> Result<Held, Error> {
        self.demands.submit(demand).await?
    }

    /// Ends a reservation; durable when it answers.
    pub async fn resolve(&self, ending: Ending) -> Result<Settled, Error> {
        self.endings.submit(ending).await?
    }

    pub async fn find(&self, id: ReservationId) -> Result<Option<Reservation>, Error> {
        self.lookups.submit(id).await?
    }
}

type Answers<R> = Result<Vec<Result<R, Error>>, sqlx::Error>;

async fn together<T, R>(
    db: &PgPool,
    after: &AfterCommit,
    items: Vec<T>,
    apply: for<'a> fn(&'a PgPool, &'a [T]) -> BoxFuture<'a, Answers<R>>,
) -> Vec<Result<R, Error>> {
    let answers = match apply(db, &items).await {
        Ok(answers) => answers,
        Err(error) if postgres::is_outage(&error) || store::is_blocked(&error) => {
            let error = Error::from(error);
            items.iter().map(|_| Err(error.clone())).collect()
        }
        Err(error) => {
            tracing::warn!(%error, members = items.len(), "a batch failed and is repeated one by one");
            let mut answers = Vec::with_capacity(items.len());
            for item in &items {
                answers.push(alone(db, item, apply).await);
            }
            answers
        }
    };
    after.wake();
    answers
}

async fn alone<T, R>(
    db: &PgPool,
    item: &T,
    apply: for<'a> fn(&'a PgPool, &'a [T]) -> BoxFuture<'a, Answers<R>>,
) -> Result<R, Error> {
    let mut attempt = 1;
    loop {
        match apply(db, std::slice::from_ref(item)).await {
            Ok(answers) => return answers.into_iter().next().unwrap_or(Err(Error::Internal)),
            Err(error) if attempt < ATTEMPTS && store::is_race(&error) => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn look_up(db: &PgPool, ids: &[ReservationId]) -> Vec<Result<Option<Reservation>, Error>> {
    let read = async {
        let mut tx = store::begin(db).await?;
        let (now, _) = store::levels::stamp(&mut tx, 0).await?;
        let found = store::reservations::read(&mut tx, ids).await?;
        tx.commit().await?;
        Ok::<_, sqlx::Error>((now, found))
    };
    match read.await {
        Ok((now, found)) => ids
            .iter()
            .map(|id| {
                let seen = |r: &Reservation| Reservation { state: r.state_at(now), ..r.clone() };
                Ok(found.iter().find(|r| r.id == *id).map(seen))
            })
            .collect(),
        Err(error) => {
            let error = Error::from(error);
            ids.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

/// Writes what the books have decided, events included, in the transaction that holds the locks.
pub async fn write(
    conn: &mut PgConnection,
    changes: &Changes,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    if !changes.made.is_empty() {
        store::reservations::insert(conn, &changes.made).await?;
    }
    // Before what ended: it may have shrunk in the same batch.
    if !changes.shrunk.is_empty() {
        pending(changes.shrunk.len(), store::reservations::shrink(conn, &changes.shrunk, at).await?)?;
    }
    if !changes.ended.is_empty() {
        pending(changes.ended.len(), store::reservations::end(conn, &changes.ended, at).await?)?;
    }
    if !changes.movements.is_empty() {
        store::levels::record(conn, changes, at).await?;
    }
    outbox::append(conn, &events::of(changes, at)).await
}

/// The books decided under the lock; a row that was not pending would mean that somebody wrote without it.
fn pending(decided: usize, written: u64) -> Result<(), sqlx::Error> {
    if written == decided as u64 {
        return Ok(());
    }
    Err(sqlx::Error::Protocol("a reservation was resolved by somebody who held no lock".into()))
}
