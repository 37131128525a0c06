//! Who may do what: certificate, then token, then permission, each refused with its own reason.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stampede_kit::clock::Clock;
use stampede_kit::{self as kit, Contract};
use stampede_pki::{Authority, Claims, Issuer, Policy};
use stampede_proto::order::v1::GetOrderRequest;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use uuid::Uuid;

use crate::harness::Shop;

/// Opens TLS to the order service with these client credentials and says how it was refused.
async fn tls_refusal(shop: &Shop, credentials: Option<(String, String)>) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(shop.stack.folder().ca_path()).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match credentials {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(shop.stack.address("order").unwrap()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let refused = async {
        let mut tls = connector.connect(ServerName::try_from("order").unwrap(), tcp).await?;
        // Under TLS 1.3 the server's verdict on our certificate comes after our handshake is done.
        tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let mut byte = [0];
        tls.read_exact(&mut byte).await?;
        std::io::Result::Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(10), refused).await.expect("a verdict within ten seconds")
    {
        Ok(()) => "welcome".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_our_authority_come_in() {
    let shop = Shop::open().await;
    let now = Clock::system().now();
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let folder = shop.stack.folder();
    let own = (read(folder.cert_path("client")), read(folder.key_path("client")));
    let mut stranger = Authority::create(Policy::development(), now).unwrap();
    let foreign = stranger.issue("client", "dev", &[], now).unwrap();

    assert_eq!(tls_refusal(&shop, Some(own)).await, "welcome");
    let none = tls_refusal(&shop, None).await;
    assert!(none.contains("CertificateRequired"), "{none}");
    let other = tls_refusal(&shop, Some((foreign.cert_pem.clone(), foreign.key_pem.clone()))).await;
    assert!(
        other.contains("UnknownCA") || other.contains("DecryptError") || other.contains("BadCertificate"),
        "{other}"
    );
}

/// GetOrder at the order service as this service, with this token; the reason it was refused.
async fn refusal(shop: &Shop, service: &str, token: Option<String>) -> String {
    let folder = shop.stack.folder();
    let tls =
        kit::tls::Client::read(&folder.cert_path(service), &folder.key_path(service), &folder.ca_path())
            .unwrap();
    let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let address = shop.stack.address("order").unwrap().to_string();
    let mut client = OrderServiceClient::new(kit::client::connect(&tls, "order", &address, contract));
    let get = GetOrderRequest { order_id: Uuid::now_v7().to_string() };
    let mut request = kit::client::request(get, Duration::from_secs(10));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let status = client.get_order(request).await.expect_err("there is no such order");
    kit::refusal::reason_of(&status).unwrap_or_else(|| format!("{status:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_gateway_refuse_each_bad_token_with_its_own_reason() {
    let shop = Shop::open().await;
    let now = Clock::system().now();
    let issuer = shop.stack.folder().issuer();
    let issue = |claims: &Claims, at| issuer.issue(claims, at).unwrap();
    let alice = Claims::new("alice", ["buyer"]);
    let good = issue(&alice, now);

    let long_ago = now - time::Duration::days(2);
    let other_issuer = Claims { issuer: "https://elsewhere.example".into(), ..alice.clone() };
    let other_audience = Claims { audience: "elsewhere".into(), ..alice.clone() };
    let nobody = Claims::new("alice", ["gardener"]);
    let cases = [
        ("TOKEN_MISSING", None),
        ("TOKEN_INVALID", Some("nonsense".to_owned())),
        ("TOKEN_INVALID", Some(Issuer::generate().unwrap().issue(&alice, now).unwrap())),
        ("TOKEN_INVALID", Some(unsigned(&good))),
        ("TOKEN_EXPIRED", Some(issue(&alice, long_ago))),
        ("TOKEN_ISSUER", Some(issue(&other_issuer, now))),
        ("TOKEN_AUDIENCE", Some(issue(&other_audience, now))),
        ("PERMISSION_DENIED", Some(issue(&nobody, now))),
        ("ORDER_NOT_FOUND", Some(good)),
    ];
    for (reason, token) in cases {
        assert_eq!(refusal(&shop, "client", token.clone()).await, reason, "at the service");
        let answer = shop.bearer(token).get(&format!("/v1/orders/{}", Uuid::now_v7())).await;
        assert_eq!(answer.reason(), reason, "at the gateway: {answer:?}");
        let status = match reason {
            "PERMISSION_DENIED" => 403,
            "ORDER_NOT_FOUND" => 404,
            _ => 401,
        };
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
}

/// The same claims with `alg: none` and no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
    format!("{header}.{claims}.")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_certificate_may_still_not_call_everything() {
    let shop = Shop::open().await;
    let token =
        shop.stack.folder().issuer().issue(&Claims::new("alice", ["buyer"]), Clock::system().now()).unwrap();
    assert_eq!(refusal(&shop, "payment", Some(token)).await, "PEER_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_may_not_do_what_staff_may() {
    let shop = Shop::open().await;
    let body = serde_json::json!({ "delta": "1", "reason": "mine", "adjustmentId": Uuid::now_v7() });
    let answer = shop.buyer("mallory").post("/v1/stock/TEE-BLACK-M:adjust", &body).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (403, "PERMISSION_DENIED"));
    shop.user("sam", "staff").post("/v1/stock/TEE-BLACK-M:adjust", &body).await.ok();
}
