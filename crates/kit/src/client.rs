//! Channels to our own services: mTLS, one connection with many streams, made on first use and made again when it breaks. Every
//! call carries a deadline and the trace it belongs to. It never retries: that is a decision of the caller, by the contract.

mod connector;

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use crate::context::PREVIOUS_ATTEMPTS;
use crate::contract::Contract;
use crate::refusal::Refusal;
use crate::{stack, tls};

/// Deadline of a call whose method the contract does not know.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// A service that does not take a connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A silent connection is asked after this long, and given up when it does not answer in [`KEEP_ALIVE_TIMEOUT`].
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Flow-control windows of a connection and of one stream on it.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// A connection to one of our services; `OrderServiceClient::new(channel)` takes it. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    inner: tonic::transport::Channel,
    contract: Arc<Contract>,
}

/// A channel to `service` at `address` ("host:port"). Nothing is connected before the first call. The server has to show a
/// certificate of our CA for the name `service`.
pub fn connect(tls: &tls::Client, service: &'static str, address: &str, contract: Arc<Contract>) -> Channel {
    let origin = Uri::builder()
        .scheme("https")
        .authority(service)
        .path_and_query("/")
        .build()
        .expect("the name of a service is a host name");
    // The endpoint's own scheme is http because the connector below does TLS; `origin` is what the server reads.
    let endpoint = Endpoint::from_shared(format!("http://{service}"))
        .expect("the name of a service is a host name")
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES);
    let connector = connector::Connector::new(tls, service, address);
    Channel { inner: endpoint.connect_with_connector_lazy(connector), contract }
}

/// A call on our own authority, with a deadline. On a caller's behalf use [`crate::Context::request`].
pub fn request<M>(message: M, timeout: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Says that this call was made before: its first try may have had an effect nobody heard of.
pub fn repeated<M>(mut request: Request<M>) -> Request<M> {
    request.metadata_mut().insert(PREVIOUS_ATTEMPTS, MetadataValue::from_static("1"));
    request
}

impl tower::Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let declared = self.contract.method(request.uri().path()).map(|method| method.calling.deadline);
        stack::deadline::ensure(request.headers_mut(), declared.unwrap_or(DEFAULT_DEADLINE));
        stack::trace::inject(request.headers_mut());
        ResponseFuture { inner: Box::pin(self.inner.call(request)) }
    }
}

/// The answer of a [`Channel`]: failures of the transport become statuses with a reason.
pub struct ResponseFuture {
    inner: Pin<Box<dyn Future<Output = Result<http::Response<Body>, tonic::transport::Error>> + Send>>,
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<Body>, tonic::transport::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx).map(|answer| Ok(answer.unwrap_or_else(|error| refused(&error))))
    }
}

/// tonic says CANCELLED for a deadline that passed here and UNKNOWN for a connection that broke; callers deserve the word
/// that fits, and the retry rules read it.
fn refused(error: &tonic::transport::Error) -> http::Response<Body> {
    let refusal = if caused_by::<tonic::TimeoutExpired>(error) {
        Refusal::deadline_exceeded()
    } else {
        tracing::debug!(%error, "a call failed in its transport");
        Refusal::unavailable("a service this call needs does not answer")
    };
    Status::from(refusal).into_http()
}

fn caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if error.is::<E>() {
            return true;
        }
        source = error.source();
    }
    false
}
