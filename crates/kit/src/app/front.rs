//! HTTP/1.1 and HTTP/2, plain or over TLS, for an axum router: the gateway's front and every service's admin listener. Handlers find the caller's
//! address as axum's `ConnectInfo<SocketAddr>`.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use opentelemetry::metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::{Layer as _, ServiceExt as _};

use super::abandoned::Abandoned;
use super::connection::{self, End};
use super::first_bytes::FirstBytes;
use super::handshake;
use crate::{metrics, tls};

static ABUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    metrics::counter("connections_abused", "Connections closed because they took back too many requests")
});

/// From the first byte of a request to the last of its headers, and how long an idle connection is kept.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 100;
/// Streams of HTTP/2 reset by the caller before they were even looked at, and reset by us for the caller's mistakes; one more closes the
/// connection.
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 1024;
/// Request line and headers of HTTP/1.1.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// A connection in plain text, or in TLS when there is a certificate for it.
pub(super) async fn serve(stream: TcpStream, tls: Option<Arc<tls::Front>>, router: Router, end: End) {
    // Without an address the connection is gone already.
    let Ok(address) = stream.peer_addr() else { return };
    match tls {
        None => speak(stream, address, router, end).await,
        Some(tls) => {
            let Some(stream) = handshake::accept(tls.server(), stream, &end).await else { return };
            speak(stream, address, router, end).await;
        }
    }
}

async fn speak<S>(stream: S, address: SocketAddr, router: Router, end: End)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, spoken) = FirstBytes::of(stream);
    let abandoned = Abandoned::new();
    let router = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        request.map(Body::new)
    });
    let service = TowerToHyperService::new(abandoned.layer(router));
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = connection::drive(connection, spoken, end) => {}
        () = abandoned.too_many.cancelled() => ABUSED.add(1, &[]),
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(connection::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(connection::KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(connection::MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(connection::MAX_HEADER_LIST_BYTES)
        .initial_connection_window_size(connection::CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(connection::STREAM_WINDOW_BYTES);
    builder
}
