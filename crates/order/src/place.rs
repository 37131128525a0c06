//! The group commit of new orders: what gathers while one transaction commits goes into the next. Each caller waits for the
//! commit its own order is in. An id that is there already is answered with what is there. Orders that take uses of a promotion
//! which has an end gather in a lane of their own: the others never wait for a promotion's row.

mod grants;
mod refusals;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgPool;
use stampede_kit as kit;
use stampede_kit::batch::{Batcher, Limits};
use stampede_kit::postgres::{Patience, begin_by_key};
use uuid::Uuid;

use crate::domain::order::Order;
use crate::domain::promotion::uses::UsedUp;
use crate::error::Error;
use crate::events;
use crate::metrics::Metrics;
use crate::store;
use crate::store::orders::Stored;
use refusals::Refusals;

/// Orders of one transaction, transactions at once, and orders that may wait: more than the server has calls in progress.
/// One writer: two take smaller batches and pay for twice the commits (4,300 orders a second instead of 3,900, measured by
/// `loadtest seckill`).
const LIMITS: Limits = Limits { batch: 256, writers: 1, queue: 8192 };

#[derive(Debug, Clone)]
pub struct NewOrder {
    pub order: Order,
    /// SHA-256 of the request.
    pub fingerprint: Vec<u8>,
    /// The request's own trace, when it is recorded: what is told of the order belongs to it.
    pub trace: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Placed {
    New,
    /// The key was here before: with this order.
    Before(Box<Stored>),
    /// Nothing was written: a promotion of the order is used up.
    UsedUp(UsedUp),
}

/// The database failed a whole batch. Whatever was written all the same is met by the next try with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// It may be gone when the same is tried again.
    passing: bool,
}

impl Failed {
    /// Said once for the batch, however many were in it.
    pub fn of(error: &sqlx::Error) -> Self {
        let passing = is_passing(error);
        tracing::error!(%error, passing, "a batch failed in the database");
        Self { passing }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        if failed.passing { Error::Unavailable } else { Error::Internal }
    }
}

fn is_passing(error: &sqlx::Error) -> bool {
    kit::postgres::is_outage(error) || kit::postgres::is_contended(error)
}

type Lane = Batcher<NewOrder, Result<Placed, Failed>>;

pub struct Placing {
    orders: Lane,
    /// Of orders that may have to wait for others which use the same promotions.
    uses: Lane,
}

pub fn start(db: PgPool, metrics: Arc<Metrics>, wake: kit::outbox::Wake) -> Placing {
    let refusals = Arc::new(Refusals::default());
    let write = move |new: Vec<NewOrder>| {
        let (db, metrics, wake, refusals) = (db.clone(), metrics.clone(), wake.clone(), refusals.clone());
        async move {
            let answers = write(&db, &new, &refusals).await;
            let placed = answers.iter().filter(|answer| matches!(answer, Ok(Placed::New))).count();
            metrics.placed.add(placed as u64, &[]);
            wake.wake();
            answers
        }
    };
    Placing {
        orders: Batcher::start("place", LIMITS, write.clone()),
        uses: Batcher::start("place_uses", LIMITS, write),
    }
}

impl Placing {
    /// Durable when it answers.
    pub async fn place(&self, new: NewOrder) -> Result<Placed, Error> {
        let placed = if grants::is_limited(&new.order) {
            Box::pin(self.place_with_uses(new)).await
        } else {
            self.orders.submit(new).await
        };
        match placed {
            Ok(Ok(placed)) => Ok(placed),
            Ok(Err(failed)) => Err(failed.into()),
            Err(kit::batch::Refused::Stopped) => Err(Error::Unavailable),
            Err(kit::batch::Refused::Full) => Err(Error::Overloaded),
            Err(kit::batch::Refused::Lost) => Err(Error::Internal),
        }
    }

    /// What is refused here for a promotion may be placed without it in the other lane, by another try with the same key. From the
    /// refusal on both refuse it; that lane's answer says what was placed there before.
    async fn place_with_uses(&self, new: NewOrder) -> Result<Result<Placed, Failed>, kit::batch::Refused> {
        match self.uses.submit(new.clone()).await {
            Ok(Ok(Placed::UsedUp(_))) => self.orders.submit(new).await,
            answer @ (Ok(Ok(Placed::New | Placed::Before(_)) | Err(_)) | Err(_)) => answer,
        }
    }
}

