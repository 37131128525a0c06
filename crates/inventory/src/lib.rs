//! Inventory: catalogue, campaigns, stock and reservations. Redis admits, Postgres decides.

mod adjust;
mod backorder;
mod campaigns;
mod catalogue;
mod close;
mod config;
pub mod domain;
mod error;
mod events;
mod extend;
mod feed;
mod gate;
pub mod grpc;
mod import;
mod inventory;
mod ledger;
mod metrics;
mod outage;
mod preheat;
mod reconcile;
pub mod reopen;
mod reserve;
mod resolve;
mod return_stock;
mod store;
mod update;
mod watch;
mod wire;

use std::sync::Arc;

use stampede_kit::{App, Contract, nats, outbox, postgres, statistics};
use stampede_proto::DESCRIPTOR_SET;
use stampede_proto::inventory::v1::audit_service_server::AuditServiceServer;
use stampede_proto::inventory::v1::campaign_service_server::CampaignServiceServer;
use stampede_proto::inventory::v1::catalog_service_server::CatalogServiceServer;

pub use config::{Config, GateSettings};
pub use error::Error;
pub use feed::Feed;
pub use gate::{Gate, SoldOut};
pub use import::ROWS;
pub use inventory::Inventory;
pub use ledger::{AfterCommit, Ledger};
pub use metrics::Metrics;
pub use reconcile::{Finding, Keep, Limits, Pace, Reconciler, Said, Summary};

/// The schema, embedded: the service brings it up to date when it starts.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/inventory");

/// Wires the service.
pub async fn app(config: Config) -> anyhow::Result<App> {
    let contract = Contract::parse(DESCRIPTOR_SET)?;
    let mut app = App::bind(&config.server, contract.clone()).await?;
    let db = postgres::connect(&config.database_url, config.connections, &MIGRATIONS).await?;
    let events = nats::connect(&config.nats_url).await?;
    let metrics = Arc::new(Metrics::default());
    let after_commit = AfterCommit::default();
    let news = reopen::News::new(metrics.clone());
    let sold_out = SoldOut { news: news.clone(), ..SoldOut::default() };
    let gate = Gate::start(&config.gate, db.clone(), metrics.clone(), sold_out)?;
    let ledger = Ledger::start(&db, after_commit.clone());
    let feed = Arc::new(Feed::start(&db).await?);
    let inventory = Inventory::new(db.clone(), gate.clone(), ledger, feed.clone(), metrics);

    let pool = db.clone();
    app.ready("postgres", move || {
        let pool = pool.clone();
        async move { Ok(postgres::ping(&pool).await?) }
    });
    let pool = db.clone();
    app.task("statistics", |stop| statistics::keep(pool, stop));
    let (subject, nats) = (reopen::subject(feed.id()), events.clone());
    app.task("reopen-tell", move |stop| news.publish(nats, subject, stop));
    let (subject, nats) = (reopen::subject(feed.id()), events.clone());
    app.task("reopen-hear", move |stop| reopen::hear(nats, subject, gate, stop));
    let relay = outbox::Relay::new(db.clone(), events).wake(after_commit.outbox.clone());
    app.task("outbox", |stop| relay.run(stop));
    let sweeper = inventory.clone();
    app.task("expire", |stop| sweeper.expire(stop));
    let heated = inventory.clone();
    app.task("preheat", |stop| heated.preheat(stop));
    let pace = Pace { keep: config.keep, ..Pace::default() };
    let compared = inventory.clone();
    app.task("reconcile", move |stop| Reconciler::new(pace).run(compared, stop));
    app.task("feed", move |stop| feed.run(db, after_commit.feed, stop));

    let stock = grpc::InventoryApi::new(inventory.clone(), app.clock(), app.stop(), &contract);
    let catalog = grpc::CatalogApi::new(inventory.clone(), app.stop(), &contract);
    let audit = grpc::AuditApi::new(inventory.clone(), pace, app.stop());
    app.grpc(AuditServiceServer::new(audit))
        .grpc(grpc::InventoryFeeds::new(stock))
        .grpc(CatalogServiceServer::new(catalog))
        .grpc(CampaignServiceServer::new(grpc::CampaignApi::new(inventory)));
    Ok(app)
}
