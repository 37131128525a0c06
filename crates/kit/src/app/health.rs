//! grpc.health.v1 follows readiness: SERVING when nothing is missing, for the process and for each of its services. Reflection
//! serves the contract's own bytes, options and all.

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::watch;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::readiness::Missing;

/// The name that asks for the whole process.
const PROCESS: &str = "";

/// Adds health and reflection; the reporter is to be fed by [`follow`].
pub(super) fn add(routes: &mut RoutesBuilder, contract: &Bytes) -> anyhow::Result<HealthReporter> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(contract)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("reflection cannot serve the contract")?;
    routes.add_service(health).add_service(reflection);
    Ok(reporter)
}

/// Tells every change of readiness until the process ends.
pub(super) async fn follow(
    reporter: HealthReporter,
    services: Vec<&'static str>,
    mut missing: watch::Receiver<Missing>,
) {
    loop {
        let status = match missing.borrow_and_update().is_empty() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for name in services.iter().chain([&PROCESS]) {
            reporter.set_service_status(*name, status).await;
        }
        if missing.changed().await.is_err() {
            return;
        }
    }
}
