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
use super::record::{Answer, Life, View};
use crate::harness::history::faults::{self, Struck};
use crate::harness::history::record::{Cell, Terms};
use crate::harness::history::talk::INTERNAL;

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

pub fn broken_rules(
    lives: &[Life],
    books: &Books,
    terms: &BTreeMap<Cell, Terms>,
    done: &[Struck],
) -> Vec<Broken> {
    let known = |life| Some((Life::last(life)?.id, Known { life, last: Life::last(life)? }));
    let orders: BTreeMap<Uuid, Known<'_>> = lives.iter().filter_map(known).collect();
    let mut broken: Vec<Broken> = lives.iter().flat_map(of_life).collect();
    broken.extend(ends::broken(&orders, books));
    broken.extend(money::broken(&orders, books));
    broken.extend(stock::broken(&orders, books, terms));
    broken.extend(uses::broken(&orders, books));
    broken.extend(events::broken(&orders, books));
    broken.extend(faults(lives, done));
    broken.extend(books.refused_webhooks.iter().map(|refused| {
        let what = format!("money: a webhook contradicts what is known: {refused}");
        Broken { history: None, what }
    }));
    broken
}

/// INTERNAL is nobody's fault but ours, unless a server was away.
fn faults(lives: &[Life], done: &[Struck]) -> impl Iterator<Item = Broken> {
    let of_life = |life: &Life| {
        let internal = life.calls.iter().filter(|call| call.answer == Answer::Unknown(INTERNAL.to_owned()));
        let faults = faults::unexcused(internal.map(|call| (call.begun, call.ended)), done);
        let what = format!("faults: {faults} answers say INTERNAL while every server stood");
        (faults > 0).then_some(Broken { history: Some(life.number), what })
    };
    lives.iter().filter_map(of_life)
}

/// Every answer is one that the call may get, and what was told of the order is one way through the model.
fn of_life(life: &Life) -> Vec<Broken> {
    let broken = |what| Broken { history: Some(life.number), what };
    let late = model::may_be_late(life);
    let mut found: Vec<Broken> = Vec::new();
    for call in &life.calls {
        let wrong = answer::unexpected(life, call);
        found.extend(wrong.map(|why| broken(format!("answer: {:?} -> {}: {why}", call.call, call.answer))));
    }
    let mut views: Vec<&View> = life.calls.iter().filter_map(|call| call.answer.view()).collect();
    views.sort_by_key(|view| view.version);
    for pair in views.windows(2) {
        found.extend(model::follows(pair[0], pair[1], late).err().map(|why| broken(format!("model: {why}"))));
    }
    let first = views.first().and_then(|view| {
        let there = model::after(model::PLACED, view.version - 1, late).contains(&view.standing);
        (!there).then(|| broken(format!("model: nothing leads to {view:?}")))
    });
    found.extend(first);
    found
}
