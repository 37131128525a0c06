//! Who watches what: one view for each filter there is, found by the cells it shows. It never holds its lock while a view
//! works or a watcher is woken, so that ten thousand who come are not kept waiting by what changes.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stampede_types::{Pool, SkuId};

use super::View;
use crate::store::feed::{Change, Point};

/// Which cells somebody watches: of these SKUs, all when there are none; in this pool, every one when there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    skus: Vec<SkuId>,
    pool: Option<Pool>,
}

impl Filter {
    /// The order and the repetition of SKUs mean nothing. `None` when it would be everything there is.
    pub fn new(mut skus: Vec<SkuId>, pool: Option<Pool>) -> Option<Self> {
        skus.sort_unstable();
        skus.dedup();
        (pool.is_some() || !skus.is_empty()).then_some(Self { skus, pool })
    }

    pub fn skus(&self) -> &[SkuId] {
        &self.skus
    }

    pub fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }
}

type Views = HashMap<u64, Arc<View>>;

#[derive(Debug)]
struct Watched {
    view: Arc<View>,
    id: u64,
    members: usize,
}

#[derive(Debug, Default)]
struct Index {
    next: u64,
    filters: HashMap<Filter, Watched>,
    by_sku: HashMap<SkuId, Views>,
    /// Those that named no SKU.
    by_pool: HashMap<Pool, Views>,
}

#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Index>);

/// A watcher's share in a view; dropping the last one ends the view.
#[derive(Debug)]
pub struct Member {
    view: Arc<View>,
    registry: Arc<Registry>,
}

impl Registry {
    pub fn join(this: &Arc<Self>, filter: Filter) -> Member {
        let mut index = this.index();
        let view = match index.filters.get_mut(&filter) {
            Some(watched) => {
                watched.members += 1;
                watched.view.clone()
            }
            None => index.add(filter),
        };
        drop(index);
        Member { view, registry: this.clone() }
    }

    pub fn is_empty(&self) -> bool {
        self.index().filters.is_empty()
    }

    pub fn views(&self) -> Vec<Arc<View>> {
        self.index().filters.values().map(|watched| watched.view.clone()).collect()
    }

    /// Everything committed below the point is in the changes, or has been handed out before.
    pub fn hand_out(&self, changes: &[Change], point: Point) {
        let mut shown: HashMap<u64, (Arc<View>, Vec<&Change>)> = HashMap::new();
        let index = self.index();
        for change in changes {
            let by_sku = index.by_sku.get(&change.cell.sku).into_iter().flatten();
            let by_sku =
                by_sku.filter(|(_, view)| view.filter().pool().is_none_or(|pool| *pool == change.cell.pool));
            let by_pool = index.by_pool.get(&change.cell.pool).into_iter().flatten();
            for (id, view) in by_sku.chain(by_pool) {
                shown.entry(*id).or_insert_with(|| (view.clone(), Vec::new())).1.push(change);
            }
        }
        drop(index);
        for (view, changes) in shown.into_values() {
            view.show(changes, point);
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, filter: Filter) -> Arc<View> {
        let (id, view) = (self.next, Arc::new(View::new(filter.clone())));
        self.next += 1;
        for sku in filter.skus() {
            self.by_sku.entry(sku.clone()).or_default().insert(id, view.clone());
        }
        if let (Some(pool), []) = (filter.pool(), filter.skus()) {
            self.by_pool.entry(pool.clone()).or_default().insert(id, view.clone());
        }
        self.filters.insert(filter, Watched { view: view.clone(), id, members: 1 });
        view
    }

    fn leave(&mut self, filter: &Filter) {
        let Some(watched) = self.filters.get_mut(filter) else { return };
        watched.members -= 1;
        let id = watched.id;
        if watched.members > 0 {
            return;
        }
        self.filters.remove(filter);
        for sku in filter.skus() {
            forget(&mut self.by_sku, sku, id);
        }
        if let Some(pool) = filter.pool() {
            forget(&mut self.by_pool, pool, id);
        }
    }
}

fn forget<K: std::hash::Hash + Eq>(views: &mut HashMap<K, Views>, key: &K, id: u64) {
    if let Some(of_key) = views.get_mut(key) {
        of_key.remove(&id);
        if of_key.is_empty() {
            views.remove(key);
        }
    }
}

impl Deref for Member {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.registry.index().leave(self.view.filter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::view::tests::change;

    fn filter(skus: &[&str], pool: Option<&str>) -> Filter {
        let skus = skus.iter().map(|sku| sku.parse().unwrap()).collect();
        Filter::new(skus, pool.map(|pool| Pool::from_stored(pool).unwrap())).unwrap()
    }

    #[test]
    fn a_change_reaches_the_views_that_show_its_cell_and_no_other() {
        let registry = Arc::new(Registry::default());
        let [tee, flash, tee_in_flash] =
            [filter(&["tee"], None), filter(&[], Some("flash")), filter(&["tee"], Some("flash"))]
                .map(|filter| Registry::join(&registry, filter));
        let changes = [change("shelf", "tee", 1), change("flash", "tee", 2), change("flash", "cap", 3)];
        registry.hand_out(&changes, Point::default());
        assert_eq!(
            [tee.versions(), flash.versions(), tee_in_flash.versions()],
            [vec![1, 2], vec![3, 2], vec![2]]
        );
    }

    #[test]
    fn watchers_who_ask_the_same_share_a_view_that_ends_with_the_last_of_them() {
        let registry = Arc::new(Registry::default());
        let first = Registry::join(&registry, filter(&["tee", "cap"], None));
        let second = Registry::join(&registry, filter(&["cap", "tee", "cap"], None));
        assert!(Arc::ptr_eq(&first.view, &second.view));
        drop(first);
        assert_eq!(registry.views().len(), 1);
        drop(second);
        let index = registry.index();
        assert!(index.filters.is_empty() && index.by_sku.is_empty() && index.by_pool.is_empty());
    }
}
