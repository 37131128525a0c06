//! Deductions and their receipts: each is what the ledger kept, versions follow real time, and what remained fits the movements
//! before and behind it, so that no two deductions took the same unit.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::books::{Books, Movement};
use super::super::record::{Answer, Cell, Micros};
use super::Life;

#[derive(Debug, Clone, Copy)]
struct Deduction<'a> {
    id: Uuid,
    cell: &'a Cell,
    units: i64,
    begun: Micros,
    ended: Micros,
    remaining: i64,
    version: i64,
}

pub fn broken(lives: &BTreeMap<Uuid, Life<'_>>, books: &Books) -> Vec<String> {
    let mut of_cell: BTreeMap<&Cell, Vec<Deduction<'_>>> = BTreeMap::new();
    let mut broken = Vec::new();
    for deduction in lives.iter().filter_map(|(id, life)| deduction(*id, life)) {
        let kept = books.rows.get(&deduction.id).map(|row| (row.remaining, row.version));
        if kept != Some((Some(deduction.remaining), Some(deduction.version))) {
            broken.push(format!("receipts: the ledger kept {kept:?} for {deduction:?}"));
        }
        of_cell.entry(deduction.cell).or_default().push(deduction);
    }
    for (cell, deductions) in of_cell {
        broken.extend(against_time(&deductions));
        broken.extend(taken_twice(cell, &deductions, books));
    }
    broken
}

/// The first time anybody learned of it.
fn deduction<'a>(id: Uuid, life: &Life<'a>) -> Option<Deduction<'a>> {
    let begun = life.calls.iter().map(|call| call.begun).min()?;
    let receipts = life.demands().filter_map(|(call, demand)| match &call.answer {
        Answer::Receipt { remaining, version } => {
            let (cell, units) = demand.units.first_key_value()?;
            let (remaining, version) = (*remaining, *version);
            Some(Deduction { id, cell, units: *units, begun, ended: call.ended, remaining, version })
        }
        Answer::Reservation { .. } | Answer::Levels(_) | Answer::Refused { .. } | Answer::Unknown(_) => None,
    });
    receipts.min_by_key(|deduction| deduction.ended)
}

/// What was answered before another one was asked for has the lower version.
fn against_time(deductions: &[Deduction<'_>]) -> Vec<String> {
    let mut ended: Vec<&Deduction<'_>> = deductions.iter().collect();
    ended.sort_by_key(|deduction| deduction.ended);
    let mut begun = ended.clone();
    begun.sort_by_key(|deduction| deduction.begun);
    let mut ended = ended.into_iter().peekable();
    let mut last: Option<&Deduction<'_>> = None;
    let mut broken = Vec::new();
    for deduction in begun {
        while let Some(earlier) = ended.next_if(|earlier| earlier.ended < deduction.begun) {
            last = last.filter(|last| last.version > earlier.version).or(Some(earlier));
        }
        if let Some(last) = last.filter(|last| last.version >= deduction.version) {
            broken.push(format!("receipts: {deduction:?} came after {last:?} and says otherwise"));
        }
    }
    broken
}

/// Each took its units between what was free before its transaction and what was free behind it, and none of them twice.
fn taken_twice(cell: &Cell, deductions: &[Deduction<'_>], books: &Books) -> Vec<String> {
    let spans = spans(cell, &books.movements);
    let mut broken = Vec::new();
    let mut taken: BTreeMap<&str, Vec<(i64, i64, Uuid)>> = BTreeMap::new();
    for deduction in deductions {
        let Some(span) = spans.iter().find(|span| span.sequences.contains(&deduction.version)) else {
            broken.push(format!("receipts: no movement of {cell:?} has the version of {deduction:?}"));
            continue;
        };
        let (low, high) = (deduction.remaining, deduction.remaining + deduction.units);
        if low < span.free_after || high > span.free_before {
            broken.push(format!("receipts: {deduction:?} does not fit {span:?}"));
        }
        taken.entry(span.transaction).or_default().push((low, high, deduction.id));
    }
    for units in taken.values_mut() {
        units.sort_unstable();
        for pair in units.windows(2).filter(|pair| pair[1].0 < pair[0].1) {
            broken.push(format!("receipts: {} and {} of {cell:?} took the same unit", pair[0].2, pair[1].2));
        }
    }
    broken
}

/// What one transaction did to a cell.
#[derive(Debug)]
struct Span<'a> {
    transaction: &'a str,
    sequences: Vec<i64>,
    free_before: i64,
    free_after: i64,
}

fn spans<'a>(cell: &Cell, movements: &'a [Movement]) -> Vec<Span<'a>> {
    let mut spans: Vec<Span<'a>> = Vec::new();
    let mut free = 0;
    for movement in movements.iter().filter(|movement| movement.cell == *cell) {
        let free_before = free;
        free += movement.on_hand - movement.held - movement.committed;
        match spans.last_mut().filter(|span| span.transaction == movement.transaction) {
            Some(span) => {
                span.sequences.push(movement.sequence);
                span.free_after = free;
            }
            None => spans.push(Span {
                transaction: &movement.transaction,
                sequences: vec![movement.sequence],
                free_before,
                free_after: free,
            }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::super::example::Example;
    use super::*;

    fn broken_in(example: &Example) -> Vec<String> {
        broken(&super::super::lives(&example.history), &example.books)
    }

    fn two() -> Example {
        let mut example = Example::with(5, None);
        example.deducts("alice", 1, 10);
        example.deducts("bob", 2, 20);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example
    }

    fn receipt(example: &mut Example, remaining: i64, version: i64) {
        let id = Uuid::from_u128(2);
        example.history.calls[1].answer = Answer::Receipt { remaining, version };
        let row = example.books.rows.get_mut(&id).unwrap();
        (row.remaining, row.version) = (Some(remaining), Some(version));
    }

    #[test]
    fn a_receipt_the_ledger_did_not_keep_is_seen() {
        let mut example = two();
        example.books.rows.get_mut(&Uuid::from_u128(1)).unwrap().remaining = Some(3);
        assert!(broken_in(&example)[0].contains("the ledger kept"));
    }

    #[test]
    fn a_version_that_runs_against_time_is_seen() {
        let mut example = two();
        receipt(&mut example, 2, 2);
        assert!(broken_in(&example)[0].contains("says otherwise"));
    }

    #[test]
    fn a_remainder_that_fits_no_movement_is_seen() {
        let mut example = two();
        receipt(&mut example, 3, 3);
        assert!(broken_in(&example)[0].contains("does not fit"));
    }

    #[test]
    fn one_unit_for_two_buyers_of_one_transaction_is_seen() {
        let mut example = two();
        example.books.movements[2].transaction = example.books.movements[1].transaction.clone();
        // Together, so that nothing is said about their order.
        example.history.calls[1].begun = 10;
        assert_eq!(broken_in(&example), Vec::<String>::new());
        receipt(&mut example, 3, 3);
        assert!(broken_in(&example)[0].contains("took the same unit"), "{:?}", broken_in(&example));
    }
}
