//! The rules of the books, by example and by random history.

use proptest::prelude::*;
use stampede_types::Pool;

use super::super::stock::{Terms, Window};
use super::*;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const HOLD: Option<Duration> = Some(Duration::MINUTE);

fn cell(pool: &str, sku: &str) -> CellKey {
    CellKey { pool: Pool::from_stored(pool).unwrap(), sku: sku.parse().unwrap() }
}

fn account(units: i64, per_buyer_limit: Option<i64>) -> Account {
    let level = Level { on_hand: units, ..Level::default() };
    Account { level, terms: Terms { per_buyer_limit, window: None } }
}

fn books(accounts: impl IntoIterator<Item = (CellKey, Account)>) -> Books {
    Books::open(NOW, accounts.into_iter().collect(), [], Vec::new(), (1..=100).collect())
}

fn demand(id: u128, buyer: &str, hold: Option<Duration>, lines: &[(&CellKey, i64)]) -> Demand {
    let lines =
        lines.iter().map(|(cell, quantity)| Line { cell: (*cell).clone(), quantity: *quantity }).collect();
    Demand::new(ReservationId::new(Uuid::from_u128(id)), buyer.parse().unwrap(), hold, lines)
}

#[test]
fn lines_of_one_cell_are_summed_before_the_check() {
    let tee = cell("shelf", "tee");
    let mut books = books([(tee.clone(), account(5, None))]);
    let denied = books.demand(&demand(1, "alice", HOLD, &[(&tee, 3), (&tee, 3)]));
    assert_eq!(denied, Err(Denied::OutOfStock { cell: tee.clone(), free: 5 }));
    assert!(books.demand(&demand(2, "alice", HOLD, &[(&tee, 3), (&tee, 2)])).is_ok());
}

#[test]
fn when_one_line_fails_the_others_are_untouched() {
    let (tee, cap) = (cell("shelf", "tee"), cell("shelf", "cap"));
    let mut books = books([(tee.clone(), account(5, None)), (cap.clone(), account(0, None))]);
    assert!(books.demand(&demand(1, "alice", HOLD, &[(&tee, 1), (&cap, 1)])).is_err());
    let changes = books.close();
    assert!(changes.movements.is_empty() && changes.levels.is_empty() && changes.made.is_empty());
}

#[test]
fn a_limit_counts_what_the_same_batch_gave_and_follows_a_release() {
    let tee = cell("flash", "tee");
    let mut books = books([(tee.clone(), account(5, Some(2)))]);
    assert!(books.demand(&demand(1, "alice", HOLD, &[(&tee, 2)])).is_ok());
    let refused = books.demand(&demand(2, "alice", HOLD, &[(&tee, 1)]));
    assert_eq!(refused, Err(Denied::BuyerLimit { cell: tee.clone(), limit: Some(2) }));
    assert!(books.demand(&demand(3, "bob", HOLD, &[(&tee, 1)])).is_ok());
    books.resolve(ReservationId::new(Uuid::from_u128(1)), Resolution::Release).unwrap();
    assert!(books.demand(&demand(4, "alice", HOLD, &[(&tee, 1)])).is_ok());
}

#[test]
fn the_window_is_judged_by_the_clock_that_was_given() {
    let (early, late) = (cell("early", "tee"), cell("late", "tee"));
    let window = |opens: i64, closes: i64| {
        let window =
            Window { opens_at: NOW + Duration::seconds(opens), closes_at: NOW + Duration::seconds(closes) };
        Account { terms: Terms { window: Some(window), ..Terms::default() }, ..account(5, None) }
    };
    let mut books = books([(early.clone(), window(1, 2)), (late.clone(), window(-1, 0))]);
    assert_eq!(
        books.demand(&demand(1, "alice", HOLD, &[(&early, 1)])),
        Err(Denied::NotOpen { cell: early.clone() })
    );
    assert_eq!(
        books.demand(&demand(2, "alice", HOLD, &[(&late, 1)])),
        Err(Denied::Closed { cell: late.clone() })
    );
}

#[test]
fn the_same_id_is_the_same_reservation_and_other_content_is_a_conflict() {
    let tee = cell("shelf", "tee");
    let mut books = books([(tee.clone(), account(5, None))]);
    let (first, fresh) = books.demand(&demand(1, "alice", HOLD, &[(&tee, 2)])).unwrap();
    let (again, fresh_again) = books.demand(&demand(1, "alice", HOLD, &[(&tee, 1), (&tee, 1)])).unwrap();
    assert_eq!((first.clone(), fresh, fresh_again), (again, true, false));
    for other in [
        demand(1, "alice", HOLD, &[(&tee, 1)]),
        demand(1, "bob", HOLD, &[(&tee, 2)]),
        demand(1, "alice", None, &[(&tee, 2)]),
    ] {
        assert_eq!(books.demand(&other), Err(Denied::Conflict { id: first.id }));
    }
    assert_eq!(books.level(&tee).unwrap().held, 2);
}

