//! Committing, releasing and expiring: one transaction for a batch of endings.

use std::collections::{HashMap, HashSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::{PgPool, Postgres, Transaction};
use stampede_types::{BuyerId, ReservationId};

use super::together::Answers;
use super::{Ending, Settled, write};
use crate::domain::{
    Account, Books, CellKey, Denied, Line, Reservation, ReservationState, Resolution, Resolved,
};
use crate::error::Error;
use crate::store;
use stampede_kit::postgres::{Patience, begin_by_key};

pub(crate) type Locked = (Transaction<'static, Postgres>, HashMap<CellKey, Account>, Vec<Reservation>);

/// Kinds of movement a batch makes of one cell: COMMIT, RELEASE and EXPIRE.
const KINDS: usize = 3;

pub(super) fn apply<'a>(
    db: &'a PgPool,
    endings: &'a mut [Ending],
    patience: Patience,
) -> BoxFuture<'a, Answers<Settled>> {
    async move {
        let ids: Vec<_> = endings.iter().map(|ending| ending.id).collect();
        let (mut tx, accounts, known) = match lock_with(db, &ids, patience).await {
            Ok(locked) => locked,
            Err(error) => {
                if patience == Patience::Short && store::is_blocked(&error) {
                    learn(db, endings, &ids).await?;
                }
                return Err(error);
            }
        };
        let (now, sequences) = store::levels::stamp(&mut tx, accounts.len() * KINDS).await?;
        let quotas = store::quotas::read(&mut tx, &limited(&known, &accounts)).await?;

        let number = sequences.first().copied().unwrap_or_default();
        let mut books = Books::open(now, accounts, known, quotas, sequences);
        let settle = |ending: &Ending| {
            let before = books.known(ending.id).map(|reservation| reservation.lines.clone());
            let (reservation, resolved) = end(&mut books, ending)?;
            let freed = freed(before.unwrap_or_default(), &reservation, resolved);
            Ok(Settled { reservation, resolved, freed, number })
        };
        let answers = endings.iter().map(settle).collect();
        let changes = books.close();
        if !changes.is_empty() {
            write(&mut tx, &changes, now).await?;
        }
        tx.commit().await?;
        Ok(answers)
    }
    .boxed()
}

/// The reservations with every cell of theirs locked. What is read after the locks cannot change before the commit.
pub(super) async fn lock_with(
    db: &PgPool,
    ids: &[ReservationId],
    patience: Patience,
) -> Result<Locked, sqlx::Error> {
    // One that arrives between the look for its lines and the locks has cells nobody locked. To lock them now would break the
    // order of the locks, so it begins again; each id arrives once, so that ends.
    loop {
        let mut tx = begin_by_key(db, patience).await?;
        let accounts = store::levels::lock_of(&mut tx, ids).await?;
        let known = store::reservations::read(&mut tx, ids).await?;
        if known.iter().flat_map(|r| &r.lines).all(|line| accounts.contains_key(&line.cell)) {
            return Ok((tx, accounts, known));
        }
        tx.rollback().await?;
    }
}

/// Somebody holds a cell of theirs: to wait for it apart from the others, each has to know its own.
async fn learn(db: &PgPool, endings: &mut [Ending], ids: &[ReservationId]) -> Result<(), sqlx::Error> {
    let mut cells = store::reservations::cells(&mut *db.acquire().await?, ids).await?;
    for ending in endings {
        ending.cells = cells.remove(&ending.id).unwrap_or_default();
    }
    Ok(())
}

fn end(books: &mut Books, ending: &Ending) -> Result<(Reservation, Resolved), Error> {
    let part = &ending.part;
    let ended = match ending.resolution {
        Resolution::Commit if !part.is_empty() => books.commit_part(ending.id, part),
        Resolution::Release if !part.is_empty() => books.keep_part(ending.id, part),
        whole @ (Resolution::Commit | Resolution::Release | Resolution::Expire) => {
            books.resolve(ending.id, whole)
        }
    };
    match ended {
        Ok((_, Resolved::Lost(state))) if ending.resolution != Resolution::Expire => {
            Err(Denied::Resolved { id: ending.id, state }.into())
        }
        Ok(ended) => Ok(ended),
        // Released before it arrived: remembered, so that it is refused when it comes.
        Err(Denied::NotFound { id }) if ending.resolution == Resolution::Release && part.is_empty() => {
            let reservation = books.bury(id);
            let state = reservation.state;
            Ok((reservation, Resolved::Now(state)))
        }
        Err(denied) => Err(denied.into()),
    }
}

/// What it held before and neither holds nor has sold now.
fn freed(mut before: Vec<Line>, reservation: &Reservation, resolved: Resolved) -> Vec<Line> {
    match resolved {
        Resolved::Now(ReservationState::Released | ReservationState::Expired) => {}
        Resolved::Now(ReservationState::Committed | ReservationState::Pending) | Resolved::Shrunk => {
            for (line, kept) in before.iter_mut().zip(&reservation.lines) {
                line.quantity -= kept.quantity;
            }
        }
        Resolved::Before(_) | Resolved::Lost(_) => before.clear(),
    }
    before.retain(|line| line.quantity > 0);
    before
}

fn limited<'a>(
    known: &'a [Reservation],
    accounts: &HashMap<CellKey, Account>,
) -> Vec<(&'a CellKey, &'a BuyerId)> {
    let has_limit = |cell| accounts.get(cell).is_some_and(|account| account.terms.per_buyer_limit.is_some());
    let keys =
        known.iter().filter_map(|r| r.buyer.as_ref().map(|buyer| (r, buyer))).flat_map(|(r, buyer)| {
            let lines = r.lines.iter().filter(|line| has_limit(&line.cell));
            lines.map(move |line| (&line.cell, buyer))
        });
    keys.collect::<HashSet<_>>().into_iter().collect()
}
