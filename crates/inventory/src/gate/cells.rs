//! What this process knows of each cell at the gate: its keys, whether it is loaded, whether it is sold out. It never
//! counts units: Redis and the ledger do.
//!
//! Sold out is a flag with a version. The gate's version of a cell grows with every script call that changes its units, and is
//! at or above Redis's clock in microseconds, so that versions grow even when Redis has forgotten everything. A script that
//! reads version `v` has seen every unit that came back at `v` or below, and none that came back above. So a refusal at `v` is
//! news after units came back at `v` (it saw them, and they were gone again), and is stale after units came back at `v + 1`.
//! Both sides only grow, and the flag is their comparison: in whatever order answers and news arrive, the newer one stands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::bucket::Buckets;
use super::link::Lane;
use crate::domain::CellKey;
use crate::reopen::News;

/// The longest a sold-out answer is given without asking again, when nobody said that units came back.
const SOLD_OUT_FOR: Duration = Duration::from_millis(200);

/// How this process keeps and tells that cells are sold out.
#[derive(Debug, Clone)]
pub struct SoldOut {
    /// How long the flag stands when nobody says that units came back.
    pub lasts: Duration,
    /// Who tells the other processes.
    pub news: News,
}

impl Default for SoldOut {
    fn default() -> Self {
        Self { lasts: SOLD_OUT_FOR, news: News::default() }
    }
}

/// Cells remembered at once. Above it everything is forgotten and loaded again when it is used.
const MAX_CELLS: usize = 200_000;

#[derive(Debug)]
pub struct Cell {
    pub key: CellKey,
    buckets: Buckets,
    /// The cells of a pool fail together.
    pub lane: Lane,
    /// The gate's generation this cell was loaded in; another one means that it must be loaded again.
    loaded: AtomicU64,
    /// One load at a time.
    pub loading: Mutex<()>,
    /// How often the ledger did not answer a load.
    failures: AtomicU64,
    /// How often somebody has begun to take the ledger's level.
    levels: AtomicU64,
    /// Milliseconds since `started`; 0 is never.
    sold_out_until: AtomicU64,
    /// The highest version at which nothing was free.
    sold_out_at: AtomicI64,
    /// The highest version at which units came back.
    reopened_at: AtomicI64,
    started: Instant,
    sold_out: SoldOut,
}

impl Cell {
    fn new(prefix: &str, key: CellKey, started: Instant, sold_out: SoldOut) -> Self {
        Self {
            buckets: Buckets::new(prefix, &key),
            lane: Lane::of(&key.pool),
            key,
            loaded: AtomicU64::new(0),
            loading: Mutex::new(()),
            failures: AtomicU64::new(0),
            levels: AtomicU64::new(0),
            sold_out_until: AtomicU64::new(0),
            sold_out_at: AtomicI64::new(0),
            reopened_at: AtomicI64::new(0),
            started,
            sold_out,
        }
    }

    pub fn is_loaded(&self, generation: u64) -> bool {
        self.loaded.load(Ordering::Acquire) == generation
    }

    pub fn set_loaded(&self, generation: u64) {
        self.loaded.store(generation, Ordering::Release);
    }

    /// Into how many buckets the cell is divided, and where they are.
    pub const fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// A bucket said that it is divided otherwise; into none when it is not loaded.
    pub fn moved_to(&self, layout: i64) {
        match u32::try_from(layout) {
            Ok(layout) if layout > 0 => self.buckets.set_layout(layout),
            Ok(_) | Err(_) => self.invalidate(),
        }
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }

    pub fn levels_begun(&self) -> u64 {
        self.levels.load(Ordering::Acquire)
    }

    pub fn begin_level(&self) {
        self.levels.fetch_add(1, Ordering::AcqRel);
    }

    /// What Redis has of this cell may be wrong: it is loaded before it is used again.
    pub fn invalidate(&self) {
        self.loaded.store(0, Ordering::Release);
        self.sold_out_until.store(0, Ordering::Release);
    }

