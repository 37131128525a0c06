//! The contract, read from the descriptor set: for every method its path, who may call it, how it is called, what its messages
//! look like and which rules their fields obey. A contract that says something this house does not understand is refused
//! whole; nothing declared is ever silently ignored. It knows descriptors, never a generated message type.

#[cfg(test)]
pub(crate) mod fixture;
mod permissions;
mod policy;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::validate::{MessageId, Ruleset};
pub use crate::validate::{Rules, Violation};
pub use permissions::{PermissionSet, Permissions};

/// Everything the descriptors declare about the RPCs of this house.
pub struct Contract {
    bytes: Bytes,
    pool: DescriptorPool,
    methods: Vec<Arc<Method>>,
    by_path: HashMap<Arc<str>, Arc<Method>>,
    permissions: Arc<Permissions>,
    rules: Arc<Ruleset>,
}

/// One RPC and all that is declared about it.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`, as it stands in the request line.
    pub path: Arc<str>,
    /// Message types, streaming kinds, comments and every option.
    pub descriptor: MethodDescriptor,
    pub access: Access,
    pub calling: Calling,
    pub client_streaming: bool,
    pub server_streaming: bool,
    /// Rules of the request message.
    pub(crate) request: MessageId,
}

/// Who may call. The checks run in this order: certificate, token, permission.
#[derive(Debug, Clone)]
pub struct Access {
    /// The permission a user's token must grant, such as `PERMISSION_ORDER_WRITE`.
    pub permission: String,
    /// Bit of the permission in a [`PermissionSet`].
    pub(crate) permission_bit: u64,
    /// Services that may bring a user's token.
    pub peers: Vec<String>,
    /// Services that may also call with no user's token.
    pub trusted_peers: Vec<String>,
}

/// How a method is called.
#[derive(Debug, Clone)]
pub struct Calling {
    /// Deadline when the caller sets none, and the longest one accepted. A stream's is its longest life.
    pub deadline: Duration,
    pub idempotency: Idempotency,
    /// A client may try again after UNAVAILABLE.
    pub retry_safe: bool,
    pub rate_class: RateClass,
    /// Behaviour comes later: answered UNIMPLEMENTED with the reason NOT_IMPLEMENTED.
    pub planned: bool,
    /// The handler checks the rules of its fields, with [`Contract::rules_of`]; the stack checks sizes only.
    pub checks_itself: bool,
}

/// What makes a second call of a method harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    Read,
    ById,
    ByKey,
    None,
}

/// Which budget a call is counted against when load has to be shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateClass {
    Read,
    Write,
    Checkout,
    Stream,
    Admin,
}

/// Everything that is wrong with a descriptor set, all at once.
#[derive(Debug, thiserror::Error)]
#[error("the contract cannot be used:\n  {}", problems.join("\n  "))]
pub struct ContractError {
    pub problems: Vec<String>,
}

impl Contract {
    /// Reads an encoded `FileDescriptorSet`. It has to be encoded with its options kept (protox's
    /// `encode_file_descriptor_set`); bytes that went through prost-types have lost them.
    pub fn parse(bytes: &[u8]) -> Result<Arc<Contract>, ContractError> {
        let pool = DescriptorPool::decode(bytes).map_err(|error| ContractError {
            problems: vec![format!("the descriptors do not decode: {error}")],
        })?;
        let mut problems = Vec::new();
        let permissions = Arc::new(Permissions::read(&pool, &mut problems));
        let mut rules = rules::Compiler::new(&pool, &mut problems);
        let mut methods = Vec::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let request = rules.message(&method.input(), &mut problems);
            let read = policy::read(&pool, &method, &permissions, &mut problems);
            methods.extend(read.map(|(access, calling)| {
                Arc::new(Method {
                    path: Arc::from(format!("/{}/{}", method.parent_service().full_name(), method.name())),
                    client_streaming: method.is_client_streaming(),
                    server_streaming: method.is_server_streaming(),
                    descriptor: method,
                    access,
                    calling,
                    request,
                })
            }));
        }
        if !problems.is_empty() {
            return Err(ContractError { problems });
        }
        let by_path = methods.iter().map(|method| (method.path.clone(), method.clone())).collect();
        let rules = Arc::new(rules.finish());
        Ok(Arc::new(Contract {
            bytes: Bytes::copy_from_slice(bytes),
            pool,
            methods,
            by_path,
            permissions,
            rules,
        }))
    }

    /// The descriptors, for whoever needs more than is read here (routes, comments, reasons).
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The encoded descriptor set the contract was read from.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Every RPC, in the order of the descriptors.
    pub fn methods(&self) -> &[Arc<Method>] {
        &self.methods
    }

    /// The RPC at `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(path)
    }

    /// The field rules of a method's request, for a handler that checks them itself.
    pub fn rules_of(&self, path: &str) -> Option<Rules> {
        let method = self.method(path)?;
        Some(Rules::new(self.rules.clone(), method.request))
    }

    /// Permissions by name and what each role grants.
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    pub(crate) fn rules(&self) -> &Arc<Ruleset> {
        &self.rules
    }
}

impl Method {
    /// Neither side streams.
    pub fn is_unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }

    /// Whether the caller's roles grant what the method asks for.
    pub fn permits(&self, permissions: &PermissionSet) -> bool {
        permissions.has_bit(self.access.permission_bit)
    }
}

impl std::fmt::Debug for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contract").field("methods", &self.methods.len()).finish_non_exhaustive()
    }
}
