//! A small true history, for tests that break it: one cell, calls of one microsecond each, and the books they lead to.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::books::{Books, Movement, Row};
use super::super::record::{
    Answer, Call, Cell, Demand, Heard, History, Invocation, Level, Micros, State, Terms, Units,
};

pub const TEE: &str = "tee";
/// Holds of an example do not expire by themselves.
const NEVER: Micros = 1 << 50;

pub fn cell(sku: &str) -> Cell {
    Cell { campaign: "flash".to_owned(), sku: sku.to_owned() }
}

fn units(units: i64) -> Units {
    BTreeMap::from([(cell(TEE), units)])
}

#[derive(Debug, Clone)]
pub struct Example {
    pub history: History,
    pub books: Books,
    next: u128,
}

impl Example {
    pub fn with(opened_with: i64, per_buyer_limit: Option<i64>) -> Self {
        let terms = Terms { opened_with, per_buyer_limit, window: None };
        let mut example = Self {
            history: History { terms: BTreeMap::from([(cell(TEE), terms)]), ..History::default() },
            books: Books::default(),
            next: 0,
        };
        let nothing = Level { cell: cell(TEE), on_hand: 0, held: 0, committed: 0, free: 0, version: 0 };
        example.books.levels.insert(cell(TEE), nothing);
        example.moves(opened_with, 0, 0);
        example
    }

    pub fn level(&mut self) -> &mut Level {
        self.books.levels.get_mut(&cell(TEE)).unwrap()
    }

    /// A movement in a transaction of its own, heard on the feed.
    fn moves(&mut self, on_hand: i64, held: i64, committed: i64) -> Level {
        let sequence = i64::try_from(self.books.movements.len()).unwrap() + 1;
        let transaction = sequence.to_string();
        self.books.movements.push(Movement {
            sequence,
            transaction,
            cell: cell(TEE),
            on_hand,
            held,
            committed,
        });
        let level = self.level();
        level.on_hand += on_hand;
        level.held += held;
        level.committed += committed;
        level.free = level.on_hand - level.held - level.committed;
        level.version = sequence;
        let level = level.clone();
        self.history.heard.push(Heard { stream: 0, sequence, levels: vec![level.clone()] });
        level
    }

    pub fn answers(&mut self, call: Call, at: Micros, answer: Answer) {
        self.history.calls.push(Invocation {
            process: 0,
            call,
            again: true,
            begun: at,
            ended: at + 1,
            answer,
        });
    }

    pub fn reservation(buyer: &str, quantity: i64, state: State) -> Answer {
        Answer::Reservation {
            state,
            buyer: buyer.to_owned(),
            units: units(quantity),
            expires_at: Some(NEVER),
        }
    }

    pub fn demand(buyer: &str, quantity: i64, hold_ms: Option<u32>) -> Demand {
        Demand { buyer: buyer.to_owned(), units: units(quantity), hold_ms }
    }

    fn id(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    fn uses(&mut self, buyer: &str, quantity: i64) {
        if self.history.terms[&cell(TEE)].per_buyer_limit.is_some() {
            *self.books.quotas.entry((cell(TEE), buyer.to_owned())).or_default() += quantity;
            self.books.quotas.retain(|_, used| *used != 0);
        }
    }

    fn row(buyer: &str, quantity: i64, kind: &str, state: State) -> Row {
        Row {
            kind: kind.to_owned(),
            buyer: buyer.to_owned(),
            state,
            asked: units(quantity),
            units: units(quantity),
            returned: units(0),
            expires_at: Some(NEVER),
            resolved_at: None,
            remaining: None,
            version: None,
        }
    }

    pub fn reserves(&mut self, buyer: &str, quantity: i64, at: Micros) -> Uuid {
        let id = self.id();
        self.moves(0, quantity, 0);
        self.uses(buyer, quantity);
        self.books.rows.insert(id, Self::row(buyer, quantity, "HOLD", State::Pending));
        let demand = Self::demand(buyer, quantity, Some(1_000));
        self.answers(Call::Demand { id, demand }, at, Self::reservation(buyer, quantity, State::Pending));
        id
    }

    pub fn deducts(&mut self, buyer: &str, quantity: i64, at: Micros) -> Uuid {
        let id = self.id();
        let level = self.moves(0, 0, quantity);
        self.uses(buyer, quantity);
        let row = Row {
            expires_at: None,
            remaining: Some(level.free),
            version: Some(level.version),
            ..Self::row(buyer, quantity, "DEDUCTION", State::Committed)
        };
        self.books.rows.insert(id, row);
        let receipt = Answer::Receipt { remaining: level.free, version: level.version };
        self.answers(Call::Demand { id, demand: Self::demand(buyer, quantity, None) }, at, receipt);
        id
    }

    /// The same deduction again, answered the same.
    pub fn repeats_deduction(&mut self, id: Uuid, at: Micros) {
        let is_it = |call: &&Invocation| matches!(call.call, Call::Demand { id: known, .. } if known == id);
        let first = self.history.calls.iter().find(is_it).unwrap().clone();
        self.answers(first.call, at, first.answer);
    }

    pub fn commits(&mut self, id: Uuid, at: Micros) {
        self.ends(id, at, State::Committed);
    }

    pub fn releases(&mut self, id: Uuid, at: Micros) {
        self.ends(id, at, State::Released);
    }

    fn ends(&mut self, id: Uuid, at: Micros, state: State) {
        let row = self.books.rows.get_mut(&id).unwrap();
        row.state = state;
        let (buyer, quantity) = (row.buyer.clone(), row.units[&cell(TEE)]);
        let call = match state.is_gone() {
            true => {
                self.moves(0, -quantity, 0);
                self.uses(&buyer, -quantity);
                Call::Release { id }
            }
            false => {
                self.moves(0, -quantity, quantity);
                Call::Commit { id }
            }
        };
        self.answers(call, at, Self::reservation(&buyer, quantity, state));
    }

    pub fn adjusts(&mut self, id: Uuid, delta: i64, at: Micros) {
        let known = self.books.adjustments.insert(id, (cell(TEE), delta)).is_some();
        let level = if known { self.level().clone() } else { self.moves(delta, 0, 0) };
        self.answers(Call::Adjust { id, cell: cell(TEE), delta }, at, Answer::Levels(vec![level]));
    }
}
