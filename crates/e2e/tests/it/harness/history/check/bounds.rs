//! Never more than there is, at any instant: what was certainly given out, less what may have come back, against the most that
//! may have been on hand. Each call happened somewhere between its beginning and its end, so a true history never breaks this.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::record::{Answer, Call, Cell, History, Micros, State};
use super::Life;

/// Postgres reads the machine's clock; we carry on an earlier reading of it.
const CLOCK_SLACK: Micros = 50_000;

pub fn broken(history: &History, lives: &BTreeMap<Uuid, Life<'_>>) -> Vec<String> {
    let changes: Vec<Change> = lives.values().flat_map(changes).collect();
    let mut broken = oversold(history, &changes);
    broken.extend(over_limit(history, &changes));
    broken.extend(outside_the_window(history));
    broken
}

/// Units certainly given to a buyer from an instant on, or perhaps given back.
#[derive(Debug, Clone)]
struct Change {
    at: Micros,
    cell: Cell,
    buyer: String,
    units: i64,
}

fn changes(life: &Life<'_>) -> Vec<Change> {
    let Some((since, demand)) = life.accepted() else { return Vec::new() };
    let freed = freed(life, since);
    let mut changes = Vec::new();
    for (cell, units) in &demand.units {
        let change = |at, units| Change { at, cell: cell.clone(), buyer: demand.buyer.clone(), units };
        changes.push(change(since, *units));
        changes.extend(freed.map(|at| change(at.max(since), -units)));
        changes.extend(returned(life, cell, *units).map(|(at, units)| change(at.max(since), -units)));
    }
    changes
}

/// When a hold may have ended without being sold, at the earliest.
fn freed(life: &Life<'_>, since: Micros) -> Option<Micros> {
    let is_sold = |answer: &Answer| {
        matches!(answer, Answer::Reservation { state: State::Committed, .. } | Answer::Receipt { .. })
    };
    if life.calls.iter().any(|call| is_sold(&call.answer)) {
        return None;
    }
    let released = life.calls.iter().filter(|call| matches!(call.call, Call::Release { .. }));
    let released = released.filter(|call| call.answer.may_have_happened()).map(|call| call.begun);
    let expiries = life.calls.iter().filter_map(|call| match &call.answer {
        Answer::Reservation { expires_at, .. } => *expires_at,
        Answer::Receipt { .. } | Answer::Levels(_) | Answer::Refused { .. } | Answer::Unknown(_) => None,
    });
    let expired = expiries.max().map(|at| at - CLOCK_SLACK);
    // A hold whose expiry nobody was told may have ended at once.
    let expired = expired.or_else(|| life.demands().any(|(_, d)| d.hold_ms.is_some()).then_some(since));
    released.chain(expired).min()
}

/// Units of a cell that may have come back after they were sold, each return once, from its first call on.
fn returned<'a>(life: &'a Life<'_>, cell: &'a Cell, sold: i64) -> impl Iterator<Item = (Micros, i64)> + 'a {
    let mut first: BTreeMap<Uuid, (Micros, i64)> = BTreeMap::new();
    for call in &life.calls {
        if let Call::Return { return_id, units, .. } = &call.call
            && call.answer.may_have_happened()
        {
            // Nothing named means everything.
            let units = if units.is_empty() { sold } else { units.get(cell).copied().unwrap_or(0) };
            first.entry(*return_id).or_insert((call.begun, units));
        }
    }
    first.into_values()
}

fn oversold(history: &History, changes: &[Change]) -> Vec<String> {
    let mut broken = Vec::new();
    for (cell, terms) in &history.terms {
        let given = changes.iter().filter(|change| change.cell == *cell).map(|c| (c.at, c.units));
        // More on hand is as good as something given back.
        let adjusted = adjustments(history, cell).map(|(at, delta)| (at, -delta));
        if let Some((at, excess)) = exceeds(terms.opened_with, given.chain(adjusted)) {
            broken.push(format!("oversold: {excess} more units of {cell:?} given than there were at {at}"));
        }
    }
    broken
}

/// A restock counts from its first call on, a loss from when it is known; each once.
fn adjustments<'a>(history: &'a History, cell: &'a Cell) -> impl Iterator<Item = (Micros, i64)> + 'a {
    let mut known: BTreeMap<Uuid, (Micros, i64)> = BTreeMap::new();
    for call in &history.calls {
        let Call::Adjust { id, cell: adjusted, delta } = &call.call else { continue };
        if adjusted != cell {
            continue;
        }
        if *delta > 0 && call.answer.may_have_happened() {
            known.entry(*id).or_insert((call.begun, *delta));
        } else if *delta < 0 && super::is_yes(&call.answer) {
            let entry = known.entry(*id).or_insert((call.ended, *delta));
            entry.0 = entry.0.min(call.ended);
        }
    }
    known.into_values()
}

