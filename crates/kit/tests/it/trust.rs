//! Certificate, then token, then permission: each refused with its own reason.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use stampede_pki::{Claims, Issuer};
use time::Duration;
use tokio::io::AsyncReadExt;
use tonic::{Code, Request};

use crate::desk::question;
use crate::house::{ASK, House, asked, call, now, reason};

#[tokio::test]
async fn a_good_peer_with_a_good_token_is_served_and_the_handler_knows_both() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let answer = call(&client, ASK, asked(&house.alice(), question("hello"))).await.unwrap();
    assert_eq!(answer.into_inner().text, "client for alice key - left 4");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_trusted_peer_needs_no_token_but_one_it_brings_has_to_be_good() {
    let mut house = House::open().await;
    let gateway = house.channel("gateway");
    let answer = call(&gateway, ASK, Request::new(question("hello"))).await.unwrap();
    assert_eq!(answer.into_inner().text, "gateway for nobody key - left 4");
    let answer = call(&gateway, ASK, asked(&house.alice(), question("hello"))).await.unwrap();
    assert_eq!(answer.into_inner().text, "gateway for alice key - left 4");
    assert_eq!(reason(call(&gateway, ASK, asked("forged", question("hello"))).await), "TOKEN_INVALID");
}

#[tokio::test]
async fn without_a_certificate_the_handshake_fails() {
    let house = House::open().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(house.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let name = ServerName::try_from("order").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    // Under TLS 1.3 the refusal arrives after the client's side of the handshake.
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_gets_nowhere() {
    let house = House::open().await;
    let status =
        call(&house.foreign_channel().0, ASK, asked(&house.alice(), question("hello"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_ca_that_is_added_while_serving_is_believed_without_a_restart() {
    let house = House::open().await;
    let (foreign, ca) = house.foreign_channel();
    let both = std::fs::read_to_string(house.ca()).unwrap() + &ca;
    std::fs::write(house.ca(), both).unwrap();
    let believed = async {
        while call(&foreign, ASK, asked(&house.alice(), question("hello"))).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), believed).await.expect("the new CA is noticed");
}

#[tokio::test]
async fn a_revoked_certificate_gets_no_new_connection_not_even_by_resuming_one() {
    let mut house = House::with_revocations().await;
    let tls = house.client_tls("client");
    call(&house.again(&tls), ASK, asked(&house.alice(), question("hello"))).await.unwrap();
    house.revoke("client");
    let refused = async {
        while call(&house.again(&tls), ASK, asked(&house.alice(), question("hello"))).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), refused).await.expect("the list is noticed");
    let gateway = house.channel("gateway");
    call(&gateway, ASK, Request::new(question("hello"))).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_environment_is_nobody_here() {
    let mut house = House::open().await;
    let stranger = house.channel_of("client", "prod");
    assert_eq!(reason(call(&stranger, ASK, asked(&house.alice(), question("hello"))).await), "PEER_UNKNOWN");
}

#[tokio::test]
async fn a_service_the_method_does_not_name_is_not_allowed_whatever_token_it_brings() {
    let mut house = House::open().await;
    let payment = house.channel("payment");
    assert_eq!(
        reason(call(&payment, ASK, asked(&house.alice(), question("hello"))).await),
        "PEER_NOT_ALLOWED"
    );
    assert_eq!(reason(call(&payment, ASK, Request::new(question("hello"))).await), "PEER_NOT_ALLOWED");
}

#[tokio::test]
async fn each_bad_token_is_refused_with_its_own_reason() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let alice = Claims::new("alice", ["buyer"]);
    let foreign = Issuer::generate().unwrap().issue(&alice, now()).unwrap();
    let expired = house.issuer.issue(&alice, now() - Duration::hours(2)).unwrap();
    let issuer = house.token(&Claims { issuer: "https://elsewhere".to_owned(), ..alice.clone() });
    let audience = house.token(&Claims { audience: "elsewhere".to_owned(), ..alice.clone() });
    // {"alg":"none"} and alice's claims, unsigned.
    let good = house.token(&alice);
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());

    assert_eq!(reason(call(&client, ASK, Request::new(question("hello"))).await), "TOKEN_MISSING");
    for (token, expected) in [
        (expired, "TOKEN_EXPIRED"),
        (issuer, "TOKEN_ISSUER"),
        (audience, "TOKEN_AUDIENCE"),
        (unsigned, "TOKEN_INVALID"),
        (foreign, "TOKEN_INVALID"),
    ] {
        let answer = call(&client, ASK, asked(&token, question("hello"))).await;
        assert_eq!(answer.as_ref().unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(reason(answer), expected);
    }
}

#[tokio::test]
async fn a_role_that_does_not_grant_the_permission_is_refused() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let answer = call(&client, "/test.v1.Desk/Audit", asked(&house.alice(), question("hello"))).await;
    assert_eq!(answer.as_ref().unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(reason(answer), "PERMISSION_DENIED");
    let nobody = house.token(&Claims::new("bob", ["king"]));
    assert_eq!(reason(call(&client, ASK, asked(&nobody, question("hello"))).await), "PERMISSION_DENIED");
}
