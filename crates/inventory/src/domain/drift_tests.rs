//! What the comparisons say of numbers that agree and of numbers that do not.

use stampede_types::Pool;

use super::*;

fn tee() -> CellKey {
    CellKey { pool: Pool::Shelf, sku: "tee".parse().unwrap() }
}

const LEVEL: Sums = Sums { on_hand: 10, held: 2, committed: 3, backorder: 0 };

fn seen(state: ReservationState, made_by: i64, ended_by: i64, quantity: i64) -> Seen {
    Seen { state, made_by, ended_by, quantity, returned: 0 }
}

#[test]
fn each_number_that_differs_is_named_with_both_sides() {
    let level = Level { on_hand: 10, held: 2, committed: 3, version: 7, ..Level::default() };
    assert_eq!(against_movements(&tee(), &level, LEVEL), vec![]);
    let said = against_movements(&tee(), &level, Sums { on_hand: 11, committed: 1, ..LEVEL });
    let named: Vec<_> = said.iter().map(|d| (d.kind, d.ledger, d.movements, d.units())).collect();
    assert_eq!(named, [(Kind::OnHand, Some(10), Some(11), 1), (Kind::Committed, Some(3), Some(1), 2)]);
    let said = against_reservations(&tee(), LEVEL, Sums { held: 0, ..LEVEL });
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].kind, said[0].units()), (Kind::Held, 2));
}

#[test]
fn a_tally_counts_what_was_so_at_the_levels_version_whatever_has_happened_since() {
    use ReservationState::{Committed, Expired, Pending, Released};
    let mut tally = Tally::new(10, LEVEL);
    for line in [
        seen(Pending, 4, 0, 1),
        // Ended after the level was read: it was held then.
        seen(Committed, 5, 11, 1),
        seen(Committed, 1, 9, 3),
        seen(Released, 2, 10, 8),
        seen(Expired, 2, 6, 8),
        // Made after it.
        seen(Pending, 11, 0, 9),
        seen(Committed, 12, 13, 9),
    ] {
        tally.count(&line);
    }
    assert!(tally.agrees(), "{tally:?}");
    tally.count(&seen(Pending, 3, 0, 1));
    assert!(!tally.agrees());
}

#[test]
fn what_came_back_is_sold_no_longer() {
    let mut tally = Tally::new(10, LEVEL);
    tally.count(&seen(ReservationState::Pending, 1, 0, 2));
    tally.count(&Seen { returned: 2, ..seen(ReservationState::Committed, 1, 2, 5) });
    assert!(tally.agrees(), "{tally:?}");
}
