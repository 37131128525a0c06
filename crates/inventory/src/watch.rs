//! Watching: a snapshot, or what changed since a resume token; then changes as they come, and a heartbeat when there are none.

use std::collections::HashMap;
use std::time::Duration;

use futures::Stream;
use stampede_kit::clock::Clock;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{
    StockDelta, StockHeartbeat, StockLevel, StockSnapshot, WatchStockResponse,
};
use stampede_proto::timestamp;
use stampede_types::{CampaignId, Pool, SkuId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::domain::{CellKey, Level};
use crate::error::{Error, Violation};
use crate::feed::{Filter, Registration};
use crate::inventory::Inventory;
use crate::store::feed::Point;
use crate::{store, wire};

const HEARTBEAT: Duration = Duration::from_secs(5);

impl Inventory {
    /// Follows levels until the reader goes or the process drains. An empty token begins with a snapshot.
    pub async fn watch(
        &self,
        filter: Filter,
        token: &str,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<impl Stream<Item = Result<WatchStockResponse, Status>> + Send + use<>, Error> {
        // Registered first: what changes while the first answer is read is not missed.
        let registration = self.feed.register(filter.clone());
        let mut conn = store::begin(&self.db).await?;
        let now = store::feed::point(&mut conn).await?;
        let since = match token {
            "" => None,
            token => Some(self.feed.seal().open(token, now).ok_or(Error::ResumeTokenInvalid)?),
        };
        check(&mut conn, &filter).await?;
        let horizon = since.map_or(0, |since| since.horizon);
        let levels = match (&filter.pool, filter.skus.as_slice()) {
            (None, []) => return Err(Violation::new("sku_ids", "name SKUs, a campaign, or both").into()),
            (Some(pool), []) => store::feed::of_pool(&mut conn, pool, horizon).await?,
            (pool, skus) => store::feed::of_skus(&mut conn, skus, pool.as_ref(), horizon).await?,
        };
        conn.commit().await?;

        let mut watch = Watch {
            inventory: self.clone(),
            registration,
            seen: HashMap::new(),
            sequence: since.map_or(0, |since| since.sequence),
            first: None,
            clock,
            stop,
        };
        self.metrics.watchers.add(1, &[]);
        watch.first = watch.begin(now, levels, since.is_none());
        Ok(futures::stream::unfold(watch, |mut watch| async move {
            let message = watch.next().await?;
            Some((Ok(message), watch))
        }))
    }
}

async fn check(conn: &mut sqlx::PgConnection, filter: &Filter) -> Result<(), Error> {
    if let Some(Pool::Campaign(campaign)) = &filter.pool
        && store::campaigns::find(conn, campaign).await?.is_none()
    {
        let campaign: CampaignId = campaign.clone();
        return Err(Error::CampaignNotFound { campaign, field: "campaign_id".to_owned() });
    }
    let known = store::skus::read(conn, &filter.skus).await?;
    let unknown = |sku: &&SkuId| !known.iter().any(|known| known.id == **sku);
    match filter.skus.iter().find(unknown) {
        Some(sku) => Err(Error::SkuNotFound { sku: sku.clone(), field: "sku_ids".to_owned() }),
        None => Ok(()),
    }
}

/// One reader's place in the feed.
struct Watch {
    inventory: Inventory,
    registration: Registration,
    /// The version last sent of each cell.
    seen: HashMap<CellKey, i64>,
    sequence: i64,
    first: Option<WatchStockResponse>,
    clock: Clock,
    stop: CancellationToken,
}

impl Watch {
    /// The first message: everything asked for, or what changed since the token, if anything did.
    fn begin(
        &mut self,
        now: Point,
        levels: Vec<(CellKey, Level)>,
        snapshot: bool,
    ) -> Option<WatchStockResponse> {
        let levels = self.news(levels);
        if snapshot {
            return Some(self.message(now, Update::Snapshot(StockSnapshot { levels })));
        }
        (!levels.is_empty()).then(|| self.message(now, Update::Delta(StockDelta { levels })))
    }

    /// The next message; none when the process drains.
    async fn next(&mut self) -> Option<WatchStockResponse> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let alive = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = self.registration.changed() => false,
                () = tokio::time::sleep_until(heartbeat) => true,
            };
            // The point comes first: everything below it is among what is taken.
            let point = self.inventory.feed.point();
            let taken = self.registration.take();
            let levels = self.news(taken);
            if !levels.is_empty() {
                return Some(self.message(point, Update::Delta(StockDelta { levels })));
            }
            if alive {
                let at = Some(timestamp(self.clock.now()));
                return Some(self.message(point, Update::Heartbeat(StockHeartbeat { at })));
            }
        }
    }

    /// What this reader has not been told yet.
    fn news(&mut self, levels: impl IntoIterator<Item = (CellKey, Level)>) -> Vec<StockLevel> {
        let mut news = Vec::new();
        for (cell, level) in levels {
            if self.seen.get(&cell).is_some_and(|seen| *seen >= level.version) {
                continue;
            }
            self.sequence = self.sequence.max(level.version);
            news.push(wire::level(&cell, &level));
            self.seen.insert(cell, level.version);
        }
        news
    }

    fn message(&mut self, point: Point, update: Update) -> WatchStockResponse {
        self.sequence = self.sequence.max(point.sequence);
        // Resuming begins at the point, even where single levels are ahead of it: a level may come twice, none is missed.
        let resume_token = self.inventory.feed.seal().token(point);
        WatchStockResponse { sequence: self.sequence, resume_token, update: Some(update) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inventory.metrics.watchers.add(-1, &[]);
    }
}
