//! Books in order have nothing to say; books broken in one place each name that place.

use super::*;
use crate::drill::books::Cell;
use crate::drill::told::{Intent, Line};

const SOLD: Uuid = Uuid::from_u128(1);
const RETURNED: Uuid = Uuid::from_u128(2);
const REFUSED: Uuid = Uuid::from_u128(3);
const BOTH: Uuid = Uuid::from_u128(4);

fn purchase(id: Uuid, buyer: &str, lines: &[(usize, i64)], fate: Fate) -> Purchase {
    Purchase {
        id,
        buyer: buyer.to_owned(),
        lines: lines.iter().map(|&(sku, units)| Line { sku, units }).collect(),
        intent: Intent::Buy,
        taken: fate != Fate::Refused,
        fate,
        receipt: None,
        trail: Vec::new(),
    }
}

fn row(id: Uuid, buyer: &str, state: State, sku: usize, units: i64) -> Row {
    Row { id, buyer: buyer.to_owned(), state, sku, units, returned: 0 }
}

fn cell(on_sale: i64) -> Cell {
    let level = Level { on_hand: on_sale, held: 0, committed: on_sale };
    Cell { on_sale, per_buyer_limit: 4, level, moved: level }
}

fn sides(on_hand: i64) -> Sides {
    Sides { gate: Some(0), ledger: Level { on_hand, held: 0, committed: on_hand } }
}

/// Two SKUs, of which 5 and 2 units were put on sale and all sold: 2 by one line, 3 and 2 by two lines.
fn in_order() -> Seen {
    let purchases = vec![
        purchase(SOLD, "ann", &[(0, 2)], Fate::Sold),
        purchase(RETURNED, "ann", &[(0, 1)], Fate::Returned),
        purchase(REFUSED, "bob", &[(1, 1)], Fate::Refused),
        purchase(BOTH, "bob", &[(0, 3), (1, 2)], Fate::Sold),
    ];
    let rows = vec![
        row(SOLD, "ann", State::Committed, 0, 2),
        row(RETURNED, "ann", State::Released, 0, 1),
        row(BOTH, "bob", State::Committed, 0, 3),
        row(BOTH, "bob", State::Committed, 1, 2),
    ];
    let quotas = vec![(0, "ann".to_owned(), 2), (0, "bob".to_owned(), 3), (1, "bob".to_owned(), 2)];
    Seen {
        told: Told { purchases, ..Told::default() },
        settled: vec![sides(5), sides(2)],
        at_last: vec![sides(5), sides(2)],
        books: Books { cells: vec![cell(5), cell(2)], rows, quotas },
        reopened: true,
        connections_may_break: false,
    }
}

#[track_caller]
fn broken_by(change: impl FnOnce(&mut Seen), expected: &[Violation]) {
    let mut seen = in_order();
    change(&mut seen);
    let found = violations(&seen);
    for violation in expected {
        assert!(found.contains(violation), "{violation:?} is not among {found:?}");
        assert!(CHECKS.contains(&violation.check()));
    }
}

#[test]
fn books_in_order_have_nothing_to_say() {
    assert_eq!(violations(&in_order()), []);
}

#[test]
fn units_sold_beyond_what_was_on_sale_are_counted_by_whichever_account_says_most() {
    let over = [Violation::Oversold { sku: 0, units: 1 }];
    broken_by(|seen| seen.books.cells[0].on_sale = 4, &over);
    broken_by(|seen| seen.books.cells[0].level.committed = 6, &over);
    broken_by(|seen| seen.books.cells[0].moved.held = 1, &over);
    broken_by(|seen| seen.books.rows[0].units = 3, &over);
}

#[test]
fn units_nobody_could_buy_are_named() {
    broken_by(|seen| seen.books.cells[1].level.on_hand = 5, &[Violation::Unsold { sku: 1, units: 3 }]);
}

#[test]
fn a_gate_that_differs_or_stays_away_is_named_whenever_it_was_seen() {
    let drift = [Violation::Drift { sku: 0, gate: 7, ledger: 0 }];
    broken_by(|seen| seen.settled[0].gate = Some(7), &drift);
    broken_by(|seen| seen.at_last[0].gate = Some(7), &drift);
    broken_by(|seen| seen.settled[1].gate = None, &[Violation::GateAway { sku: 1 }]);
    assert_eq!(Sides { gate: Some(7), ..sides(5) }.drift(), 7);
}

