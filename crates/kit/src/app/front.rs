//! Plain HTTP/1.1 and h2c for an axum router: the gateway's front and every service's admin listener. Handlers find the caller's
//! address as axum's `ConnectInfo<SocketAddr>`.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::connection::{self, End};
use super::first_bytes::FirstBytes;

/// From the first byte of a request to the last of its headers, and how long an idle connection is kept.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 100;
/// Request line and headers of HTTP/1.1.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

pub(super) fn serve(
    stream: TcpStream,
    router: Router,
    end: End,
) -> impl Future<Output = ()> + Send + 'static {
    let address = stream.peer_addr();
    let (stream, spoken) = FirstBytes::of(stream);
    async move {
        let builder = builder();
        // Without an address the connection is gone already.
        let Ok(address) = address else { return };
        let router = router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(address));
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(router);
        connection::drive(builder.serve_connection(TokioIo::new(stream), service), spoken, end).await;
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
        .max_header_list_size(connection::MAX_HEADER_LIST_BYTES)
        .initial_connection_window_size(connection::CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(connection::STREAM_WINDOW_BYTES);
    builder
}
