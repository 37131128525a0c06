//! The offline checker: what must be true of any history and its books, whatever crashed meanwhile. Functions of values; each
//! gives the sentences that say what broke.

pub mod balance;
mod bounds;
mod ends;
#[cfg(test)]
mod example;
mod feed;
mod receipts;
mod repeats;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::books::Books;
use super::record::{Answer, Call, Demand, History, Invocation, Micros};

/// Every rule that broke, in words.
pub fn broken_rules(history: &History, books: &Books) -> Vec<String> {
    let lives = lives(history);
    let mut broken = bounds::broken(history, &lives);
    broken.extend(ends::broken(&lives, books));
    broken.extend(repeats::broken(history, &lives, books));
    broken.extend(receipts::broken(&lives, books));
    broken.extend(balance::broken(history, books));
    broken.extend(feed::broken(history, books));
    broken
}

/// Everything that was said and asked about one reservation or deduction, in the order in which it began.
#[derive(Debug, Default)]
pub struct Life<'a> {
    pub calls: Vec<&'a Invocation>,
}

impl<'a> Life<'a> {
    /// The calls that wanted the units, with what they wanted.
    pub fn demands(&self) -> impl Iterator<Item = (&'a Invocation, &'a Demand)> {
        self.calls.iter().filter_map(|call| match &call.call {
            Call::Demand { demand, .. } => Some((*call, demand)),
            Call::Commit { .. }
            | Call::Release { .. }
            | Call::Look { .. }
            | Call::Extend { .. }
            | Call::Return { .. }
            | Call::Adjust { .. } => None,
        })
    }

    /// When the first caller knew that it had its units, and what they were.
    pub fn accepted(&self) -> Option<(Micros, &'a Demand)> {
        let yes = self.demands().filter(|(call, _)| is_yes(&call.answer));
        yes.map(|(call, demand)| (call.ended, demand)).min_by_key(|(ended, _)| *ended)
    }

    /// Somebody asked and never learned what became of that call.
    pub fn has_unknown_demand(&self) -> bool {
        self.demands().any(|(call, _)| call.answer.is_unknown())
    }
}

/// The units were given, now or before.
pub fn is_yes(answer: &Answer) -> bool {
    match answer {
        Answer::Reservation { .. } | Answer::Receipt { .. } | Answer::Levels(_) => true,
        Answer::Refused { .. } | Answer::Unknown(_) => false,
    }
}

/// The calls by the reservation they are about.
pub fn lives(history: &History) -> BTreeMap<Uuid, Life<'_>> {
    let mut lives: BTreeMap<Uuid, Life<'_>> = BTreeMap::new();
    for call in &history.calls {
        match &call.call {
            Call::Demand { id, .. }
            | Call::Commit { id }
            | Call::Release { id }
            | Call::Look { id }
            | Call::Extend { id, .. }
            | Call::Return { id, .. } => lives.entry(*id).or_default().calls.push(call),
            Call::Adjust { .. } => {}
        }
    }
    lives
}
