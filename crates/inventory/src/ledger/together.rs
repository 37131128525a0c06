//! One batch, one transaction, one answer for each member. A batch that fails for one member's sake is halved until that member is
//! alone, so that its neighbours succeed.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgPool;
use stampede_kit::lanes::{Manner, Outcome};
use stampede_kit::postgres;

use super::lock::Waiting;
use super::{AfterCommit, Demand, Ending};
use crate::error::Error;
use crate::store;
use stampede_kit::postgres::Patience;

/// A lone request meets the same trouble at most this often: a lost race is over at the second time.
const ATTEMPTS: usize = 3;

pub type Answers<R> = Result<Vec<Result<R, Error>>, sqlx::Error>;
/// Decides a batch in one transaction.
pub type Apply<T, R> = for<'a> fn(&'a PgPool, &'a mut [T], Patience) -> BoxFuture<'a, Answers<R>>;

/// Whether a request touches several cells.
pub trait Touches {
    fn touches_several(&self) -> bool;
}

impl Touches for Demand {
    fn touches_several(&self) -> bool {
        self.lines().len() > 1
    }
}

impl Touches for Ending {
    fn touches_several(&self) -> bool {
        self.cells.len() > 1
    }
}

pub async fn together<T: Touches + Send, R: Send>(
    db: &PgPool,
    after: &AfterCommit,
    mut items: Vec<T>,
    manner: Manner,
    apply: Apply<T, R>,
) -> Vec<Outcome<T, Result<R, Error>>> {
    let answers = match manner {
        Manner::Brisk => match apply(db, &mut items, Patience::Short).await {
            Err(error) if store::is_blocked(&error) => return items.into_iter().map(Outcome::Held).collect(),
            answers @ (Ok(_) | Err(_)) => answers,
        },
        // All of it touches the same: one that waits for its only cell holds nothing.
        Manner::Patient if !items.iter().any(Touches::touches_several) => {
            apply(db, &mut items, Patience::Long).await
        }
        Manner::Patient => again(db, &mut items, apply).await,
    };
    let answers = apart(db, &mut items, answers, apply).await;
    after.wake();
    answers.into_iter().map(Outcome::Done).collect()
}

/// Tries until the cells are free all at once.
async fn again<T: Send, R: Send>(db: &PgPool, items: &mut [T], apply: Apply<T, R>) -> Answers<R> {
    let waiting = Waiting::begin();
    loop {
        match apply(db, items, Patience::Short).await {
            Ok(answers) => return Ok(answers),
            Err(error) => waiting.after(error).await?,
        }
    }
}

/// The answers of a batch; of its halves, when it failed for one member's sake.
fn apart<'a, T: Send, R: Send + 'a>(
    db: &'a PgPool,
    items: &'a mut [T],
    answers: Answers<R>,
    apply: Apply<T, R>,
) -> BoxFuture<'a, Vec<Result<R, Error>>> {
    async move {
        let error = match answers {
            Ok(answers) => return answers,
            Err(error) => error,
        };
        if postgres::is_outage(&error) || store::is_blocked(&error) {
            let error = Error::from(error);
            return items.iter().map(|_| Err(error.clone())).collect();
        }
        if let [item] = items {
            return vec![alone(db, item, error, apply).await];
        }
        tracing::warn!(%error, members = items.len(), "a batch failed and is repeated in halves");
        let (first, second) = items.split_at_mut(items.len() / 2);
        let answers = again(db, first, apply).await;
        let mut all = apart(db, first, answers, apply).await;
        let answers = again(db, second, apply).await;
        all.extend(apart(db, second, answers, apply).await);
        all
    }
    .boxed()
}

/// One that failed by itself is tried again when it only lost a race.
async fn alone<T: Send, R: Send>(
    db: &PgPool,
    item: &mut T,
    mut error: sqlx::Error,
    apply: Apply<T, R>,
) -> Result<R, Error> {
    for _ in 1..ATTEMPTS {
        if !store::is_race(&error) {
            break;
        }
        match again(db, std::slice::from_mut(item), apply).await {
            Ok(answers) => return answers.into_iter().next().unwrap_or(Err(Error::Internal)),
            Err(again) => error = again,
        }
    }
    Err(error.into())
}
