//! One port, every face of the contract: REST, server-sent events and lines, gRPC, gRPC-web, JSON-RPC, OpenAPI. Everything it knows about an RPC it
//! reads from the descriptors; no RPC is named here, and no message is built on the way through, but for the webhooks of
//! payment providers, whose bytes are signed and must arrive as they are.

mod admission;
mod backends;
mod call;
mod config;
mod cors;
mod descriptors;
mod docs;
mod errors;
mod front;
mod grpc;
mod observe;
mod rest;
mod rpc;
mod stream;
mod targets;
mod webhooks;

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use kit::client::Channel;
use kit::contract::Contract;
use stampede_kit as kit;
use stampede_transcode as transcode;
use tokio_util::sync::CancellationToken;

use admission::Admission;
use backends::Backends;
pub use config::{Config, Peers};
use cors::Cors;
pub use docs::openapi_document;
use errors::Errors;
use front::RequestIds;
use observe::Observer;
use rest::Routes;
use targets::Targets;
use webhooks::Webhooks;

/// What every face shares. Made once at start, never changed.
pub(crate) struct Gateway {
    routes: Routes,
    targets: Targets,
    webhooks: Webhooks,
    admission: Admission,
    errors: Errors,
    cors: Cors,
    observer: Observer,
    ids: RequestIds,
    body: rest::body::Limits,
    /// Whoever is asked for the contract by reflection.
    reflection: Channel,
    /// Cancelled when the process drains: feeds end then.
    stop: CancellationToken,
    /// Pages that are no part of the contract: documentation, health, metrics.
    pages: axum::Router,
}

/// The gateway of the house's contract, bound and ready to serve.
///
/// # Errors
/// As those of [`app_of`].
pub async fn app(config: &Config) -> anyhow::Result<kit::App> {
    app_of(config, Bytes::from_static(stampede_proto::DESCRIPTOR_SET)).await
}

/// The gateway of a contract, from its encoded `FileDescriptorSet` with all its options. It has to take webhooks, and each of its services has to belong to a peer.
///
/// # Errors
/// A port is taken, a file cannot be read, or the contract cannot be served: its routes conflict, or nobody takes a service.
pub async fn app_of(config: &Config, descriptors: Bytes) -> anyhow::Result<kit::App> {
    let contract = descriptors::read(&descriptors::without_sources(&descriptors)?)?;
    let mut app = kit::App::bind(&config.server, contract.clone()).await?;
    let backends = Backends::new(app.tls(), &config.peers, &contract);
    for backend in backends.iter().cloned() {
        app.ready(backend.name, move || {
            let backend = backend.clone();
            async move { backend.check().await }
        });
    }
    let pages = docs::router(descriptors).merge(app.admin_router());
    let gateway = gateway(config, &contract, &backends, &app, pages)?;
    app.http(front::Front(Arc::new(gateway)), config.front.as_ref())?;
    Ok(app)
}

fn gateway(
    config: &Config,
    contract: &Contract,
    backends: &Backends,
    app: &kit::App,
    pages: axum::Router,
) -> anyhow::Result<Gateway> {
    let router =
        transcode::Router::build(contract.pool()).context("the contract's routes cannot be served")?;
    let targets = Targets::build(contract, router.schema(), backends)?;
    let limits = config.server.limits;
    Ok(Gateway {
        errors: Errors::new(router.schema().clone())?,
        routes: Routes::build(router, &targets)?,
        webhooks: Webhooks::build(&targets)?,
        targets,
        admission: Admission::new(app.verifier(), limits.concurrency, config),
        cors: Cors::new(&config.cors_origins)?,
        observer: Observer::new(),
        ids: RequestIds::new(),
        body: rest::body::Limits { bytes: limits.message_bytes, time: config.body_time },
        reflection: backends.any().streams.clone(),
        stop: app.stop(),
        pages,
    })
}
