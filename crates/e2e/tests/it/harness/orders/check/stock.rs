//! Stock is conserved: each order has bought what its state says and nothing more, nothing is held for nobody, and the ledger agrees
//! with itself.

use std::collections::BTreeMap;

use stampede_proto::order::v1::OrderStockState as S;
use stampede_proto::order::v1::ReturnState;
use uuid::Uuid;

use super::super::books::Books;
use super::super::record::{View, sum};
use super::{Broken, Known};
use crate::harness::history::check::balance;
use crate::harness::history::record::{Cell, History, State, Terms, Units};

pub fn broken(
    orders: &BTreeMap<Uuid, Known<'_>>,
    books: &Books,
    terms: &BTreeMap<Cell, Terms>,
) -> Vec<Broken> {
    let history = History { terms: terms.clone(), ..History::default() };
    let of_all = balance::broken(&history, &books.stock);
    let mut broken: Vec<Broken> = of_all.into_iter().map(|what| Broken { history: None, what }).collect();
    let mut sold: BTreeMap<Uuid, &Known<'_>> = BTreeMap::new();
    for known in orders.values() {
        sold.insert(known.last.reservation, known);
        let wrong = of_order(known.last, books).into_iter().chain(kept_after_its_end(known, books));
        broken.extend(wrong.map(|why| known.broken(format!("stock: {why}"))));
    }
    for (id, row) in
        books.stock.rows.iter().filter(|(id, row)| !row.state.is_gone() && !sold.contains_key(id))
    {
        broken.push(Broken { history: None, what: format!("stock: no order has {id}, {row:?}") });
    }
    broken
}

fn of_order(last: &View, books: &Books) -> Option<String> {
    let Some(row) = books.stock.rows.get(&last.reservation) else {
        return Some(format!("reservation {} is not there", last.reservation));
    };
    let restocked = last.backs.values().filter(|back| back.state == ReturnState::Refunded && back.restock);
    let (state, returned): (bool, Units) = match last.standing.stock {
        S::Committed => (row.state == State::Committed, sum(restocked.map(|back| &back.units))),
        S::Returned => (row.state == State::Committed, last.units.clone()),
        S::Released => (row.state.is_gone(), Units::new()),
        S::Unspecified | S::Held => (false, Units::new()),
    };
    let mut came_back = row.returned.clone();
    came_back.retain(|_, units| *units != 0);
    let fits = state && row.units == last.units && came_back == returned;
    (!fits).then(|| format!("{last:?} stands on {row:?}"))
}

/// Whoever is told that the stock was released finds it on sale: nobody waits for the hold to end by itself.
fn kept_after_its_end(known: &Known<'_>, books: &Books) -> Option<String> {
    let row = books.stock.rows.get(&known.last.reservation)?;
    // Late money may have bought another hold since.
    let is_told =
        |view: &View| view.standing.stock == S::Released && view.reservation == known.last.reservation;
    let told = known.life.calls.iter().filter(|call| call.answer.view().is_some_and(is_told));
    let told = told.map(|call| call.ended).min()?;
    let gone = row.resolved_at.into_iter().chain(row.expires_at).min();
    gone.is_none_or(|gone| gone > told)
        .then(|| format!("told as released at {told}, and held until {gone:?}: {row:?}"))
}
