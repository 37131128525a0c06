//! Who is calling: the peer (a service, from its certificate) and the caller (a user, from a token). Certificate first, then
//! token, then permission. Nothing here decides what a caller may do with a particular order: that is the service's rule.

mod jwks;
pub(crate) mod peer;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::Arc;

use http::HeaderValue;

pub use crate::contract::PermissionSet;
pub use verifier::{Settings, Verifier};

/// The service on the other end of the connection, from the URI SAN of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// "order", "gateway", "client" …
    pub service: Arc<str>,
    /// The whole identity, `spiffe://stampede/<environment>/<service>`.
    pub spiffe: Arc<str>,
}

/// The user a call is made for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// What the token's roles grant.
    pub permissions: PermissionSet,
    authorization: HeaderValue,
}

impl Caller {
    /// A verified caller; `authorization` is the header value it came with, kept only to be handed on to our own services.
    pub(crate) fn new(subject: Arc<str>, permissions: PermissionSet, mut authorization: HeaderValue) -> Self {
        // Sensitive values are not printed by `Debug` and not indexed by HPACK.
        authorization.set_sensitive(true);
        Caller { subject, permissions, authorization }
    }

    /// Whether the caller's roles grant the permission, by its name in the contract (`"PERMISSION_ORDER_ADMIN"`).
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.contains(permission)
    }

    /// The `authorization` header to hand on.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }
}

impl Peer {
    /// No certificate was seen: only possible where no stack stands in front.
    pub(crate) fn nobody() -> Self {
        Peer { service: Arc::from(""), spiffe: Arc::from("") }
    }
}
