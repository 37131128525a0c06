//! The offline checker: what must be true of any histories of orders and of all books, whatever crashed meanwhile. Functions of
//! values; each gives the sentences that say what broke.

mod ends;
mod events;
mod money;
mod stock;
mod uses;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::books::Books;
use super::model::{self, answer};
use super::record::{Life, View};
use crate::harness::history::record::{Cell, Terms};

/// A rule that broke: of which history, and how.
#[derive(Debug)]
pub struct Broken {
    pub history: Option<u64>,
    pub what: String,
}

/// An order that was placed: its history and how it was told last.
pub struct Known<'a> {
    pub life: &'a Life,
    pub last: &'a View,
}

impl Known<'_> {
    fn broken(&self, what: String) -> Broken {
        Broken { history: Some(self.life.number), what }
    }
}

pub fn broken_rules(lives: &[Life], books: &Books, terms: &BTreeMap<Cell, Terms>) -> Vec<Broken> {
    let known = |life| Some((Life::last(life)?.id, Known { life, last: Life::last(life)? }));
    let orders: BTreeMap<Uuid, Known<'_>> = lives.iter().filter_map(known).collect();
    let mut broken: Vec<Broken> = lives.iter().flat_map(of_life).collect();
    broken.extend(ends::broken(&orders, books));
    broken.extend(money::broken(&orders, books));
    broken.extend(stock::broken(&orders, books, terms));
    broken.extend(uses::broken(&orders, books));
    broken.extend(events::broken(&orders, books));
    broken
}

/// Every answer is one that the call may get, and what was told of the order is one way through the model.
fn of_life(life: &Life) -> Vec<Broken> {
    let broken = |what| Broken { history: Some(life.number), what };
    let mut found: Vec<Broken> = Vec::new();
    for call in &life.calls {
        let wrong = answer::unexpected(life, call);
        found.extend(wrong.map(|why| broken(format!("answer: {:?} -> {}: {why}", call.call, call.answer))));
    }
    let mut views: Vec<&View> = life.calls.iter().filter_map(|call| call.answer.view()).collect();
    views.sort_by_key(|view| view.version);
    for pair in views.windows(2) {
        found.extend(model::follows(pair[0], pair[1]).err().map(|why| broken(format!("model: {why}"))));
    }
    let first = views.first().and_then(|view| {
        let there = model::after(model::PLACED, view.version - 1).contains(&view.standing);
        (!there).then(|| broken(format!("model: nothing leads to {view:?}")))
    });
    found.extend(first);
    found
}
