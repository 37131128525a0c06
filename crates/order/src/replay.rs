//! What a repeated request is answered with: the order it made the first time. A refusal has to look, and when something sells
//! out everybody is refused at once, so the looking is batched too.

use std::collections::HashMap;

use sqlx::PgPool;
use stampede_kit::batch::{Batcher, Limits, Refused};
use stampede_types::OrderId;
use uuid::Uuid;

use crate::domain::order::Order;
use crate::error::Error;
use crate::place::Failed;
use crate::store;
use crate::store::orders::Stored;

/// Ids of one statement, statements at once, and callers that may wait.
const LIMITS: Limits = Limits { batch: 256, writers: 2, queue: 8192 };

/// Ids of which one at most is there.
type Ids = Vec<OrderId>;

pub struct Replays(Batcher<Ids, Result<Option<Box<Stored>>, Failed>>);

pub fn start(db: PgPool) -> Replays {
    let look = move |ids: Vec<Ids>| {
        let db = db.clone();
        async move { look_up(&db, &ids).await }
    };
    Replays(Batcher::start("replay", LIMITS, look))
}

impl Replays {
    /// The order that was made before under one of these ids.
    pub async fn find(&self, ids: Vec<OrderId>) -> Result<Option<Box<Stored>>, Error> {
        match self.0.submit(ids).await {
            Ok(found) => found.map_err(Error::from),
            Err(Refused::Full) => Err(Error::Overloaded),
            Err(Refused::Stopped) => Err(Error::Unavailable),
            Err(Refused::Lost) => Err(Error::Internal),
        }
    }
}

/// The stored order, when the request that comes again is the same one.
pub fn replay(before: Stored, fingerprint: &[u8]) -> Result<Order, Error> {
    if before.fingerprint == fingerprint { Ok(before.order) } else { Err(Error::KeyReused) }
}

async fn look_up(db: &PgPool, asked: &[Ids]) -> Vec<Result<Option<Box<Stored>>, Failed>> {
    let all: Vec<Uuid> = asked.iter().flatten().map(|id| id.uuid()).collect();
    match read(db, &all).await {
        Ok(stored) => {
            let stored: HashMap<OrderId, Stored> =
                stored.into_iter().map(|stored| (stored.order.id, stored)).collect();
            let found = |ids: &Ids| ids.iter().find_map(|id| stored.get(id)).cloned().map(Box::new);
            asked.iter().map(|ids| Ok(found(ids))).collect()
        }
        Err(error) => vec![Err(Failed::of(&error)); asked.len()],
    }
}

async fn read(db: &PgPool, ids: &[Uuid]) -> Result<Vec<Stored>, sqlx::Error> {
    let mut conn = db.acquire().await?;
    store::orders::by_ids(&mut conn, ids).await
}