#[test]
fn what_has_ended_is_told_to_its_buyer_whatever_he_asks_for_and_is_nobody_elses() {
    let tee = cell("shelf", "tee");
    let mut books = books([(tee.clone(), account(5, None))]);
    let (first, _) = books.demand(&demand(1, "alice", HOLD, &[(&tee, 2)])).unwrap();
    books.now = first.expires_at.unwrap();
    let ended = Err(Denied::Resolved { id: first.id, state: ReservationState::Expired });
    assert_eq!(books.demand(&demand(1, "alice", HOLD, &[(&tee, 1)])), ended);
    assert_eq!(books.demand(&demand(1, "bob", HOLD, &[(&tee, 1)])), Err(Denied::Conflict { id: first.id }));
}

#[test]
fn an_id_released_before_it_arrived_is_refused() {
    let tee = cell("shelf", "tee");
    let mut books = books([(tee.clone(), account(5, None))]);
    let late = demand(1, "alice", HOLD, &[(&tee, 1)]);
    books.bury(late.id);
    assert_eq!(books.demand(&late), Err(Denied::Resolved { id: late.id, state: ReservationState::Released }));
}

#[test]
fn a_part_is_sold_once_and_the_rest_frees_stock_and_limit() {
    let (tee, cap) = (cell("flash", "tee"), cell("flash", "cap"));
    let mut books = books([(tee.clone(), account(5, Some(3))), (cap.clone(), account(5, None))]);
    let first = demand(1, "alice", HOLD, &[(&tee, 3), (&cap, 2)]);
    books.demand(&first).unwrap();
    let line = |quantity| [Line { cell: tee.clone(), quantity }];
    assert_eq!(
        books.commit_part(first.id, &line(4)),
        Err(Denied::NotThatMuch { cell: tee.clone(), most: 3 })
    );
    let (sold, resolved) = books.commit_part(first.id, &line(2)).unwrap();
    assert_eq!(resolved, Resolved::Now(ReservationState::Committed));
    assert_eq!(sold.lines.iter().map(|line| line.quantity).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(
        books.commit_part(first.id, &line(2)).unwrap().1,
        Resolved::Before(ReservationState::Committed)
    );
    assert_eq!(books.commit_part(first.id, &line(1)), Err(Denied::Conflict { id: first.id }));
    assert_eq!((books.level(&tee).unwrap().free(), books.level(&cap).unwrap().free()), (3, 5));
    assert!(books.demand(&demand(2, "alice", HOLD, &[(&tee, 1)])).is_ok());
    assert!(books.demand(&demand(3, "alice", HOLD, &[(&tee, 1)])).is_err(), "the limit is three");
}

#[test]
fn what_is_kept_only_shrinks_and_nothing_left_is_released() {
    let (tee, cap) = (cell("shelf", "tee"), cell("shelf", "cap"));
    let mut books = books([(tee.clone(), account(5, None)), (cap.clone(), account(5, None))]);
    let first = demand(1, "alice", HOLD, &[(&tee, 3), (&cap, 1)]);
    books.demand(&first).unwrap();
    let keep = |books: &mut Books, cell: &CellKey, quantity| {
        books.keep_part(first.id, &[Line { cell: cell.clone(), quantity }]).map(|(_, resolved)| resolved)
    };
    assert_eq!(keep(&mut books, &tee, 2), Ok(Resolved::Shrunk));
    assert_eq!(keep(&mut books, &tee, 3), Ok(Resolved::Before(ReservationState::Pending)), "a late repeat");
    assert_eq!(keep(&mut books, &tee, 4), Err(Denied::NotThatMuch { cell: tee.clone(), most: 3 }));
    assert_eq!((books.level(&tee).unwrap().held, books.level(&cap).unwrap().held), (2, 0));
    assert_eq!(keep(&mut books, &cap, 1), Ok(Resolved::Now(ReservationState::Released)));
    assert_eq!(keep(&mut books, &tee, 1), Ok(Resolved::Lost(ReservationState::Released)));
    assert_eq!(books.level(&tee).unwrap().held, 0);
}

#[test]
fn an_adjustment_never_takes_what_is_promised() {
    let tee = cell("shelf", "tee");
    let mut books = books([(tee.clone(), account(5, None))]);
    books.demand(&demand(1, "alice", HOLD, &[(&tee, 3)])).unwrap();
    assert_eq!(books.adjust(&tee, -3, Uuid::nil()), None);
    assert_eq!(books.adjust(&tee, i64::MAX, Uuid::nil()), None);
    assert_eq!(books.adjust(&tee, -2, Uuid::nil()).map(Level::free), Some(0));
}

#[derive(Debug, Clone)]
enum Step {
    Demand { id: u128, buyer: u8, hold: bool, lines: Vec<(u8, i64)> },
    Resolve { id: u128, resolution: u8 },
    Part { id: u128, commit: bool, lines: Vec<(u8, i64)> },
    Adjust { cell: u8, delta: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_u128, 0..3_u8, any::<bool>(), prop::collection::vec((0..3_u8, 1..4_i64), 1..4))
            .prop_map(|(id, buyer, hold, lines)| Step::Demand { id, buyer, hold, lines }),
        3 => (0..40_u128, 0..3_u8).prop_map(|(id, resolution)| Step::Resolve { id, resolution }),
        3 => (0..40_u128, any::<bool>(), prop::collection::vec((0..3_u8, 1..4_i64), 1..4))
            .prop_map(|(id, commit, lines)| Step::Part { id, commit, lines }),
        1 => (0..3_u8, -5..6_i64).prop_map(|(cell, delta)| Step::Adjust { cell, delta }),
    ]
}

