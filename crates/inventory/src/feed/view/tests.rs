//! What watchers of one view are told, place by place.

use prost::Message as _;
use stampede_proto::inventory::v1::WatchStockResponse;
use stampede_types::Pool;
use uuid::Uuid;

use super::*;
use crate::feed::HEADER_BYTES;

/// A level whose units, version and transaction are the same number.
pub fn change(pool: &str, sku: &str, number: i64) -> Change {
    let cell = CellKey { pool: Pool::from_stored(pool).unwrap(), sku: sku.parse().unwrap() };
    let level = Level { on_hand: number, held: 0, committed: 0, backorder: 0, version: number };
    Change { cell, level, changed_in: number }
}

impl View {
    /// Of every level, in the order of the cells.
    pub fn versions(&self) -> Vec<i64> {
        self.state().levels.values().map(|shown| shown.level.version).collect()
    }
}

const START: Point = Point { sequence: 0, horizon: 0 };

fn flash() -> View {
    View::new(Filter::new(vec![], Some(Pool::from_stored("flash").unwrap())).unwrap())
}

fn seal() -> Seal {
    Seal::new(Uuid::nil(), Uuid::nil())
}

fn read(bytes: &Bytes) -> WatchStockResponse {
    WatchStockResponse::decode(&bytes[HEADER_BYTES..]).unwrap()
}

/// The versions a message tells of.
fn told(bytes: &Bytes) -> Vec<i64> {
    let levels = match read(bytes).update.unwrap() {
        Update::Snapshot(snapshot) => snapshot.levels,
        Update::Delta(delta) => delta.levels,
        Update::Heartbeat(_) => vec![],
    };
    levels.iter().map(|level| level.version).collect()
}

fn news(view: &View, place: Place) -> Option<(Bytes, Place, i64)> {
    view.news(&seal(), START, place, 0).unwrap()
}

#[test]
fn a_reader_that_stops_gets_the_newest_level_of_what_it_missed_and_nothing_twice() {
    let view = flash();
    view.show(&[change("flash", "cap", 1), change("flash", "tee", 2)], START);
    let (snapshot, place, _) = news(&view, Place::Outside).unwrap();
    assert_eq!(told(&snapshot), [1, 2]);
    for version in 3..1_000 {
        view.show(&[change("flash", "tee", version)], START);
    }
    let (missed, place, _) = news(&view, place).unwrap();
    assert_eq!(told(&missed), [999]);
    assert_eq!(news(&view, place), None);
}

#[test]
fn everybody_at_the_same_place_is_sent_the_same_bytes() {
    let view = flash();
    let (_, place, _) = news(&view, Place::Outside).unwrap();
    view.show(&[change("flash", "tee", 1)], START);
    let (first, ..) = news(&view, place).unwrap();
    let (second, ..) = news(&view, place).unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn an_older_level_never_replaces_a_newer_one_and_is_no_news() {
    let view = flash();
    view.show(&[change("flash", "tee", 5)], START);
    let (_, place, _) = news(&view, Place::Outside).unwrap();
    view.show(&[change("flash", "tee", 5), change("flash", "tee", 4)], START);
    assert_eq!(news(&view, place), None);
}

#[test]
fn a_reader_that_comes_back_is_told_what_changed_since_and_a_sequence_never_goes_back() {
    let view = flash();
    view.show(&[change("flash", "cap", 3), change("flash", "tee", 7)], Point { sequence: 7, horizon: 8 });
    let (missed, _, sequence) = view.news(&seal(), START, Place::Horizon(5), 4).unwrap().unwrap();
    assert_eq!((told(&missed), sequence), (vec![7], 7));
    let (missed, _, sequence) = view.news(&seal(), START, Place::Horizon(5), 9).unwrap().unwrap();
    assert_eq!((told(&missed), sequence, read(&missed).sequence), (vec![7], 9, 9));
    assert_eq!(view.news(&seal(), START, Place::Horizon(8), 7).unwrap(), None);
}

#[test]
fn a_reader_that_missed_too_much_begins_again_with_a_snapshot() {
    let view = flash();
    let changes: Vec<_> = (0..=MAX_MISSED).map(|n| change("flash", &format!("sku-{n}"), 10)).collect();
    view.show(&changes[..MAX_MISSED], START);
    let (missed, ..) = news(&view, Place::Horizon(10)).unwrap();
    assert!(matches!(read(&missed).update, Some(Update::Delta(_))));
    view.show(&changes[MAX_MISSED..], START);
    let (again, ..) = news(&view, Place::Horizon(10)).unwrap();
    assert!(matches!(read(&again).update, Some(Update::Snapshot(_))));
}

#[test]
fn a_view_shows_no_more_levels_than_its_limit_and_says_so() {
    let view = flash();
    let full: Vec<_> = (0..MAX_LEVELS).map(|n| change("flash", &format!("sku-{n}"), 1)).collect();
    view.show(&full, START);
    assert!(view.news(&seal(), START, Place::Outside, 0).unwrap().is_some());
    view.show(&[change("flash", "one-more", 2)], START);
    assert_eq!(view.news(&seal(), START, Place::Outside, 0), Err(TooMany));
    assert_eq!(view.versions().len(), MAX_LEVELS);
}

#[test]
fn few_messages_are_kept_however_many_places_there_are() {
    let view = flash();
    for version in 1..100 {
        view.show(&[change("flash", "tee", version)], START);
    }
    for turn in 0..99 {
        news(&view, Place::Turn(turn)).unwrap();
    }
    assert_eq!(view.state().made.len(), SHARED);
    view.show(&[change("flash", "tee", 100)], START);
    assert!(view.state().made.is_empty(), "what is not the newest is not kept");
}
