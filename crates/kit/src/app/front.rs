//! HTTP/1.1 and HTTP/2, plain or over TLS: the gateway's front and every service's admin listener. It knows nothing of what is answered.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use opentelemetry::metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::abandoned::{Abandoned, Unanswered};
use super::connection::{self, End};
use super::socket::Socket;
use super::{farewell, handshake};
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

/// What answers the requests of a front.
pub trait Front: Send + Sync + 'static {
    /// The answer to a request, whatever that is.
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

impl Front for Router {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.clone().oneshot(request).await;
        response
    }
}

/// How the connections of a front are taken.
pub(super) struct Door {
    pub serve: Serve,
    /// What becomes of a connection too many.
    pub refuse: fn(TcpStream),
}

type Serve = Arc<dyn Fn(TcpStream, End) -> BoxFuture<'static, ()> + Send + Sync>;

/// In plain text, or in TLS when there is a certificate for it.
pub(super) fn door<F: Front>(front: F, tls: Option<Arc<tls::Front>>) -> Door {
    let front = Arc::new(front);
    // In the middle of a handshake nobody could read it.
    let refuse = if tls.is_some() { drop } else { farewell::too_many };
    let serve: Serve = Arc::new(move |stream, end| match &tls {
        None => Box::pin(speak(stream, front.clone(), end)),
        Some(tls) => Box::pin(secured(stream, tls.clone(), front.clone(), end)),
    });
    Door { serve, refuse }
}

async fn secured<F: Front>(stream: TcpStream, tls: Arc<tls::Front>, front: Arc<F>, end: End) {
    if let Some(stream) = handshake::accept(tls.server(), stream, &end).await {
        speak(stream, front, end).await;
    }
}

async fn speak<S, F>(stream: S, front: Arc<F>, end: End)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Front,
{
    let (stream, heard) = Socket::of(stream);
    // This connection alone may be ended too.
    let (kill, own) = (end.kill.clone(), end.kill.child_token());
    let end = End { kill: own.clone(), ..end };
    let abandoned = Arc::new(Abandoned::new(own.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, unanswered) = (front.clone(), Unanswered::of(&abandoned));
        async move {
            let response = front.answer(request.map(Body::new)).await;
            unanswered.answered();
            Ok::<_, Infallible>(response)
        }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    match connection::drive(connection, &heard, end).await {
        Some(Err(error)) if is_header_timeout(&*error) => {
            if let Some(stream) = heard.take_unanswered() {
                farewell::too_slow(stream);
            }
        }
        None if own.is_cancelled() && !kill.is_cancelled() => ABUSED.add(1, &[]),
        // How else it ended is between the peer and its network: nothing here can act on it.
        Some(_) | None => {}
    }
}

/// Only headers have a time in HTTP/1.1. Between requests it is over as well; nobody has asked for anything then.
fn is_header_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(hyper::Error::is_timeout)
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