    /// Nothing was free a moment ago, and nothing has come back since.
    pub fn is_sold_out(&self) -> bool {
        let until = self.sold_out_until.load(Ordering::Acquire);
        until > 0
            && self.sold_out_at.load(Ordering::Acquire) >= self.reopened_at.load(Ordering::Acquire)
            && self.millis(Instant::now()) < until
    }

    /// The gate said at `version` that nothing is free.
    pub fn sold_out(&self, version: i64) {
        let before = self.sold_out_at.fetch_max(version, Ordering::AcqRel);
        if version >= before {
            self.sold_out_until.store(self.millis(Instant::now() + self.sold_out.lasts), Ordering::Release);
        }
    }

    /// Units came back at `version` by what this process did: every process is told.
    pub fn reopen(&self, version: i64) {
        self.heard(version);
        self.sold_out.news.tell(&self.key, version);
    }

    /// Units came back at `version`, somebody says.
    pub fn heard(&self, version: i64) {
        self.reopened_at.fetch_max(version, Ordering::AcqRel);
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The cells this process has met.
#[derive(Debug)]
pub struct Cells {
    prefix: String,
    started: Instant,
    sold_out: SoldOut,
    known: RwLock<HashMap<CellKey, Arc<Cell>>>,
}

impl Cells {
    pub fn new(prefix: String, sold_out: SoldOut) -> Self {
        Self { prefix, started: Instant::now(), sold_out, known: RwLock::default() }
    }

    pub fn get(&self, key: &CellKey) -> Option<Arc<Cell>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Remembers a cell the ledger has.
    pub fn meet(&self, key: &CellKey) -> Arc<Cell> {
        if let Some(cell) = self.get(key) {
            return cell;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CELLS {
            known.clear();
        }
        let make = || Arc::new(Cell::new(&self.prefix, key.clone(), self.started, self.sold_out.clone()));
        known.entry(key.clone()).or_insert_with(make).clone()
    }

    /// The cell if it has been met, or one made to look at it.
    pub fn peek(&self, key: &CellKey) -> Arc<Cell> {
        self.get(key).unwrap_or_else(|| {
            Arc::new(Cell::new(&self.prefix, key.clone(), self.started, self.sold_out.clone()))
        })
    }

    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use stampede_types::Pool;

    use super::*;

    fn cell(lasts: Duration) -> Arc<Cell> {
        let sold_out = SoldOut { lasts, ..SoldOut::default() };
        Cells::new("t".into(), sold_out).meet(&CellKey { pool: Pool::Shelf, sku: "tee".parse().unwrap() })
    }

    #[test]
    fn the_newer_of_sold_out_and_reopened_stands_in_whatever_order_they_arrive() {
        let cell = cell(Duration::from_secs(3_600));
        cell.sold_out(10);
        assert!(cell.is_sold_out());
        cell.heard(11);
        assert!(!cell.is_sold_out(), "units came back after it");
        cell.sold_out(10);
        assert!(!cell.is_sold_out(), "an answer that had not seen them");
        cell.sold_out(11);
        assert!(cell.is_sold_out(), "an answer that had seen them, and they were gone again");
        cell.sold_out(14);
        cell.heard(13);
        assert!(cell.is_sold_out(), "news that is older than the flag");
        cell.heard(15);
        assert!(!cell.is_sold_out());
    }

    #[test]
    fn a_cell_is_flagged_at_the_very_version_it_was_loaded_at() {
        let cell = cell(Duration::from_secs(3_600));
        cell.reopen(10);
        cell.sold_out(10);
        assert!(cell.is_sold_out());
    }

    #[test]
    fn the_flag_ends_by_itself() {
        let cell = cell(Duration::ZERO);
        cell.sold_out(10);
        assert!(!cell.is_sold_out());
    }
}
