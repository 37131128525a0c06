//! The gateway's kind of front: plain HTTP on the public port, with the same limits and the same drain.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use stampede_kit::config::{FrontTls, Limits};
use stampede_pki::{Authority, Policy};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::house::{House, limits, now};

/// `/slow` says that it has begun.
async fn open() -> (House, mpsc::Receiver<()>) {
    let (begun, began) = mpsc::channel(1);
    let house = House::with(limits(), |app| {
        let slow = || async move {
            begun.send(()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        };
        let router = axum::Router::new()
            .route("/who", get(|| async { "you" }))
            .route("/slow", get(slow))
            .merge(app.admin_router());
        app.http(router, None).unwrap();
    })
    .await;
    (house, began)
}

#[tokio::test]
async fn http_1_and_h2c_share_the_port() {
    let (house, _) = open().await;
    let url = format!("http://{}/who", house.address);
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "you");
    let h2c = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = h2c.get(&url).send().await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "you");
    let health = reqwest::get(format!("http://{}/healthz", house.address)).await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_process_ends() {
    let (house, mut began) = open().await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    began.recv().await.unwrap();
    let stopping = tokio::spawn(house.stop());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    stopping.await.unwrap().unwrap();
}

/// A front with TLS, its certificate's file and a client that believes it.
async fn open_with_tls() -> (House, (FrontTls, TempDir), reqwest::Client) {
    let folder = tempfile::tempdir().unwrap();
    let tls = FrontTls { cert: folder.path().join("front.pem"), key: folder.path().join("front.key") };
    let mut authority = Authority::create(Policy::development(), now()).unwrap();
    renew(&mut authority, &tls);
    let root = reqwest::Certificate::from_pem(authority.cert_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(root).pool_max_idle_per_host(0);
    let paths = tls.clone();
    let house = House::with(limits(), |app| {
        app.http(axum::Router::new().route("/who", get(|| async { "you" })), Some(&paths)).unwrap();
    })
    .await;
    (house, (tls, folder), client.build().unwrap())
}

fn renew(authority: &mut Authority, tls: &FrontTls) {
    let leaf = authority.issue("gateway", "test", &[], now()).unwrap();
    std::fs::write(&tls.key, &leaf.key_pem).unwrap();
    std::fs::write(&tls.cert, &leaf.cert_pem).unwrap();
}

#[tokio::test]
async fn tls_speaks_both_versions_and_a_plain_caller_gets_nothing() {
    let (house, _files, client) = open_with_tls().await;
    let url = format!("https://localhost:{}/who", house.address.port());
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (http::Version::HTTP_2, 200));
    let answer = client.get(&url).version(http::Version::HTTP_11).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "you");
    assert!(reqwest::get(format!("http://{}/who", house.address)).await.is_err());
}

#[tokio::test]
async fn a_session_is_taken_up_again_and_a_renewed_certificate_is_seen() {
    let (house, (tls, _folder), _) = open_with_tls().await;
    let mut authority = Authority::create(Policy::development(), now()).unwrap();
    renew(&mut authority, &tls);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.cert_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let ask = async || {
        let stream = TcpStream::connect(house.address).await?;
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await?;
        stream.write_all(b"GET /who HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(stream.get_ref().1.handshake_kind())
    };
    // Until the new certificate is noticed the client does not believe the old one.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while ask().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the renewed certificate is never shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask().await.unwrap(), Some(rustls::HandshakeKind::Resumed));
}

/// CVE-2023-44487, at its dearest for the server: every request has begun before it is taken back.
#[tokio::test]
async fn a_connection_that_takes_everything_back_is_closed_and_others_are_served() {
    let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let house = House::with(limits(), |app| {
        let hang = move || async move {
            tell.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        app.http(axum::Router::new().route("/hang", get(hang)).route("/who", get(|| async { "you" })), None)
            .unwrap();
    })
    .await;
    let stream = TcpStream::connect(house.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let closed = tokio::spawn(connection);
    let url = format!("http://{}/hang", house.address);
    let attack = async {
        let mut taken_back = 0_u32;
        while let Ok(ready) = sender.clone().ready().await {
            sender = ready;
            let request = http::Request::get(&url).body(()).unwrap();
            let Ok((_, mut stream)) = sender.send_request(request, true) else { break };
            tokio::select! {
                _ = begun.recv() => {}
                () = tokio::time::sleep(Duration::from_secs(2)) => break,
            }
            stream.send_reset(h2::Reason::CANCEL);
            taken_back += 1;
        }
        taken_back
    };
    let taken_back = tokio::time::timeout(Duration::from_secs(60), attack).await.expect("it is closed");
    assert!((1_000..10_000).contains(&taken_back), "closed after {taken_back}");
    assert!(tokio::time::timeout(Duration::from_secs(5), closed).await.is_ok());
    let who = reqwest::get(format!("http://{}/who", house.address)).await.unwrap();
    assert_eq!(who.status().as_u16(), 200);
}

#[tokio::test]
async fn headers_that_never_end_and_silence_are_closed_in_time() {
    let (house, _) = open().await;
    let mut slow = TcpStream::connect(house.address).await.unwrap();
    slow.write_all(b"GET /who HTTP/1.1\r\nhost: shop\r\nx: ").await.unwrap();
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    let mut preface = TcpStream::connect(house.address).await.unwrap();
    preface.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let closed = async |stream: &mut TcpStream| stream.read_to_end(&mut Vec::new()).await;
    let all = async { tokio::join!(closed(&mut slow), closed(&mut silent), closed(&mut preface)) };
    tokio::time::timeout(Duration::from_secs(14), all).await.expect("every one of them is closed").0.ok();
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let house = House::with(Limits { connections: 1, ..limits() }, |app| {
        app.http(axum::Router::new().route("/who", get(|| async { "you" })), None).unwrap();
    })
    .await;
    let mut first = TcpStream::connect(house.address).await.unwrap();
    first.write_all(b"GET /who HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    first.read_u8().await.unwrap();
    let mut second = TcpStream::connect(house.address).await.unwrap();
    second.write_all(b"GET /who HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("OVERLOADED"), "{answer}");
}

#[tokio::test]
async fn headers_that_do_not_arrive_are_told_so_and_an_idle_connection_is_just_closed() {
    let (house, _) = open().await;
    let ask = async |begin: &str| {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let whole = "GET /who HTTP/1.1\r\nhost: shop\r\n\r\n";
    let half = "GET /who HTTP/1.1\r\nhost: shop\r\nx-slow: ";
    let (slow, idle) = tokio::join!(ask(half), ask(whole));
    assert!(slow.starts_with("HTTP/1.1 408 ") && slow.contains("DEADLINE_EXCEEDED"), "{slow}");
    assert!(idle.starts_with("HTTP/1.1 200 ") && idle.ends_with("you"), "{idle}");
}
