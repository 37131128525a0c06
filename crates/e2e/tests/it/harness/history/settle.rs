//! After the noise: everything that must come right by itself comes right. Short holds expire, the gate lets go of exactly what the
//! ledger has, events leave. Found out from outside: by buying what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgPool;
use uuid::Uuid;

use super::books::Books;
use super::program::{Board, Client};
use super::record::{Answer, Call, Cell, Demand, State, Terms, Units};
use crate::harness::eventually;

/// Holds that end later than this are meant to stay.
const SHORT: &str = "60 seconds";
/// Calls at once.
const AT_ONCE: usize = 32;

pub async fn settle(board: &Arc<Board>, db: &PgPool, terms: &BTreeMap<Cell, Terms>) {
    learn(board).await;
    no_short_hold_is_left(db).await;
    buyers_have_their_limits_back(board, db, terms).await;
    everything_left_is_sold(board, db, terms).await;
    eventually(async || {
        let untold: i64 =
            sqlx::query_scalar("SELECT count(*) FROM outbox_waiting").fetch_one(db).await.unwrap();
        if untold == 0 { Ok(()) } else { Err(format!("{untold} events are untold")) }
    })
    .await;
    every_process_tells_the_same(board).await;
}

fn client(board: &Arc<Board>, seed: usize) -> Client {
    Client::new(board.clone(), u64::MAX - seed as u64)
}

/// Asks many things, some at once; the answers in the order of the calls.
async fn all(board: &Arc<Board>, calls: Vec<Call>, again: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    for some in calls.chunks(AT_ONCE) {
        let asked = some.iter().enumerate().map(|(at, call)| {
            let (mut client, call) = (client(board, at), call.clone());
            async move {
                if again { client.until_known_again(call).await } else { client.until_known(call).await }
            }
        });
        answers.extend(futures::future::join_all(asked).await);
    }
    answers
}

/// What nobody was ever told may have been done after all: asked for the last time.
async fn learn(board: &Arc<Board>) {
    let calls = board.recorder.calls();
    let mut open: BTreeMap<Uuid, Call> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.answer.is_unknown()) {
        if let Call::Demand { id, .. } = &call.call {
            open.insert(*id, call.call.clone());
        }
    }
    all(board, open.into_values().collect(), true).await;
}

async fn no_short_hold_is_left(db: &PgPool) {
    let pending = format!(
        "SELECT count(*) FROM reservation WHERE state = 'PENDING' AND expires_at < now() + interval '{SHORT}'"
    );
    eventually(async || {
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(pending.clone())).fetch_one(db).await.unwrap();
        if left == 0 { Ok(()) } else { Err(format!("{left} short holds are pending")) }
    })
    .await;
}

/// Whoever has some of the limit left and asks for the rest gets it.
async fn buyers_have_their_limits_back(board: &Arc<Board>, db: &PgPool, terms: &BTreeMap<Cell, Terms>) {
    let books = Books::read(db).await;
    let buyers: std::collections::BTreeSet<&String> = books.rows.values().map(|row| &row.buyer).collect();
    for (cell, terms) in selling(board, terms) {
        let Some(limit) = terms.per_buyer_limit else { continue };
        for buyer in buyers.iter().filter(|buyer| !buyer.is_empty()) {
            let used = books.quotas.get(&(cell.clone(), (*buyer).clone())).copied().unwrap_or(0);
            let rest = (limit - used).min(books.levels[cell].free);
            if rest > 0 {
                let units = Units::from([(cell.clone(), rest)]);
                held_and_let_go(board, Demand { buyer: (*buyer).clone(), units, hold_ms: Some(5_000) }).await;
            }
        }
    }
    no_short_hold_is_left(db).await;
}

async fn held_and_let_go(board: &Arc<Board>, demand: Demand) {
    let mut client = client(board, 0);
    eventually(async || {
        let id = Uuid::new_v4();
        let answer = client.until_known(Call::Demand { id, demand: demand.clone() }).await;
        if !matches!(answer, Answer::Reservation { state: State::Pending, .. }) {
            return Err(format!("{demand:?} was answered {answer:?}, the ledger allows it"));
        }
        client.until_known(Call::Release { id }).await;
        Ok(())
    })
    .await;
}

/// Every free unit of every open cell finds its buyer, and not one more.
async fn everything_left_is_sold(board: &Arc<Board>, db: &PgPool, terms: &BTreeMap<Cell, Terms>) {
    for (cell, _) in selling(board, terms) {
        let one = |_| Call::Demand {
            id: Uuid::new_v4(),
            demand: Demand {
                buyer: format!("late-{}", Uuid::new_v4()),
                units: Units::from([(cell.clone(), 1)]),
                hold_ms: None,
            },
        };
        eventually(async || {
            let free = free(db, cell).await;
            all(board, (0..free).map(one).collect(), false).await;
            let left = self::free(db, cell).await;
            if left == 0 { Ok(()) } else { Err(format!("{left} of {free} {cell:?} cannot be bought")) }
        })
        .await;
        for answer in all(board, (0..3).map(one).collect(), false).await {
            assert!(matches!(answer, Answer::Refused { .. }), "{cell:?} was sold out: {answer:?}");
        }
    }
}

async fn free(db: &PgPool, cell: &Cell) -> i64 {
    Books::levels(db).await.into_iter().find(|level| level.cell == *cell).unwrap().free
}

fn selling<'a>(
    board: &Board,
    terms: &'a BTreeMap<Cell, Terms>,
) -> impl Iterator<Item = (&'a Cell, &'a Terms)> + use<'a> {
    let now = board.recorder.now();
    terms
        .iter()
        .filter(move |(_, terms)| terms.window.is_none_or(|(opens, closes)| opens <= now && now < closes))
}

/// The last look at every id, at a process that may not have known it.
async fn every_process_tells_the_same(board: &Arc<Board>) {
    let mut ids = std::collections::BTreeSet::new();
    for call in board.recorder.calls() {
        if let Call::Demand { id, .. } = call.call {
            ids.insert(id);
        }
    }
    all(board, ids.into_iter().map(|id| Call::Look { id }).collect(), false).await;
}