fn over_limit(history: &History, changes: &[Change]) -> Vec<String> {
    let mut of_buyer: BTreeMap<(&Cell, &str), Vec<(Micros, i64)>> = BTreeMap::new();
    for change in changes {
        of_buyer.entry((&change.cell, &change.buyer)).or_default().push((change.at, change.units));
    }
    let mut broken = Vec::new();
    for ((cell, buyer), changes) in of_buyer {
        let Some(limit) = history.terms.get(cell).and_then(|terms| terms.per_buyer_limit) else { continue };
        if let Some((at, excess)) = exceeds(limit, changes.into_iter()) {
            broken.push(format!(
                "limit: {buyer} had {excess} more of {cell:?} than the {limit} allowed at {at}"
            ));
        }
    }
    broken
}

/// The first instant at which the sum is above what may be, and by how much.
fn exceeds(most: i64, changes: impl Iterator<Item = (Micros, i64)>) -> Option<(Micros, i64)> {
    // What may have come back at an instant had come back before the rest of it.
    let mut changes: Vec<(Micros, i64)> = changes.collect();
    changes.sort_unstable();
    let mut given = 0;
    for (at, units) in changes {
        given += units;
        if given > most {
            return Some((at, given - most));
        }
    }
    None
}

/// Nothing is given before a campaign opens or after it has closed.
fn outside_the_window(history: &History) -> Vec<String> {
    let mut first: BTreeMap<Uuid, Micros> = BTreeMap::new();
    let mut broken = Vec::new();
    for call in &history.calls {
        let Call::Demand { id, demand } = &call.call else { continue };
        let begun = *first.entry(*id).or_insert(call.begun);
        if !super::is_yes(&call.answer) {
            continue;
        }
        for (cell, terms) in demand.units.keys().filter_map(|cell| Some((cell, history.terms.get(cell)?))) {
            let Some((opens, closes)) = terms.window else { continue };
            if call.ended < opens - CLOCK_SLACK || begun > closes + CLOCK_SLACK {
                broken.push(format!("window: {id} was given {cell:?} outside its campaign"));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, TEE, cell};
    use super::*;

    fn broken_in(example: &Example) -> Vec<String> {
        broken(&example.history, &super::super::lives(&example.history))
    }

    #[test]
    fn one_unit_too_many_is_seen() {
        let mut example = Example::with(2, None);
        for at in [10, 20] {
            example.reserves("alice", 1, at);
        }
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.reserves("bob", 1, 30);
        assert!(broken_in(&example)[0].starts_with("oversold: 1 more"), "{:?}", broken_in(&example));
    }

    #[test]
    fn what_may_have_come_back_may_be_sold_again_and_no_sooner() {
        let mut example = Example::with(1, None);
        let id = example.reserves("alice", 1, 10);
        example.releases(id, 100);
        example.reserves("bob", 1, 100);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        let mut early = Example::with(1, None);
        let id = early.reserves("alice", 1, 10);
        early.reserves("bob", 1, 50);
        early.releases(id, 100);
        assert!(broken_in(&early)[0].starts_with("oversold"));
    }

    #[test]
    fn a_buyer_above_the_limit_is_seen_although_there_is_enough() {
        let mut example = Example::with(10, Some(2));
        example.reserves("alice", 2, 10);
        example.reserves("bob", 2, 20);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.deducts("alice", 1, 30);
        assert!(broken_in(&example)[0].starts_with("limit: alice had 1 more"));
    }

    #[test]
    fn a_restock_counts_once_however_often_it_was_asked_for() {
        let mut example = Example::with(1, None);
        let id = Uuid::from_u128(99);
        example.adjusts(id, 1, 5);
        example.adjusts(id, 1, 6);
        example.reserves("alice", 2, 10);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.reserves("alice", 1, 20);
        assert!(broken_in(&example)[0].starts_with("oversold"));
    }

    #[test]
    fn a_sale_after_closing_is_seen_and_a_repeated_one_is_none() {
        let mut example = Example::with(5, None);
        let closes = 1_000_000;
        example.history.terms.get_mut(&cell(TEE)).unwrap().window = Some((0, closes));
        let id = example.deducts("alice", 1, 10);
        example.repeats_deduction(id, closes + 2 * CLOCK_SLACK);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.deducts("alice", 1, closes + 2 * CLOCK_SLACK);
        assert!(broken_in(&example)[0].starts_with("window"));
    }
}
