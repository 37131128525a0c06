//! Watchers: what each one waits for, and the newest level of each cell it has not taken yet. Bounded by what it watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stampede_types::{Pool, SkuId};
use tokio::sync::Notify;

use crate::domain::{CellKey, Level};

/// Which cells somebody watches: of these SKUs, all when there are none; in this pool, every one when there is none.
#[derive(Debug, Clone)]
pub struct Filter {
    pub skus: Vec<SkuId>,
    pub pool: Option<Pool>,
}

#[derive(Debug, Default)]
struct Watcher {
    /// The newest level of each cell: a second change replaces the first.
    pending: Mutex<HashMap<CellKey, Level>>,
    changed: Notify,
}

type Watchers = HashMap<u64, Arc<Watcher>>;

#[derive(Debug, Default)]
struct Index {
    next: u64,
    by_sku: HashMap<SkuId, Watchers>,
    /// Those that named no SKU.
    by_pool: HashMap<Pool, Watchers>,
    filters: HashMap<u64, Filter>,
}

#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Index>);

/// A registered watcher; dropping it ends the watch.
#[derive(Debug)]
pub struct Registration {
    id: u64,
    watcher: Arc<Watcher>,
    registry: Arc<Registry>,
}

impl Registry {
    pub fn register(this: &Arc<Self>, filter: Filter) -> Registration {
        let watcher = Arc::new(Watcher::default());
        let mut index = this.index();
        let id = index.next;
        index.next += 1;
        if filter.skus.is_empty() {
            let pool = filter.pool.clone().unwrap_or(Pool::Shelf);
            index.by_pool.entry(pool).or_default().insert(id, watcher.clone());
        }
        for sku in &filter.skus {
            index.by_sku.entry(sku.clone()).or_default().insert(id, watcher.clone());
        }
        index.filters.insert(id, filter);
        Registration { id, watcher, registry: this.clone() }
    }

    pub fn is_empty(&self) -> bool {
        self.index().filters.is_empty()
    }

    pub fn hand_out(&self, changes: &[(CellKey, Level)]) {
        let index = self.index();
        for (cell, level) in changes {
            let by_sku = index.by_sku.get(&cell.sku).into_iter().flatten().filter(|(id, _)| {
                index
                    .filters
                    .get(id)
                    .is_some_and(|filter| filter.pool.as_ref().is_none_or(|pool| *pool == cell.pool))
            });
            let by_pool = index.by_pool.get(&cell.pool).into_iter().flatten();
            for (_, watcher) in by_sku.chain(by_pool) {
                watcher.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(cell.clone(), *level);
                watcher.changed.notify_one();
            }
        }
    }

    fn forget(&self, id: u64) {
        let mut index = self.index();
        let Some(filter) = index.filters.remove(&id) else { return };
        for sku in &filter.skus {
            if let Some(watchers) = index.by_sku.get_mut(sku) {
                watchers.remove(&id);
                if watchers.is_empty() {
                    index.by_sku.remove(sku);
                }
            }
        }
        if filter.skus.is_empty() {
            let pool = filter.pool.unwrap_or(Pool::Shelf);
            if let Some(watchers) = index.by_pool.get_mut(&pool) {
                watchers.remove(&id);
                if watchers.is_empty() {
                    index.by_pool.remove(&pool);
                }
            }
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Returns when something may have changed since it was taken last.
    pub async fn changed(&self) {
        self.watcher.changed.notified().await;
    }

    /// The newest level of everything that changed since this was asked last.
    pub fn take(&self) -> HashMap<CellKey, Level> {
        std::mem::take(&mut *self.watcher.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pool: &str, sku: &str, version: i64) -> (CellKey, Level) {
        let cell = CellKey { pool: Pool::from_stored(pool).unwrap(), sku: sku.parse().unwrap() };
        (cell, Level { on_hand: version, version, ..Level::default() })
    }

    #[test]
    fn a_reader_that_stops_gets_the_newest_level_and_nothing_twice() {
        let registry = Arc::new(Registry::default());
        let tee = Registry::register(&registry, Filter { skus: vec!["tee".parse().unwrap()], pool: None });
        registry.hand_out(&[change("shelf", "tee", 1), change("flash", "tee", 2), change("shelf", "cap", 3)]);
        registry.hand_out(&[change("shelf", "tee", 4)]);
        let mut versions: Vec<_> = tee.take().into_values().map(|level| level.version).collect();
        versions.sort_unstable();
        assert_eq!(versions, [2, 4]);
        assert!(tee.take().is_empty());
    }

    #[test]
    fn a_watch_that_ended_is_forgotten() {
        let registry = Arc::new(Registry::default());
        let flash = Registry::register(
            &registry,
            Filter { skus: vec![], pool: Some(Pool::from_stored("flash").unwrap()) },
        );
        registry.hand_out(&[change("flash", "tee", 1), change("shelf", "tee", 2)]);
        assert_eq!(flash.take().len(), 1);
        drop(flash);
        assert!(registry.is_empty() && registry.index().by_pool.is_empty());
    }
}
