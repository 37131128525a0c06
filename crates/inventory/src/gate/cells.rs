//! What this process knows of each cell at the gate: its keys, whether it is loaded, whether it is sold out. It never
//! counts units: Redis and the ledger do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::domain::CellKey;

/// The longest a sold-out answer is given without asking again, when nobody said that units came back.
const SOLD_OUT_FOR: Duration = Duration::from_millis(200);
/// Cells remembered at once. Above it everything is forgotten and loaded again when it is used.
const MAX_CELLS: usize = 200_000;

#[derive(Debug)]
pub struct Cell {
    pub key: CellKey,
    /// Counters, quotas, tokens.
    pub keys: [String; 3],
    /// The gate's generation this cell was loaded in; another one means that it must be loaded again.
    loaded: AtomicU64,
    /// One load at a time.
    pub loading: Mutex<()>,
    /// How often somebody has begun to take the ledger's level.
    levels: AtomicU64,
    /// Milliseconds since `started`; 0 is never.
    sold_out_until: AtomicU64,
    /// The version at which units last came back: older news of being sold out is no news.
    reopened_at: AtomicI64,
    started: Instant,
}

impl Cell {
    fn new(prefix: &str, key: CellKey, started: Instant) -> Self {
        let name =
            |part: &str| format!("{prefix}:{{pool:{}}}:{part}:{}", key.pool.as_str(), key.sku.as_str());
        Self {
            keys: [name("counters"), name("quotas"), name("tokens")],
            key,
            loaded: AtomicU64::new(0),
            loading: Mutex::new(()),
            levels: AtomicU64::new(0),
            sold_out_until: AtomicU64::new(0),
            reopened_at: AtomicI64::new(0),
            started,
        }
    }

    pub fn is_loaded(&self, generation: u64) -> bool {
        self.loaded.load(Ordering::Acquire) == generation
    }

    pub fn set_loaded(&self, generation: u64) {
        self.loaded.store(generation, Ordering::Release);
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
        until > 0 && self.millis(Instant::now()) < until
    }

    /// The gate said at `version` that nothing is free.
    pub fn sold_out(&self, version: i64) {
        if version > self.reopened_at.load(Ordering::Acquire) {
            self.sold_out_until.store(self.millis(Instant::now() + SOLD_OUT_FOR), Ordering::Release);
        }
    }

    /// Units came back at `version`.
    pub fn reopen(&self, version: i64) {
        self.reopened_at.fetch_max(version, Ordering::AcqRel);
        self.sold_out_until.store(0, Ordering::Release);
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
    known: RwLock<HashMap<CellKey, Arc<Cell>>>,
}

impl Cells {
    pub fn new(prefix: String) -> Self {
        Self { prefix, started: Instant::now(), known: RwLock::default() }
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
        let make = || Arc::new(Cell::new(&self.prefix, key.clone(), self.started));
        known.entry(key.clone()).or_insert_with(make).clone()
    }

    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use stampede_types::Pool;

    use super::*;

    #[test]
    fn a_cell_that_reopened_ignores_older_news_of_being_sold_out() {
        let cells = Cells::new("t".into());
        let cell = cells.meet(&CellKey { pool: Pool::Shelf, sku: "tee".parse().unwrap() });
        cell.sold_out(10);
        assert!(cell.is_sold_out());
        cell.reopen(11);
        assert!(!cell.is_sold_out());
        cell.sold_out(10);
        assert!(!cell.is_sold_out());
        cell.sold_out(12);
        assert!(cell.is_sold_out());
    }

    #[test]
    fn all_keys_of_a_pool_carry_its_hash_tag() {
        let cells = Cells::new("t".into());
        let cell = cells.meet(&CellKey {
            pool: "flash".parse().map(Pool::Campaign).unwrap(),
            sku: "tee".parse().unwrap(),
        });
        assert!(cell.keys.iter().all(|key| key.starts_with("t:{pool:flash}:") && key.ends_with(":tee")));
    }
}
