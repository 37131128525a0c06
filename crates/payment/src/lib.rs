//! Payments: money moved at most once. An intent is written down before a provider is called, a lost answer is asked for under the
//! same key until it is known, and every movement is a balanced transfer in the books. Card numbers never come here.

mod authorize;
mod begin;
mod capture;
mod config;
mod contradiction;
mod crash;
mod differences;
mod domain;
mod error;
mod event;
mod finish;
mod get;
mod grpc;
mod import;
mod metrics;
mod parked;
mod payments;
mod provider;
mod providers;
mod refund;
mod renew;
mod repair;
mod resolve;
mod steps;
mod store;
mod stuck;
mod tenders;
mod void;
mod webhook;

use anyhow::Context as _;
use stampede_kit as kit;
use stampede_proto::payment::v1::payment_service_server::PaymentServiceServer;
use stampede_proto::payment::v1::repair_service_server::RepairServiceServer;
use stampede_proto::payment::v1::settlement_service_server::SettlementServiceServer;

pub use authorize::Authorize;
pub use config::Config;
pub use crash::Crash;
pub use differences::{Decide, Difference};
pub use domain::reconcile;
pub use domain::stuck::{Decision, Reason};
pub use domain::{
    Amounts, Answer, CaptureMode, Heard, Keys, MAX_REAUTHORIZATIONS, Method, MethodKind, Notice, Operation,
    PayerAction, Payment, Routes, Spontaneous, State, Tender, Terms, Token,
};
pub use error::Error;
pub use import::{FileState, Import, Imported};
pub use payments::Payments;
pub use provider::{About, Call, Found, Provider, Reading, Simulator, Stripe, StripeConfig, Told};
pub use providers::{Desk, Providers};
pub use repair::Resolve;
pub use stuck::{Page, Stuck};

/// The schema, in order.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/payment");

/// The service, wired and bound, not yet serving.
///
/// # Errors
/// A port in use, a certificate or key that cannot be read, a database that does not answer.
pub async fn app(config: Config) -> anyhow::Result<kit::App> {
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET).context("reading the contract")?;
    let mut app = kit::App::bind(&config.server, contract).await?;
    let db = kit::postgres::connect(&config.database_url, config.database_connections, &MIGRATIONS).await?;
    let nats = kit::nats::connect(&config.nats_url).await?;
    let providers = config.providers()?;
    let payments = Payments::new(db.clone(), providers, app.clock(), config.psp_timeout, config.crash);

    app.grpc(PaymentServiceServer::new(grpc::Service::new(payments.clone())));
    app.grpc(RepairServiceServer::new(grpc::repair::Repair(payments.clone())));
    app.grpc(SettlementServiceServer::new(grpc::settlement::Settlements(payments.clone())));
    let ready = db.clone();
    app.ready("postgres", move || {
        let db = ready.clone();
        async move { Ok(kit::postgres::ping(&db).await?) }
    });
    let counted = db.clone();
    app.task("statistics", |stop| kit::statistics::keep(counted, stop));
    let relay = kit::outbox::Relay::new(db, nats).wake(payments.wake());
    app.task("outbox", move |stop| relay.run(stop));
    let parked = payments.clone();
    app.task("webhooks", move |stop| async move { parked.hear_parked_until(stop).await });
    let counting = payments.clone();
    app.task("stuck", move |stop| async move { counting.count_stuck_until(stop).await });
    let settling = payments.clone();
    app.task("settlement", move |stop| async move { settling.settle_until(stop).await });
    app.task("resolver", move |stop| async move { payments.resolve_until(stop).await });
    Ok(app)
}
