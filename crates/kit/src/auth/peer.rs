//! Reads a peer's identity from its certificate: the one URI SAN `spiffe://stampede/<environment>/<service>`. The chain was
//! verified in the handshake; here only the name is read. A certificate of another environment is nobody here.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tonic::Code;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Peer;
use crate::refusal::{Refusal, reason};

const SCHEME: &str = "spiffe://";
const TRUST_DOMAIN: &str = "spiffe://stampede/";

/// The peer of a verified chain, or PEER_UNKNOWN.
pub(crate) fn identify(chain: Option<&[CertificateDer<'_>]>, environment: &str) -> Result<Peer, Refusal> {
    let leaf =
        chain.and_then(<[_]>::first).ok_or_else(|| unknown("the connection has no client certificate"))?;
    let uri = spiffe_uri(leaf)
        .ok_or_else(|| unknown("the certificate does not hold exactly one SPIFFE identity"))?;
    let path = uri
        .strip_prefix(TRUST_DOMAIN)
        .ok_or_else(|| unknown("the certificate is of another trust domain"))?;
    match path.split_once('/') {
        Some((found, service)) if found == environment && is_name(service) => {
            Ok(Peer { service: Arc::from(service), spiffe: Arc::from(&*uri) })
        }
        Some((found, _)) if found != environment => Err(unknown("the certificate is of another environment")),
        _ => Err(unknown("the certificate names no service")),
    }
}

fn spiffe_uri(leaf: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut found = None;
    for name in &names.value.general_names {
        let GeneralName::URI(uri) = name else { continue };
        if uri.starts_with(SCHEME) && found.replace(*uri).is_some() {
            return None;
        }
    }
    found.map(str::to_owned)
}

fn is_name(service: &str) -> bool {
    !service.is_empty()
        && service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn unknown(message: &str) -> Refusal {
    Refusal::new(Code::Unauthenticated, reason::PEER_UNKNOWN, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_certificate_there_is_no_peer() {
        assert_eq!(identify(None, "dev").unwrap_err().reason(), "PEER_UNKNOWN");
        let nonsense = [CertificateDer::from(vec![1, 2, 3])];
        assert_eq!(identify(Some(&nonsense), "dev").unwrap_err().reason(), "PEER_UNKNOWN");
    }
}
