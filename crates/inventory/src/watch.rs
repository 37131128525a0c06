//! Watching: a snapshot, or what changed since a resume token; then changes as they come, and a heartbeat when there are none.
//! A watcher keeps its place and nothing else: the levels and the messages are its view's.

use std::time::Duration;

use futures::Stream;
use sqlx::PgConnection;
use stampede_kit::clock::Clock;
use stampede_types::{CampaignId, Pool, SkuId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::codegen::Bytes;

use crate::error::{Error, Violation};
use crate::feed::{Filter, Member, Place, TooMany};
use crate::inventory::Inventory;
use crate::store;

const HEARTBEAT: Duration = Duration::from_secs(5);

impl From<TooMany> for Error {
    fn from(too_many: TooMany) -> Self {
        Violation::new("sku_ids", format!("{too_many}: name fewer, or a campaign")).into()
    }
}

impl Inventory {
    /// Follows levels until the reader goes or the process drains, in messages framed for gRPC. An empty token begins with a
    /// snapshot.
    pub async fn watch(
        &self,
        filter: Filter,
        token: &str,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<impl Stream<Item = Result<Bytes, Status>> + Send + use<>, Error> {
        let view = self.feed.join(&self.db, filter).await?;
        view.filled.get_or_try_init(|| self.fill(&view)).await?;
        let (place, told) = match token {
            "" => (Place::Outside, 0),
            token => self.place(token).await?,
        };
        let mut watch = Watch {
            inventory: self.clone(),
            turns: view.turns(),
            view,
            place,
            told,
            first: None,
            clock,
            stop,
        };
        self.metrics.watchers.add(1, &[]);
        // Asked once before the stream begins: what cannot be watched is refused, not begun.
        watch.first = watch.news()?;
        Ok(futures::stream::unfold(watch, |mut watch| async move {
            let message = watch.next().await?;
            Some((message.map_err(Status::from), watch))
        }))
    }

    /// The first who asks for a filter reads its levels for everybody who asks for it later.
    async fn fill(&self, view: &Member) -> Result<(), Error> {
        // Older than the reading below.
        let point = self.feed.point();
        let mut tx = store::begin(&self.db).await?;
        check(&mut tx, view.filter()).await?;
        view.refresh(&mut tx, point).await?;
        Ok(tx.commit().await?)
    }

    /// Where a token's reader was. One that another process has told more than this one has heard of waits for it.
    async fn place(&self, token: &str) -> Result<(Place, i64), Error> {
        let point = self.feed.seal().open(token).ok_or(Error::ResumeTokenInvalid)?;
        if !self.feed.point().covers(point) {
            self.feed.read(&self.db).await?;
        }
        // The ledger has not got there: the token is from another history.
        if !self.feed.point().covers(point) {
            return Err(Error::ResumeTokenInvalid);
        }
        Ok((Place::Horizon(point.horizon), point.sequence))
    }
}

async fn check(conn: &mut PgConnection, filter: &Filter) -> Result<(), Error> {
    if let Some(Pool::Campaign(campaign)) = filter.pool()
        && store::campaigns::find(conn, campaign).await?.is_none()
    {
        let campaign: CampaignId = campaign.clone();
        return Err(Error::CampaignNotFound { campaign, field: "campaign_id".to_owned() });
    }
    let known = store::skus::read(conn, filter.skus()).await?;
    let unknown = |sku: &&SkuId| !known.iter().any(|known| known.id == **sku);
    match filter.skus().iter().find(unknown) {
        Some(sku) => Err(Error::SkuNotFound { sku: sku.clone(), field: "sku_ids".to_owned() }),
        None => Ok(()),
    }
}

/// One reader's place in the feed.
struct Watch {
    inventory: Inventory,
    view: Member,
    turns: watch::Receiver<u64>,
    place: Place,
    /// The highest sequence it was told.
    told: i64,
    first: Option<Bytes>,
    clock: Clock,
    stop: CancellationToken,
}

impl Watch {
    /// The next message; none when the process drains.
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            // The point comes first: everything below it is in the view.
            let point = self.inventory.feed.point();
            match self.news() {
                Ok(None) => {}
                Ok(Some(news)) => return Some(Ok(news)),
                Err(too_many) => return Some(Err(too_many.into())),
            }
            if Instant::now() >= heartbeat {
                self.told = self.told.max(point.sequence);
                return Some(Ok(self.inventory.feed.heartbeat(point, self.told, self.clock.now())));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                // The view lives as long as its member.
                _ = self.turns.changed() => {}
                () = tokio::time::sleep_until(heartbeat) => {}
            }
        }
    }

    fn news(&mut self) -> Result<Option<Bytes>, TooMany> {
        let feed = &self.inventory.feed;
        let news = self.view.news(feed.seal(), feed.point(), self.place, self.told)?;
        Ok(news.map(|(bytes, place, told)| {
            (self.place, self.told) = (place, told);
            bytes
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inventory.metrics.watchers.add(-1, &[]);
    }
}
