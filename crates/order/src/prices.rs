//! What things cost now, asked of inventory and believed for a second. Callers that miss together share one question. What is
//! charged is what the order says, so a price that changed a moment ago costs nobody anything but that moment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use moka::sync::Cache;
use stampede_kit::batch::{Batcher, Limits};
use stampede_types::{CampaignId, Money, Pool, SkuId};
use tokio::sync::OnceCell;
use tonic::Status;

use crate::domain::pricing::{Offer, Wanted};
use crate::error::Error;
use crate::peers::Peers;

/// How long a price is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Names remembered at once, SKUs and campaigns each.
const CAPACITY: u64 = 50_000;
/// What one `BatchGetSkus` takes.
const LOOKUPS: Limits = Limits { batch: 100, writers: 4, queue: 8192 };

/// Empty until the one who asks has an answer; a failed question leaves it empty for the next.
type Cell<T> = Arc<OnceCell<Option<T>>>;
type Items = Arc<HashMap<SkuId, Money>>;
type Failure = Box<Status>;

pub struct Prices {
    skus: Cache<SkuId, Cell<Offer>>,
    campaigns: Cache<CampaignId, Cell<Items>>,
    lookups: Batcher<SkuId, Result<Option<Offer>, Failure>>,
    peers: Peers,
}

impl Prices {
    pub fn new(peers: &Peers) -> Self {
        let asked = peers.clone();
        let lookup = move |skus: Vec<SkuId>| {
            let peers = asked.clone();
            async move { look_up(&peers, skus).await }
        };
        Self {
            skus: Cache::builder().max_capacity(CAPACITY).time_to_live(FRESH).build(),
            campaigns: Cache::builder().max_capacity(CAPACITY).time_to_live(FRESH).build(),
            lookups: Batcher::start("prices", LOOKUPS, lookup),
            peers: peers.clone(),
        }
    }

    /// The present offer for each line, or the first line's refusal.
    pub async fn offers(&self, wanted: &[Wanted]) -> Result<Vec<Offer>, Error> {
        if let [one] = wanted {
            return Ok(vec![self.offer(0, one).await?]);
        }
        let all = wanted.iter().enumerate().map(|(line, wanted)| self.offer(line, wanted));
        Box::pin(join_all(all)).await.into_iter().collect()
    }

    async fn offer(&self, line: usize, wanted: &Wanted) -> Result<Offer, Error> {
        let sku = wanted.sku.to_string();
        let shelf = self.of_shelf(&wanted.sku).await?;
        let Pool::Campaign(campaign) = &wanted.pool else {
            return shelf.ok_or(Error::SkuNotFound { line, sku });
        };
        let items = self
            .campaign(campaign)
            .await?
            .ok_or_else(|| Error::CampaignNotFound { line, campaign: campaign.to_string() })?;
        let title = shelf.ok_or_else(|| Error::SkuNotFound { line, sku: sku.clone() })?.title;
        let unit_price = *items.get(&wanted.sku).ok_or_else(|| Error::PoolNotFound {
            line,
            sku,
            campaign: campaign.to_string(),
        })?;
        Ok(Offer { title, unit_price })
    }

    /// What a SKU is called and costs on the shelf, if there is one of this name.
    pub async fn of_shelf(&self, sku: &SkuId) -> Result<Option<Offer>, Error> {
        let cell = self.skus.get_with_by_ref(sku, Cell::default);
        if let Some(known) = cell.get() {
            return Ok(known.clone());
        }
        let ask = || {
            Box::pin(async {
                let answer = self.lookups.submit(sku.clone()).await.map_err(|_| Error::Overloaded)?;
                answer.map_err(|status| Error::of_peer(*status))
            })
        };
        cell.get_or_try_init(ask).await.cloned()
    }

    async fn campaign(&self, campaign: &CampaignId) -> Result<Option<Items>, Error> {
        let cell = self.campaigns.get_with_by_ref(campaign, Cell::default);
        if let Some(known) = cell.get() {
            return Ok(known.clone());
        }
        // Once a second: it need not be a part of every request.
        let ask = || {
            Box::pin(async {
                let items = self.peers.campaign(campaign).await.map_err(Error::of_peer)?;
                Ok::<_, Error>(items.map(Arc::new))
            })
        };
        cell.get_or_try_init(ask).await.cloned()
    }
}

async fn look_up(peers: &Peers, skus: Vec<SkuId>) -> Vec<Result<Option<Offer>, Failure>> {
    let asked: Vec<SkuId> = skus.iter().cloned().collect::<HashSet<_>>().into_iter().collect();
    match peers.skus(&asked).await {
        Ok(found) => skus.iter().map(|sku| Ok(found.get(sku).cloned())).collect(),
        Err(status) => skus.iter().map(|_| Err(Box::new(status.clone()))).collect(),
    }
}
