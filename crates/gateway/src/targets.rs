//! One entry for every RPC of the contract: where it goes and what the edge asks for. Made once at start.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use http::Uri;
use kit::client::Channel;
use kit::contract::{Contract, Method};
use prost_reflect::MessageDescriptor;
use stampede_kit as kit;
use stampede_transcode::{MessageId, Schema};

use crate::backends::{Backend, Backends};

/// What the gateway is called in the certificates of this house.
pub(crate) const SELF: &str = "gateway";

/// What the edge wants to see of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A token that grants the permission.
    Token,
    /// The service behind trusts the gateway here: no token is asked for, one that comes has to be good.
    Open,
    /// Not for callers from outside.
    Closed,
}

/// One RPC as the gateway sees it.
pub(crate) struct Target {
    pub method: Arc<Method>,
    pub backend: Backend,
    pub uri: Uri,
    pub entry: Entry,
    /// What it takes and what it gives.
    pub input: MessageId,
    pub output: MessageId,
}

pub(crate) struct Targets(HashMap<Arc<str>, Arc<Target>>);

impl Targets {
    /// Refuses a contract with a service nobody takes.
    pub(crate) fn build(contract: &Contract, schema: &Schema, backends: &Backends) -> anyhow::Result<Self> {
        let known = |message: MessageDescriptor| {
            let id = schema.message(message.full_name());
            id.with_context(|| format!("{} is not in the contract", message.full_name()))
        };
        let targets = contract.methods().iter().map(|method| {
            let service = method.descriptor.parent_service();
            let backend = backends
                .of(service.full_name())
                .with_context(|| format!("no backend takes the service {}", service.full_name()))?;
            let uri = method.path.parse().with_context(|| format!("{} is no path", method.path))?;
            let target = Target {
                method: method.clone(),
                backend: backend.clone(),
                uri,
                entry: Entry::of(method),
                input: known(method.descriptor.input())?,
                output: known(method.descriptor.output())?,
            };
            Ok((method.path.clone(), Arc::new(target)))
        });
        targets.collect::<anyhow::Result<_>>().map(Targets)
    }

    /// The RPC at `/package.Service/Method`.
    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Target>> {
        self.0.get(path)
    }
}

impl Entry {
    pub(crate) fn of(method: &Method) -> Self {
        let named = |peers: &[String]| peers.iter().any(|peer| peer == SELF);
        if named(&method.access.trusted_peers) {
            Entry::Open
        } else if named(&method.access.peers) {
            Entry::Token
        } else {
            Entry::Closed
        }
    }
}

impl Target {
    pub(crate) fn channel(&self) -> &Channel {
        if self.method.is_unary() { &self.backend.calls } else { &self.backend.streams }
    }
}
