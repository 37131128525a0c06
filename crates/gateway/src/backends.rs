//! The services behind the gateway: which one takes a package, its channels, and whether it is ready. It never looks into a
//! message.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use http::{HeaderMap, Uri};
use kit::client::Channel;
use kit::contract::Contract;
use stampede_kit as kit;

use crate::call;
use crate::config::Peers;

/// What a service's own health says, asked over its channel; on the connection of this process, not on a worker's.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse { status: SERVING }` on the wire.
const SERVING: [u8; 2] = [0x08, 0x01];

/// The kit gives a check 900 ms.
const HEALTH_TIME: Duration = Duration::from_millis(800);

/// One service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backend {
    pub name: &'static str,
    /// Services of packages that begin with this are its own.
    prefix: &'static str,
    /// Calls that live for milliseconds.
    pub calls: Channel,
    /// Feeds have a connection of their own: a GOAWAY on one that holds a long stream makes the next call on it fail.
    pub streams: Channel,
}

pub(crate) struct Backends([Backend; 3]);

impl Backends {
    /// One channel pair a service; nothing is connected yet.
    pub(crate) fn new(tls: &kit::tls::Client, peers: &Peers, contract: &Arc<Contract>) -> Self {
        let backend = |name, prefix, address: &str| {
            let channel = || kit::client::connect(tls, name, address, contract.clone());
            Backend { name, prefix, calls: channel(), streams: channel() }
        };
        Backends([
            backend("inventory", "stampede.inventory.", &peers.inventory),
            backend("order", "stampede.order.", &peers.order),
            backend("payment", "stampede.payment.", &peers.payment),
        ])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Backend> {
        self.0.iter()
    }

    /// Whichever: for what all of them can answer.
    pub(crate) fn any(&self) -> &Backend {
        let [any, ..] = &self.0;
        any
    }

    /// The service that takes the calls of a full service name, `None` when nobody does.
    pub(crate) fn of(&self, service: &str) -> Option<&Backend> {
        self.0.iter().find(|backend| service.starts_with(backend.prefix))
    }
}

impl Backend {
    /// Ready when its health says SERVING.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let call = call::Call {
            channel: &self.calls,
            uri: Uri::from_static(HEALTH),
            headers: HeaderMap::new(),
            sent: call::Sent::Message(Bytes::from_static(&[0; call::FRAME_HEADER])),
            time: HEALTH_TIME,
        };
        let answer = call
            .unary()
            .await
            .map_err(|status| anyhow::anyhow!("{}: {}", status.code(), status.message()))?;
        ensure!(answer[..] == SERVING, "it does not say it is serving");
        Ok(())
    }
}