fn take(books: &mut Books, cells: &[CellKey; 3], step: Step) {
    match step {
        Step::Demand { id, buyer, hold, lines } => {
            let lines: Vec<_> =
                lines.iter().map(|(at, quantity)| (&cells[usize::from(*at)], *quantity)).collect();
            let _ = books.demand(&demand(id, &format!("b{buyer}"), hold.then_some(Duration::MINUTE), &lines));
        }
        Step::Resolve { id, resolution } => {
            let resolution =
                [Resolution::Commit, Resolution::Release, Resolution::Expire][usize::from(resolution)];
            let _ = books.resolve(ReservationId::new(Uuid::from_u128(id)), resolution);
        }
        Step::Part { id, commit, lines } => {
            let line = |(at, quantity): &(u8, i64)| Line {
                cell: cells[usize::from(*at)].clone(),
                quantity: *quantity,
            };
            let (id, part) =
                (ReservationId::new(Uuid::from_u128(id)), summed(lines.iter().map(line).collect()));
            let before = books.known(id).cloned();
            let taken = if commit { books.commit_part(id, &part) } else { books.keep_part(id, &part) };
            follows(before, taken, &part);
        }
        Step::Adjust { cell, delta } => {
            let _ = books.adjust(&cells[usize::from(cell)], delta, Uuid::nil());
        }
    }
}

/// What a partial ending may do to a reservation: what ended stays as it ended, no line grows, a refusal changes nothing.
fn follows(before: Option<Reservation>, taken: Result<(Reservation, Resolved), Denied>, part: &[Line]) {
    let (Some(before), Ok((after, resolved))) = (before, taken) else { return };
    assert_eq!(before.asked, after.asked);
    let pairs = || before.lines.iter().zip(&after.lines);
    assert!(pairs().all(|(old, new)| old.cell == new.cell && new.quantity <= old.quantity));
    match resolved {
        Resolved::Now(ReservationState::Committed) => {
            assert!(after.lines.iter().filter(|line| line.quantity > 0).eq(part), "sold what was named");
        }
        Resolved::Now(state) => assert_eq!(state, ReservationState::Released),
        Resolved::Shrunk => assert!(pairs().any(|(old, new)| new.quantity < old.quantity)),
        Resolved::Before(_) | Resolved::Lost(_) => assert_eq!(before, after),
    }
    assert!(before.state == ReservationState::Pending || before.state == after.state);
}

proptest! {
    /// Random histories: nothing oversold, nobody above the limit, movements add up to the levels, and what is held and
    /// sold is what the reservations say.
    #[test]
    fn no_history_oversells_or_breaks_a_limit(steps in prop::collection::vec(step(), 1..120)) {
        let cells = [cell("shelf", "a"), cell("flash", "a"), cell("flash", "b")];
        let mut books = books([
            (cells[0].clone(), account(10, None)),
            (cells[1].clone(), account(6, Some(2))),
            (cells[2].clone(), account(3, Some(1))),
        ]);
        for step in steps {
            take(&mut books, &cells, step);
            for cell in &cells {
                prop_assert!(books.level(cell).unwrap().is_sound());
            }
        }
        let known: Vec<_> = books.known.values().cloned().collect();
        let finals: Vec<_> = cells.iter().map(|cell| books.level(cell).unwrap()).collect();
        let changes = books.close();
        for quota in &changes.quotas {
            prop_assert!((0..=quota.limit).contains(&quota.used), "{quota:?}");
        }
        for (cell, (level, opened)) in cells.iter().zip(finals.iter().zip([10, 6, 3])) {
            let moved = changes.movements.iter().filter(|m| m.cell == *cell).fold((opened, 0, 0), |sum, m| {
                let (on_hand, held, committed) = m.kind.deltas(m.quantity);
                (sum.0 + on_hand, sum.1 + held, sum.2 + committed)
            });
            prop_assert_eq!(moved, (level.on_hand, level.held, level.committed));
            let units = |state| -> i64 {
                let lines = known.iter().filter(|r| r.state == state).flat_map(|r| &r.lines);
                lines.filter(|line| line.cell == *cell).map(|line| line.quantity).sum()
            };
            prop_assert_eq!(units(ReservationState::Pending), level.held);
            prop_assert_eq!(units(ReservationState::Committed), level.committed);
        }
    }
}
