//! Holding and deducting: one transaction for a batch of demands.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgPool;
use stampede_types::BuyerId;

use super::count::{self, Wanted};
use super::together::Answers;
use super::{Held, write};
use crate::domain::{Account, Books, CellKey, Demand, Quotas};
use crate::error::Error;
use crate::store::{self, Patience};

/// Kinds of movement a batch makes of one cell: HOLD and DEDUCT.
const KINDS: usize = 2;

/// Whether buyers' units are counted before anything is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    First,
    /// Read, decided by, and written.
    OneByOne,
}

pub(super) fn apply<'a>(
    db: &'a PgPool,
    demands: &'a mut [Demand],
    patience: Patience,
) -> BoxFuture<'a, Answers<Held>> {
    let demands: &'a [Demand] = demands;
    async move {
        if let Some(answers) = decide(db, demands, patience, Counting::First).await? {
            return Ok(answers);
        }
        let answers = decide(db, demands, patience, Counting::OneByOne).await?;
        answers.ok_or(sqlx::Error::RowNotFound)
    }
    .boxed()
}

/// Nothing, and nothing done, when it was counted first and not all of it could be granted after all.
async fn decide(
    db: &PgPool,
    demands: &[Demand],
    patience: Patience,
    counting: Counting,
) -> Result<Option<Vec<Result<Held, Error>>>, sqlx::Error> {
    let mut tx = store::begin_with(db, patience).await?;
    let cells: BTreeSet<&CellKey> = demands.iter().flat_map(Demand::lines).map(|line| &line.cell).collect();
    let mut accounts = store::levels::lock(&mut tx, cells).await?;
    // Everything below is read after the locks: it cannot change before the commit.
    let numbers = accounts.len() * KINDS;
    let (now, sequences) = store::levels::stamp_windows(&mut tx, numbers, &mut accounts).await?;
    let ids: Vec<_> = demands.iter().map(|demand| demand.id).collect();
    let known = store::reservations::read(&mut tx, &ids).await?;
    let wanted = match counting {
        Counting::First => count::wanted(demands, &known, &accounts, now),
        Counting::OneByOne => None,
    };
    let expected = wanted.as_ref().map(|wanted| wanted.demands);
    let quotas = match wanted {
        Some(Wanted { more, .. }) => {
            if !more.is_empty() && !store::quotas::add(&mut tx, &more).await? {
                tx.rollback().await?;
                return Ok(None);
            }
            // Counted and found within: to the books nobody has a limit any more.
            accounts.values_mut().for_each(|account| account.terms.per_buyer_limit = None);
            Quotas::new()
        }
        None => store::quotas::read(&mut tx, &limited(demands, &accounts)).await?,
    };

    let mut books = Books::open(now, accounts, known, quotas, sequences);
    let held = |(reservation, fresh)| Held { reservation, fresh };
    let answers: Vec<Result<Held, Error>> =
        demands.iter().map(|d| books.demand(d).map(held).map_err(Into::into)).collect();
    let granted = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|held| held.fresh)).count();
    if expected.is_some_and(|expected| expected != granted) {
        tx.rollback().await?;
        return Ok(None);
    }
    let changes = books.close();
    if !changes.made.is_empty() {
        write(&mut tx, &changes, now).await?;
    }
    tx.commit().await?;
    Ok(Some(answers))
}

/// Whose units have to be known: the buyers of cells with a limit.
fn limited<'a>(
    demands: &'a [Demand],
    accounts: &HashMap<CellKey, Account>,
) -> Vec<(&'a CellKey, &'a BuyerId)> {
    let has_limit = |cell| accounts.get(cell).is_some_and(|account| account.terms.per_buyer_limit.is_some());
    let keys = demands.iter().flat_map(|demand| {
        let lines = demand.lines().iter().filter(|line| has_limit(&line.cell));
        lines.map(|line| (&line.cell, &demand.buyer))
    });
    keys.collect::<HashSet<_>>().into_iter().collect()
}
