//! The parts of inventory put together. Each verb is a file of its own that adds its method here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgPool;
use stampede_types::{Pool, ReservationId};

use crate::domain::CellKey;
use crate::error::Error;
use crate::feed::Feed;
use crate::gate::{Cell, Gate};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::store;

/// Clones share everything: one is made for each request.
#[derive(Clone)]
pub struct Inventory(Arc<Parts>);

pub struct Parts {
    pub(crate) db: PgPool,
    pub(crate) gate: Gate,
    pub(crate) ledger: Ledger,
    pub(crate) feed: Arc<Feed>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) recent: Recent,
    pub(crate) outage: Outage,
    /// Held by whoever compares everything: one at a time.
    pub(crate) comparing: Arc<tokio::sync::Mutex<()>>,
}

impl std::ops::Deref for Inventory {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Inventory {
    pub fn new(db: PgPool, gate: Gate, ledger: Ledger, feed: Arc<Feed>, metrics: Arc<Metrics>) -> Self {
        let outage = Outage::watch(&db);
        let (recent, comparing) = (Recent::default(), Arc::default());
        Self(Arc::new(Parts { db, gate, ledger, feed, metrics, recent, outage, comparing }))
    }

    /// The cells of a request's lines, in the order they came in, so that a refusal can name the line.
    pub(crate) async fn cells(&self, keys: &[&CellKey]) -> Result<Vec<Arc<Cell>>, Error> {
        let known: Option<Vec<_>> = keys.iter().map(|key| self.gate.cells().get(key)).collect();
        match known {
            Some(cells) => Ok(cells),
            // Boxed, because it is rare and large.
            None => Box::pin(self.meet(keys)).await,
        }
    }

    async fn meet(&self, keys: &[&CellKey]) -> Result<Vec<Arc<Cell>>, Error> {
        let mut conn = self.db.acquire().await?;
        let levels = store::levels::read(&mut conn, keys.iter().copied()).await?;
        for (at, key) in keys.iter().enumerate() {
            if !levels.contains_key(*key) {
                return Err(missing(&mut conn, key, &format!("lines[{at}].")).await?);
            }
        }
        Ok(keys.iter().map(|key| self.gate.cells().meet(key)).collect())
    }

    /// One cell, for commands that name it in their own fields.
    pub(crate) async fn cell(&self, key: &CellKey) -> Result<Arc<Cell>, Error> {
        if let Some(cell) = self.gate.cells().get(key) {
            return Ok(cell);
        }
        let mut conn = self.db.acquire().await?;
        if store::levels::read(&mut conn, [key]).await?.is_empty() {
            return Err(missing(&mut conn, key, "").await?);
        }
        Ok(self.gate.cells().meet(key))
    }
}

/// Why there is no such cell: no SKU, no campaign, or the SKU is not in it.
async fn missing(conn: &mut sqlx::PgConnection, key: &CellKey, path: &str) -> Result<Error, Error> {
    if store::skus::read(conn, std::slice::from_ref(&key.sku)).await?.is_empty() {
        return Ok(Error::SkuNotFound { sku: key.sku.clone(), field: format!("{path}sku_id") });
    }
    if let Pool::Campaign(campaign) = &key.pool
        && store::campaigns::find(conn, campaign).await?.is_none()
    {
        return Ok(Error::CampaignNotFound {
            campaign: campaign.clone(),
            field: format!("{path}campaign_id"),
        });
    }
    Ok(crate::domain::Denied::PoolNotFound { cell: key.clone() }.into())
}

/// Ids this process has accepted lately: a repeated request must meet its stored answer, not the sold-out flag.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<[HashSet<ReservationId>; 2]>);

/// Ids of one generation; two are remembered.
const RECENT_IDS: usize = 65_536;

impl Recent {
    pub fn insert(&self, id: ReservationId) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations[0].len() >= RECENT_IDS {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert(id);
    }

    pub fn contains(&self, id: ReservationId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|ids| ids.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn of_the_ids_accepted_lately_a_bounded_number_is_remembered() {
        let recent = Recent::default();
        let id = |number: usize| ReservationId::new(Uuid::from_u128(number as u128));
        let last = 3 * RECENT_IDS;
        (0..last).for_each(|number| recent.insert(id(number)));
        assert!((last - RECENT_IDS..last).all(|number| recent.contains(id(number))));
        assert!(!recent.contains(id(0)));
        let remembered: usize = recent.0.lock().unwrap().iter().map(HashSet::len).sum();
        assert!(remembered <= 2 * RECENT_IDS, "{remembered}");
    }
}
