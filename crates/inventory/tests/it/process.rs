//! One inventory process of a shop, put together as the service does it. Several may share a shop's stores.

use std::sync::{Arc, LazyLock};

use sqlx::PgPool;
use stampede_inventory::grpc::InventoryApi;
use stampede_inventory::reopen::{self, News};
use stampede_inventory::{AfterCommit, Feed, Gate, GateSettings, Inventory, Ledger, Metrics, SoldOut};
use stampede_kit::clock::Clock;
use stampede_kit::{Contract, Secret, nats, outbox};
use stampede_proto::DESCRIPTOR_SET;
use tokio_util::sync::CancellationToken;

/// The contract the services are served under.
pub fn contract() -> Arc<Contract> {
    static CONTRACT: LazyLock<Arc<Contract>> = LazyLock::new(|| Contract::parse(DESCRIPTOR_SET).unwrap());
    CONTRACT.clone()
}

pub struct Process {
    pub inventory: Inventory,
    db: PgPool,
    pub gate: Gate,
    feed: Arc<Feed>,
    after_commit: AfterCommit,
    news: News,
}

impl Process {
    /// No background task runs yet.
    pub async fn start(db: PgPool, gate: &GateSettings, sold_out: SoldOut) -> Self {
        let metrics = Arc::new(Metrics::default());
        let news = sold_out.news.clone();
        let gate = Gate::start(gate, db.clone(), metrics.clone(), sold_out).unwrap();
        let after_commit = AfterCommit { outbox: outbox::Wake::default(), feed: Arc::default() };
        let ledger = Ledger::start(&db, after_commit.clone());
        let feed = Arc::new(Feed::start(&db).await.unwrap());
        let inventory = Inventory::new(db.clone(), gate.clone(), ledger, feed.clone(), metrics);
        Self { inventory, db, gate, feed, after_commit, news }
    }

    pub fn api(&self, stop: &CancellationToken) -> InventoryApi {
        InventoryApi::new(self.inventory.clone(), Clock::system(), stop.clone(), &contract())
    }

    /// Reads the feed from now on.
    pub fn follow(&self, stop: &CancellationToken) {
        tokio::spawn(self.feed.clone().run(self.db.clone(), self.after_commit.feed.clone(), stop.clone()));
    }

    /// Tells of units that came back, and hears of them, from now on.
    pub async fn talk(&self, nats_url: &str, stop: &CancellationToken) {
        let nats = nats::connect(&Secret::from(nats_url)).await.unwrap();
        let subject = reopen::subject(self.feed.id());
        tokio::spawn(self.news.clone().publish(nats.clone(), subject.clone(), stop.clone()));
        tokio::spawn(reopen::hear(nats, subject, self.gate.clone(), stop.clone()));
    }
}