#[test]
fn an_accepted_id_is_in_the_ledger_once_and_as_it_was_asked() {
    broken_by(|seen| drop(seen.books.rows.remove(0)), &[Violation::AcceptedMissing { id: SOLD }]);
    broken_by(|seen| drop(seen.books.rows.remove(1)), &[Violation::AcceptedMissing { id: RETURNED }]);
    broken_by(
        |seen| seen.books.rows.push(row(SOLD, "ann", State::Committed, 0, 2)),
        &[Violation::AcceptedTwice { id: SOLD }],
    );
    let otherwise = [Violation::AcceptedOtherwise { id: SOLD }];
    broken_by(|seen| seen.books.rows[0].state = State::Released, &otherwise);
    broken_by(|seen| seen.books.rows[0].units = 1, &otherwise);
    broken_by(|seen| seen.books.rows[0].returned = 1, &otherwise);
    broken_by(|seen| seen.books.rows[0].buyer = "eve".to_owned(), &otherwise);
    broken_by(|seen| drop(seen.books.rows.remove(3)), &[Violation::AcceptedOtherwise { id: BOTH }]);
}

#[test]
fn an_id_that_was_refused_or_given_back_takes_nothing() {
    broken_by(
        |seen| seen.books.rows.push(row(REFUSED, "bob", State::Pending, 1, 1)),
        &[Violation::RefusedTaken { id: REFUSED }],
    );
    broken_by(|seen| seen.books.rows[1].state = State::Pending, &[Violation::ReturnedTaken { id: RETURNED }]);
    let stranger = Uuid::from_u128(99);
    broken_by(
        |seen| seen.books.rows.push(row(stranger, "eve", State::Committed, 0, 1)),
        &[Violation::Stranger { id: stranger }],
    );
}

#[test]
fn an_answer_that_never_came_or_changed_is_named() {
    broken_by(|seen| seen.told.purchases[2].fate = Fate::Unknown, &[Violation::NeverKnown { id: REFUSED }]);
    broken_by(|seen| seen.told.changed.push(SOLD), &[Violation::Changed { id: SOLD }]);
}

#[test]
fn a_buyer_over_the_limit_is_named() {
    broken_by(
        |seen| seen.books.cells[0].per_buyer_limit = 2,
        &[Violation::BuyerOverLimit { sku: 0, buyer: "bob".to_owned(), units: 3, limit: 2 }],
    );
}

#[test]
fn levels_movements_reservations_and_quotas_say_the_same() {
    let level = Level { on_hand: 5, held: 0, committed: 5 };
    let moved = Level { committed: 4, ..level };
    broken_by(
        |seen| seen.books.cells[0].moved = moved,
        &[Violation::LevelsAndMovements { sku: 0, level, moved }],
    );
    broken_by(
        |seen| seen.books.rows[0].state = State::Pending,
        &[Violation::LevelsAndReservations { sku: 0, level, held: 2, committed: 3 }],
    );
    let quota = |used| Violation::QuotaAndReservations { sku: 0, buyer: "ann".to_owned(), used, reserved: 2 };
    broken_by(|seen| seen.books.quotas[0].2 = 3, &[quota(3)]);
    broken_by(|seen| drop(seen.books.quotas.remove(0)), &[quota(0)]);
}

#[test]
fn a_sale_that_stays_closed_and_answers_nobody_can_act_on_are_named() {
    broken_by(|seen| seen.reopened = false, &[Violation::NeverReopened]);
    broken_by(
        |seen| seen.told.count_unclear("UNAVAILABLE without RetryInfo"),
        &[Violation::Unclear { answer: "UNAVAILABLE without RetryInfo".to_owned(), times: 1 }],
    );
    broken_by(|seen| seen.told.lost = 2, &[Violation::ConnectionsLost { times: 2 }]);
}

#[test]
fn connections_may_break_when_their_process_was_ended() {
    let mut seen = in_order();
    seen.told.lost = 2;
    seen.connections_may_break = true;
    assert_eq!(violations(&seen), []);
}
