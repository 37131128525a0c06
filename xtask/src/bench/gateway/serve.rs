//! HTTP/2 as the backends of this bench speak it: plain, or over the house's mTLS under every service's name. It answers nothing
//! itself.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use stampede_kit::task;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, version};
use tonic::body::Body;

use crate::generator::frames;

/// More than any bench opens: what is measured is not this side.
const MAX_STREAMS: u32 = 100_000;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Whose certificates it shows: every service the gateway calls.
const NAMES: [&str; 3] = ["order", "inventory", "payment"];

/// Serves until the listener fails. Without an acceptor it is plain.
pub async fn listen<A, F>(listener: TcpListener, tls: Option<TlsAcceptor>, answer: A) -> anyhow::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.context("no more connections")?;
        stream.set_nodelay(true)?;
        let (tls, answer) = (tls.clone(), answer.clone());
        task::spawn("connection", async move {
            match tls {
                None => connection(stream, answer).await,
                // Whoever fails the handshake is not one of ours.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, answer).await;
                    }
                }
            }
        });
    }
}

async fn connection<S, A, F>(stream: S, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let served = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // It ends when its caller goes, which is seen there.
    served.await.ok();
}

/// The mTLS of every service in a folder of certificates.
pub fn acceptor(certs: &Path) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&certs.join("ca.pem"))? {
        roots.add(certificate)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let mut names = ResolvesServerCertUsingSni::new();
    for name in NAMES {
        let chain = certificates(&certs.join(format!("{name}.pem")))?;
        let key = PrivateKeyDer::from_pem_file(certs.join(format!("{name}.key")))
            .with_context(|| format!("the key of {name}"))?;
        names.add(name, CertifiedKey::from_der(chain, key, &provider)?)?;
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(names));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.with_context(|| format!("the certificates in {}", path.display()))?;
    if found.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(found)
}

/// The head every gRPC answer has.
pub fn head<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// What ends an answer that went well.
pub fn ended() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

/// A whole unary answer.
pub fn message(message: &[u8]) -> Response<Body> {
    let body = Full::new(Bytes::from(frames::message(message)));
    head(Body::new(body.with_trailers(async { Some(Ok(ended())) })))
}
