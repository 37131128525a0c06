//! Orders: placed against a hold on stock, paid by a saga that survives any crash, expired or cancelled cleanly. It never
//! moves stock or money itself: it asks inventory and payment, with ids that make asking twice harmless.

pub mod cancel;
mod cart;
pub mod complete;
pub mod config;
pub mod crash;
pub mod create;
pub mod deliver;
pub mod domain;
pub mod drive;
pub mod error;
mod events;
pub mod expire;
mod grpc;
mod hear;
mod late;
pub mod list;
mod metrics;
pub mod orders;
pub mod pay;
pub mod peers;
mod place;
mod prices;
mod promotions;
mod quote;
pub mod read;
mod refund_return;
mod replay;
mod request_return;
mod resolve_late;
mod resolve_return;
pub mod review;
pub mod runner;
pub mod ship;
mod ship_paid;
pub mod store;
mod till;
mod waiting;
mod watch;
mod watching;
mod wire;

use stampede_kit as kit;
use stampede_proto::order::v1::cart_service_server::CartServiceServer;
use stampede_proto::order::v1::order_service_server::OrderServiceServer;
use stampede_proto::order::v1::promotion_service_server::PromotionServiceServer;
use stampede_proto::order::v1::review_service_server::ReviewServiceServer;

pub use config::Config;
pub use orders::Orders;
pub use peers::Peers;

/// The schema, in the order it grew.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/order");

/// Wires the service: listeners first, then stores and peers.
///
/// # Errors
/// A port in use, certificates or keys that cannot be read, a database that does not appear.
pub async fn app(config: &Config) -> anyhow::Result<kit::App> {
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
    let mut app = kit::App::bind(&config.server, contract).await?;
    let db = kit::postgres::connect(&config.database_url, config.database_connections, &MIGRATIONS).await?;
    let nats = kit::nats::connect(&config.nats_url).await?;
    let peers = Peers::connect(&app, config);
    let orders = Orders::new(config, db.clone(), peers, app.clock());

    let ready = db.clone();
    app.ready("postgres", move || {
        let db = ready.clone();
        async move { Ok(kit::postgres::ping(&db).await?) }
    });
    let counted = db.clone();
    app.task("statistics", |stop| kit::statistics::keep(counted, stop));
    watching::start(&mut app, &orders.watching, &db, &nats, &config.stream);
    let (listener, heard, stream) = (orders.clone(), nats.clone(), config.stream.clone());
    app.task("hear", move |stop| hear::run(listener, heard, stream, stop));
    let finder = orders.clone();
    app.task("late", move |stop| late::run(finder, stop));
    let relay = kit::outbox::Relay::new(db, nats).wake(orders.wake()).stream(config.stream.clone());
    app.task("outbox", move |stop| relay.run(stop));
    let promotions = orders.promotions.clone();
    promotions.refresh().await?;
    app.task("promotions", move |stop| promotions.keep_fresh(stop));
    let carts = orders.clone();
    app.task("carts", move |stop| cart::prune(carts, stop));
    let runner = orders.clone();
    app.task("saga", move |stop| runner::run(runner, stop));
    let expirer = orders.clone();
    app.task("expire", move |stop| expire::run(expirer, stop));
    let completer = orders.clone();
    app.task("complete", move |stop| complete::run(completer, stop));
    let stop = app.stop();
    app.grpc(ReviewServiceServer::new(grpc::review::ReviewApi(orders.clone())))
        .grpc(OrderServiceServer::new(grpc::OrderApi(orders.clone(), stop)))
        .grpc(CartServiceServer::new(grpc::cart::CartApi(orders.clone())))
        .grpc(PromotionServiceServer::new(grpc::promotions::PromotionApi(orders)));
    Ok(app)
}
