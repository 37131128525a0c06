//! A view: the levels one filter shows, as the feed knows them, and the messages made of them. A watcher is a place in it: what
//! changed after a place is what its watcher is told next, each cell once, with its newest level.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::PgConnection;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockDelta, StockLevel, StockSnapshot};
use tokio::sync::{OnceCell, watch};
use tonic::codegen::Bytes;

use super::message::frame;
use super::registry::Filter;
use super::token::Seal;
use crate::domain::{CellKey, Level};
use crate::store::feed::{Change, Point};
use crate::{store, wire};

/// Levels one view may show: about as many as a message of a few hundred kilobytes holds.
pub const MAX_LEVELS: usize = 2_000;
/// Levels a reader that comes back is told as changes. It has missed too much when there are more, and begins again.
const MAX_MISSED: usize = 256;
/// Messages kept for others at the same place. Only those of the newest change are.
const SHARED: usize = 8;

/// The filter shows more levels than a view may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_LEVELS} levels would be watched")]
pub struct TooMany;

/// Where a watcher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It has been told nothing.
    Outside,
    /// It was told everything below this horizon, by this process or another.
    Horizon(i64),
    /// It was told everything up to this turn of the view.
    Turn(u64),
}

#[derive(Debug)]
pub struct View {
    filter: Filter,
    state: Mutex<State>,
    /// Filled once from the ledger.
    pub filled: OnceCell<()>,
    /// The turn; every change of the levels is one.
    turns: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    levels: BTreeMap<CellKey, Shown>,
    turn: u64,
    /// Everything below it is in the levels.
    point: Point,
    /// The highest movement any of the levels has seen.
    sequence: i64,
    /// Messages made since the last turn: for which place, at which sequence.
    made: Vec<(Place, i64, Bytes)>,
    overflowed: bool,
}

#[derive(Debug)]
struct Shown {
    level: Level,
    changed_in: i64,
    /// The turn at which it became this.
    turn: u64,
}

impl View {
    pub fn new(filter: Filter) -> Self {
        let (filled, turns) = (OnceCell::new(), watch::Sender::new(0));
        Self { filter, state: Mutex::default(), filled, turns }
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Wakes at every turn.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.turns.subscribe()
    }

    /// Reads every level the filter shows. `point` is older than this reading.
    pub async fn refresh(&self, conn: &mut PgConnection, point: Point) -> Result<(), sqlx::Error> {
        // One more than may be shown tells that there are too many.
        let limit = i64::try_from(MAX_LEVELS + 1).unwrap_or(i64::MAX);
        let levels = match (self.filter.pool(), self.filter.skus()) {
            (Some(pool), []) => store::feed::of_pool(conn, pool, limit).await?,
            (pool, skus) => store::feed::of_skus(conn, skus, pool, limit).await?,
        };
        self.show(&levels, point);
        Ok(())
    }

    /// Takes levels in, in whatever order they come: the newer one stays. Everything below the point has come with them.
    pub fn show<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, point: Point) {
        let mut state = self.state();
        let turn = state.turn + 1;
        let changed = changes.into_iter().filter(|change| state.take(change, turn)).count();
        state.point = state.point.max(point);
        if changed == 0 {
            return;
        }
        state.turn = turn;
        state.made.clear();
        drop(state);
        // Watchers are woken outside the lock they will ask for.
        self.turns.send_replace(turn);
    }

    /// What a watcher at this place is told next, its new place and sequence; `None` when there is no news. Everything below
    /// `point` is in the view. `told` is the highest sequence it was told: sequences never go back.
    pub fn news(
        &self,
        seal: &Seal,
        point: Point,
        place: Place,
        told: i64,
    ) -> Result<Option<(Bytes, Place, i64)>, TooMany> {
        let mut state = self.state();
        if state.overflowed {
            return Err(TooMany);
        }
        if place == Place::Turn(state.turn) {
            return Ok(None);
        }
        let here = Place::Turn(state.turn);
        if let Some((_, sequence, bytes)) = state.made.iter().find(|made| made.0 == place && made.1 >= told) {
            return Ok(Some((bytes.clone(), here, *sequence)));
        }
        state.point = state.point.max(point);
        let sequence = state.sequence.max(state.point.sequence).max(told);
        let Some(update) = state.update(place) else { return Ok(None) };
        let bytes = frame(sequence, seal, state.point, update);
        state.keep(place, sequence, bytes.clone());
        Ok(Some((bytes, here, sequence)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether it was news.
    fn take(&mut self, change: &Change, turn: u64) -> bool {
        let shown = Shown { level: change.level, changed_in: change.changed_in, turn };
        let room = self.levels.len() < MAX_LEVELS;
        match self.levels.entry(change.cell.clone()) {
            Entry::Occupied(known) if known.get().level.version >= change.level.version => return false,
            Entry::Occupied(mut known) => *known.get_mut() = shown,
            Entry::Vacant(place) if room => {
                place.insert(shown);
            }
            Entry::Vacant(_) => self.overflowed = true,
        }
        self.sequence = self.sequence.max(change.level.version);
        true
    }

    fn update(&self, place: Place) -> Option<Update> {
        let changed = |is: &dyn Fn(&Shown) -> bool| -> Vec<StockLevel> {
            let changed = self.levels.iter().filter(|(_, shown)| is(shown));
            changed.map(|(cell, shown)| wire::level(cell, &shown.level)).collect()
        };
        let levels = match place {
            Place::Outside => return Some(Update::Snapshot(StockSnapshot { levels: changed(&|_| true) })),
            Place::Horizon(horizon) => changed(&|shown| shown.changed_in >= horizon),
            Place::Turn(turn) => changed(&|shown| shown.turn > turn),
        };
        if levels.len() > MAX_MISSED && matches!(place, Place::Horizon(_)) {
            return self.update(Place::Outside);
        }
        (!levels.is_empty()).then_some(Update::Delta(StockDelta { levels }))
    }

    fn keep(&mut self, place: Place, sequence: i64, bytes: Bytes) {
        self.made.retain(|made| made.0 != place);
        if self.made.len() >= SHARED {
            self.made.remove(0);
        }
        self.made.push((place, sequence, bytes));
    }
}

#[cfg(test)]
pub(super) mod tests;