async fn write(db: &PgPool, new: &[NewOrder], refusals: &Refusals) -> Vec<Result<Placed, Failed>> {
    match write_together(db, new, refusals).await {
        Ok(placed) => placed.into_iter().map(Ok).collect(),
        // Somebody who holds a row for long would hold up each of them as long as all of them.
        Err(error) if new.len() > 1 && !is_passing(&error) => {
            // One order that cannot be written must not take the others with it.
            tracing::warn!(%error, orders = new.len(), "a batch failed; writing its orders one by one");
            let mut answers = Vec::with_capacity(new.len());
            for one in new {
                let placed = write_together(db, std::slice::from_ref(one), refusals).await;
                answers.push(
                    placed
                        .map(|mut one| one.pop().unwrap_or(Placed::New))
                        .map_err(|error| Failed::of(&error)),
                );
            }
            answers
        }
        Err(error) => vec![Err(Failed::of(&error)); new.len()],
    }
}

/// One transaction: orders, lines and events. Then what the others of the batch met.
async fn write_together(
    db: &PgPool,
    new: &[NewOrder],
    refusals: &Refusals,
) -> Result<Vec<Placed>, sqlx::Error> {
    // The first of those with one id is the one written; the ids are in order, so that batches never wait in a circle.
    let mut firsts: Vec<(usize, &NewOrder)> = new.iter().enumerate().collect();
    firsts.sort_by_key(|(at, one)| (one.order.id, *at));
    firsts.dedup_by_key(|(_, one)| one.order.id);
    let refused = refusals.among(&firsts);
    firsts.retain(|(_, one)| !refused.contains_key(&one.order.id.uuid()));
    let mut tx = begin_by_key(db, Patience::Long).await?;
    let found = grants::take(&mut tx, &firsts).await?;
    let rows: Vec<(&Order, &[u8])> = firsts
        .iter()
        .filter(|(_, one)| found.is_to_write(one.order.id.uuid()))
        .map(|(_, one)| (&one.order, one.fingerprint.as_slice()))
        .collect();
    let inserted = store::place::insert(&mut tx, &rows).await?;
    let placed: HashSet<usize> =
        firsts.iter().filter(|(_, one)| inserted.contains(&one.order.id.uuid())).map(|(at, _)| *at).collect();
    let written: Vec<&Order> = placed.iter().map(|at| &new[*at].order).collect();
    store::uses::reserve(&mut tx, &written).await?;
    let facts: Vec<_> = placed.iter().map(|at| fact(&new[*at])).collect();
    kit::outbox::append_traced(&mut tx, &facts).await?;
    tx.commit().await?;
    refusals.remember(&firsts, &found.used_up);

    let known = |at: &usize| placed.contains(at) || found.used_up.contains_key(&new[*at].order.id.uuid());
    let others: Vec<usize> = (0..new.len()).filter(|at| !known(at)).collect();
    let mut before = read_before(db, new, others).await?;
    let answer = |at: usize| {
        let id = new[at].order.id.uuid();
        match (before.remove(&at), found.used_up.get(&id).or(refused.get(&id))) {
            (Some(there), _) => Ok(Placed::Before(there)),
            (None, Some(used_up)) => Ok(Placed::UsedUp(used_up.clone())),
            (None, None) if placed.contains(&at) => Ok(Placed::New),
            // A conflict is with a committed row, and orders are never deleted.
            (None, None) => Err(sqlx::Error::RowNotFound),
        }
    };
    (0..new.len()).map(answer).collect()
}

fn fact(new: &NewOrder) -> kit::outbox::Traced {
    let event = events::placed(&new.order, new.order.created_at);
    kit::outbox::Traced { event, traceparent: new.trace.clone() }
}

/// What is there for those that were not written now, by their place in the batch.
async fn read_before(
    db: &PgPool,
    new: &[NewOrder],
    others: Vec<usize>,
) -> Result<HashMap<usize, Box<Stored>>, sqlx::Error> {
    if others.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = others.iter().map(|at| new[*at].order.id.uuid()).collect();
    let mut conn = db.acquire().await?;
    let stored: HashMap<Uuid, Stored> = store::orders::by_ids(&mut conn, &ids)
        .await?
        .into_iter()
        .map(|stored| (stored.order.id.uuid(), stored))
        .collect();
    let there = |at: usize| Some((at, Box::new(stored.get(&new[at].order.id.uuid())?.clone())));
    Ok(others.into_iter().filter_map(there).collect())
}
