//! The books agree with themselves: levels are the sums of their movements and of the reservations, quotas follow the
//! reservations, and no transaction ever left more promised than there was.

use std::collections::BTreeMap;

use super::super::books::Books;
use super::super::record::{Cell, History, Level, State};

pub fn broken(history: &History, books: &Books) -> Vec<String> {
    let mut broken = Vec::new();
    for (cell, level) in &books.levels {
        broken.extend(of_movements(level, books));
        broken.extend(unsound_on_the_way(cell, books));
        broken.extend(of_reservations(level, books));
        let adjusted: i64 =
            books.adjustments.values().filter(|(of, _)| of == cell).map(|(_, delta)| delta).sum();
        let opened_with = history.terms.get(cell).map_or(level.on_hand - adjusted, |terms| terms.opened_with);
        if level.on_hand != opened_with + adjusted {
            broken
                .push(format!("balance: {level:?} was opened with {opened_with} and adjusted by {adjusted}"));
        }
    }
    broken.extend(quotas(history, books));
    broken
}

fn of_movements(level: &Level, books: &Books) -> Option<String> {
    let mut sums = (0, 0, 0, 0);
    for movement in books.movements.iter().filter(|movement| movement.cell == level.cell) {
        sums.0 += movement.on_hand;
        sums.1 += movement.held;
        sums.2 += movement.committed;
        sums.3 = movement.sequence;
    }
    let fits = sums == (level.on_hand, level.held, level.committed, level.version);
    (!fits).then(|| format!("balance: {level:?} is not the sum of its movements {sums:?}"))
}

/// Replays the movements of a cell, transaction by transaction.
fn unsound_on_the_way(cell: &Cell, books: &Books) -> Option<String> {
    let of_cell: Vec<_> = books.movements.iter().filter(|movement| movement.cell == *cell).collect();
    let (mut on_hand, mut held, mut committed) = (0, 0, 0);
    for (at, movement) in of_cell.iter().enumerate() {
        on_hand += movement.on_hand;
        held += movement.held;
        committed += movement.committed;
        let goes_on = of_cell.get(at + 1).is_some_and(|next| next.transaction == movement.transaction);
        if !goes_on && (held < 0 || committed < 0 || held + committed > on_hand) {
            return Some(format!(
                "balance: {cell:?} stood at {on_hand}, {held}, {committed} after {movement:?}"
            ));
        }
    }
    None
}

fn of_reservations(level: &Level, books: &Books) -> Option<String> {
    let of = |units: &BTreeMap<Cell, i64>| units.get(&level.cell).copied().unwrap_or(0);
    let in_state = |state| books.rows.values().filter(move |row| row.state == state);
    let held: i64 = in_state(State::Pending).map(|row| of(&row.units)).sum();
    let committed: i64 = in_state(State::Committed).map(|row| of(&row.units) - of(&row.returned)).sum();
    let fits = (held, committed) == (level.held, level.committed);
    (!fits).then(|| format!("balance: {level:?}, but reservations hold {held} and have bought {committed}"))
}

fn quotas(history: &History, books: &Books) -> Vec<String> {
    let mut used: BTreeMap<(Cell, String), i64> = BTreeMap::new();
    for row in books.rows.values().filter(|row| !row.state.is_gone()) {
        for (cell, units) in &row.units {
            if history.terms.get(cell).is_some_and(|terms| terms.per_buyer_limit.is_some()) {
                let returned = row.returned.get(cell).copied().unwrap_or(0);
                *used.entry((cell.clone(), row.buyer.clone())).or_default() += units - returned;
            }
        }
    }
    used.retain(|_, units| *units != 0);
    let mut broken = Vec::new();
    for key in used.keys().chain(books.quotas.keys().filter(|key| !used.contains_key(*key))) {
        let (follows, stands) = (used.get(key), books.quotas.get(key));
        let limit = history.terms.get(&key.0).and_then(|terms| terms.per_buyer_limit);
        if follows != stands || follows.zip(limit).is_some_and(|(units, limit)| *units > limit) {
            broken.push(format!("balance: {key:?} uses {follows:?} of {limit:?}, the quota says {stands:?}"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, TEE, cell};
    use super::*;

    fn broken_in(example: &Example) -> Vec<String> {
        broken(&example.history, &example.books)
    }

    fn example() -> Example {
        let mut example = Example::with(5, Some(4));
        let id = example.reserves("alice", 2, 10);
        example.commits(id, 20);
        let id = example.reserves("bob", 3, 30);
        example.releases(id, 40);
        example.deducts("alice", 1, 50);
        example.adjusts(uuid::Uuid::from_u128(7), 2, 60);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example
    }

    #[test]
    fn a_level_that_its_movements_do_not_explain_is_seen() {
        let mut example = example();
        example.level().held += 1;
        assert!(broken_in(&example)[0].contains("not the sum"));
    }

    #[test]
    fn a_lost_and_a_doubled_movement_are_seen() {
        let mut doubled = example();
        let again = doubled.books.movements[2].clone();
        doubled.books.movements.push(again);
        assert!(broken_in(&doubled)[0].contains("not the sum"));
        let mut lost = example();
        lost.books.movements.remove(1);
        assert!(broken_in(&lost).iter().any(|rule| rule.contains("stood at")), "{:?}", broken_in(&lost));
    }

    #[test]
    fn more_promised_than_there_was_is_seen_although_it_fits_in_the_end() {
        let mut example = example();
        example.books.movements[3].held += 4;
        example.books.movements[4].held -= 4;
        assert!(broken_in(&example)[0].contains("stood at"));
    }

    #[test]
    fn units_that_no_reservation_explains_are_seen() {
        let mut example = example();
        example.books.rows.pop_first();
        assert!(broken_in(&example)[0].contains("reservations hold"));
    }

    #[test]
    fn a_quota_that_was_not_freed_or_not_taken_is_seen() {
        let mut example = example();
        example.books.quotas.insert((cell(TEE), "bob".to_owned()), 3);
        assert!(broken_in(&example)[0].contains("the quota says Some(3)"));
        example.books.quotas.clear();
        assert!(broken_in(&example)[0].contains("the quota says None"));
    }

    #[test]
    fn units_on_hand_that_nobody_put_there_are_seen() {
        let mut example = example();
        example.books.adjustments.clear();
        assert!(broken_in(&example)[0].contains("was opened with 5"));
    }
}
