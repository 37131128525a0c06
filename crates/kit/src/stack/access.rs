//! Certificate, then token, then permission: the contract says what each method wants of them.

use http::HeaderMap;
use tonic::Code;

use crate::auth::{Caller, Peer, Verifier};
use crate::contract::Method;
use crate::refusal::{Refusal, reason};

/// Lets the call pass, with the user it is made for. A trusted peer needs no token and answers for its own calls; a token it
/// brings all the same has to be good, because handlers believe it.
pub(super) fn check(
    method: &Method,
    peer: &Peer,
    verifier: &Verifier,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Refusal> {
    let access = &method.access;
    let is_peer = |names: &[String]| names.iter().any(|name| **name == *peer.service);
    if is_peer(&access.trusted_peers) {
        return verifier.optional_caller(headers);
    }
    if !is_peer(&access.peers) {
        return Err(Refusal::new(
            Code::PermissionDenied,
            reason::PEER_NOT_ALLOWED,
            "your service may not call this method",
        )
        .metadata("peer", &*peer.service)
        .metadata("method", &*method.path));
    }
    let caller = verifier.caller(headers)?;
    if !method.permits(&caller.permissions) {
        return Err(Refusal::new(
            Code::PermissionDenied,
            reason::PERMISSION_DENIED,
            "your roles do not grant this",
        )
        .metadata("permission", &access.permission));
    }
    Ok(Some(caller))
}
