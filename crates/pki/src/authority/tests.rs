//! What the authority signs and refuses, read back with a parser that is not the one that wrote it.

use time::macros::datetime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn authority() -> Authority {
    Authority::create(Policy::development(), NOW).unwrap()
}

#[test]
fn a_leaf_carries_its_identity_and_is_signed_by_the_authority() {
    let mut authority = authority();
    let leaf = authority.issue("order", "dev", &[], NOW).unwrap();
    let (ca_der, leaf_der) = (der(authority.cert_pem()), der(&leaf.cert_pem));
    let (_, ca) = X509Certificate::from_der(&ca_der).unwrap();
    let (_, parsed) = X509Certificate::from_der(&leaf_der).unwrap();

    parsed.verify_signature(Some(ca.public_key())).unwrap();
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(names.contains(&GeneralName::URI("spiffe://stampede/dev/order")));
    assert!(names.contains(&GeneralName::DNSName("order")));
    assert!(names.contains(&GeneralName::DNSName("localhost")));
    assert!(names.contains(&GeneralName::IPAddress(&[127, 0, 0, 1])));
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth);
    assert!(!parsed.is_ca());
    assert!(ca.is_ca());
    assert_eq!(parsed.raw_serial_as_string().replace(':', ""), leaf.serial);
}

#[test]
fn the_profile_decides_usages_and_lifetime() {
    let mut authority = authority();
    let leaf = authority.issue("client", "dev", &[], NOW).unwrap();
    let leaf_der = der(&leaf.cert_pem);
    let (_, parsed) = X509Certificate::from_der(&leaf_der).unwrap();

    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    assert_eq!(leaf.not_after - NOW, Duration::hours(168));
    assert_eq!(parsed.validity().not_after.timestamp(), leaf.not_after.unix_timestamp());
}

#[test]
fn a_name_the_profile_does_not_permit_is_refused() {
    let mut authority = authority();

    let foreign_host = authority.issue("order", "dev", &["payment"], NOW);
    assert!(matches!(foreign_host, Err(Error::HostNotPermitted { host, .. }) if host == "payment"));
    let stranger = authority.issue("stranger", "dev", &[], NOW);
    assert!(matches!(stranger, Err(Error::ServiceNotPermitted { .. })));
    let escape = authority.issue("order", "dev/payment", &[], NOW);
    assert!(matches!(escape, Err(Error::NameMalformed { .. })));
    assert!(authority.issued().is_empty());
}

#[test]
fn a_request_cannot_ask_for_another_services_profile_or_subject() {
    let mut authority = authority();
    let usual = Request::usual(authority.policy(), "client", &[]).unwrap();

    let richer = Request { profile: "service".to_owned(), ..usual.clone() };
    assert!(matches!(authority.sign(&richer, "dev", NOW), Err(Error::ServiceNotPermitted { .. })));
    let posing = Request { common_name: "gateway".to_owned(), ..usual.clone() };
    assert!(matches!(authority.sign(&posing, "dev", NOW), Err(Error::ServiceNotPermitted { .. })));
    let weak = Request { key: crate::profile::Key { algo: "rsa".to_owned(), size: 1024 }, ..usual };
    assert!(matches!(authority.sign(&weak, "dev", NOW), Err(Error::KeyNotPermitted { .. })));
}

#[test]
fn a_revoked_serial_is_in_the_next_list_and_lists_are_numbered() {
    let mut authority = authority();
    let kept = authority.issue("order", "dev", &[], NOW).unwrap();
    let gone = authority.issue("order", "dev", &[], NOW).unwrap();
    assert_ne!(kept.serial, gone.serial);
    authority.revoke(&gone.serial, NOW).unwrap();

    let first = der(&authority.crl_pem(NOW).unwrap());
    let second = der(&authority.crl_pem(NOW).unwrap());
    let (_, first) = CertificateRevocationList::from_der(&first).unwrap();
    let (_, second) = CertificateRevocationList::from_der(&second).unwrap();

    let serials: Vec<String> =
        first.iter_revoked_certificates().map(|entry| hex::encode(entry.raw_serial())).collect();
    assert_eq!(serials, [gone.serial]);
    assert!(second.crl_number() > first.crl_number());
    let ca_der = der(authority.cert_pem());
    let (_, ca) = X509Certificate::from_der(&ca_der).unwrap();
    first.verify_signature(ca.public_key()).unwrap();
    assert!(matches!(authority.revoke("00", NOW), Err(Error::SerialUnknown { .. })));
}

#[test]
fn every_committed_request_is_permitted_by_the_committed_policy() {
    let certs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../certs");
    let policy = Policy::read(&certs.join("ca.json")).unwrap();
    let requests = Request::read_all(&certs.join("csr")).unwrap();
    let mut authority = Authority::create(policy, NOW).unwrap();

    for request in &requests {
        authority.sign(request, "dev", NOW).unwrap();
    }
    let services: Vec<&str> = requests.iter().map(|request| request.service.as_str()).collect();
    assert_eq!(services, ["client", "gateway", "inventory", "order", "payment"]);
}

#[test]
fn no_extension_is_left_unread() {
    let mut authority = authority();
    let leaf_der = der(&authority.issue("gateway", "dev", &[], NOW).unwrap().cert_pem);
    let (_, parsed) = X509Certificate::from_der(&leaf_der).unwrap();
    let unread = parsed.extensions().iter().any(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::ParseError { .. }
        )
    });
    assert!(!unread);
}
