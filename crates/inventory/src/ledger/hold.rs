//! Holding and deducting: one transaction for a batch of demands.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgPool;
use stampede_types::BuyerId;

use super::together::Answers;
use super::{Held, write};
use crate::domain::{Account, Books, CellKey, Demand};
use crate::store;
use stampede_kit::postgres::{Patience, begin_by_key};

/// Kinds of movement a batch makes of one cell: HOLD and DEDUCT.
const KINDS: usize = 2;

pub(super) fn apply<'a>(
    db: &'a PgPool,
    demands: &'a mut [Demand],
    patience: Patience,
) -> BoxFuture<'a, Answers<Held>> {
    let demands: &'a [Demand] = demands;
    async move {
        let mut tx = begin_by_key(db, patience).await?;
        let cells: BTreeSet<&CellKey> =
            demands.iter().flat_map(Demand::lines).map(|line| &line.cell).collect();
        let mut accounts = store::levels::lock(&mut tx, cells).await?;
        // Everything below is read after the locks: it cannot change before the commit.
        let numbers = accounts.len() * KINDS;
        let (now, sequences) = store::levels::stamp_windows(&mut tx, numbers, &mut accounts).await?;
        let ids: Vec<_> = demands.iter().map(|demand| demand.id).collect();
        let known = store::reservations::read(&mut tx, &ids).await?;
        let quotas = store::quotas::read(&mut tx, &limited(demands, &accounts)).await?;

        let mut books = Books::open(now, accounts, known, quotas, sequences);
        let held = |(reservation, fresh)| Held { reservation, fresh };
        let answers = demands.iter().map(|d| books.demand(d).map(held).map_err(Into::into)).collect();
        let changes = books.close();
        if !changes.made.is_empty() {
            write(&mut tx, &changes, now).await?;
        }
        tx.commit().await?;
        Ok(answers)
    }
    .boxed()
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
