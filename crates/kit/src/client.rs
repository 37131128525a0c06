//! Channels to our own services: mTLS, one connection with many streams (one a worker, where calls come from workers), made on first
//! use and made again when it breaks. Every
//! call carries a deadline and the trace it belongs to. It never retries: that is a decision of the caller, by the contract.

mod connection;
mod connector;
mod exchange;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;

use crate::context::PREVIOUS_ATTEMPTS;
use crate::contract::Contract;
use crate::refusal::Refusal;
use crate::{stack, telemetry, tls, workers};

use connection::Connection;
use connector::Connector;
pub use exchange::Incoming;

/// Deadline of a call whose method the contract does not know.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// A connection to one of our services; `OrderServiceClient::new(channel)` takes it. Cheap to clone, and small: every call in flight has
/// one.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    /// One for each place a call may come from: a worker's calls stay on its own thread.
    connections: Box<[Connection]>,
    authority: Authority,
    contract: Arc<Contract>,
}

/// A channel to `service` at `address` ("host:port"). Nothing is connected before the first call. The server has to show a
/// certificate of our CA for the name `service`.
pub fn connect(tls: &tls::Client, service: &'static str, address: &str, contract: Arc<Contract>) -> Channel {
    let connector = Connector::new(tls, service, address);
    let connections = (0..workers::places()).map(|_| Connection::new(connector.clone()));
    Channel(Arc::new(Shared {
        connections: connections.collect(),
        authority: Authority::from_static(service),
        contract,
    }))
}

/// A call on our own authority, with a deadline. On a caller's behalf use [`crate::Context::request`].
pub fn request<M>(message: M, timeout: Duration) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Says that this call was made before: its first try may have had an effect nobody heard of.
pub fn repeated<M>(mut request: tonic::Request<M>) -> tonic::Request<M> {
    request.metadata_mut().insert(PREVIOUS_ATTEMPTS, MetadataValue::from_static("1"));
    request
}

impl Channel {
    /// Sends a request that is all here, and answers when the response has begun. The caller keeps its time.
    ///
    /// # Errors
    /// UNAVAILABLE when the service does not answer: it may have heard the request all the same.
    pub async fn unary(&self, request: Request<Bytes>) -> Result<Response<Incoming>, Refusal> {
        let (head, message) = self.prepared(request);
        exchange::unary(self.sender().await?, head, message).await.map_err(|error| unavailable(&error))
    }

    /// Sends a request message by message, and answers when the response has begun. The caller keeps its time.
    ///
    /// # Errors
    /// As those of [`Channel::unary`].
    pub async fn stream<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (head, messages) = self.prepared(request);
        exchange::stream(self.sender().await?, head, messages).await.map_err(|error| unavailable(&error))
    }

    async fn sender(&self) -> Result<SendRequest<Bytes>, Refusal> {
        self.0.connections[workers::place()].sender().await.map_err(|error| unavailable(&error))
    }

    fn prepared<B>(&self, request: Request<B>) -> (Request<()>, B) {
        let (mut parts, body) = request.into_parts();
        stack::deadline::ensure(&mut parts.headers, || {
            let declared = self.0.contract.method(parts.uri.path()).map(|method| method.calling.deadline);
            declared.unwrap_or(DEFAULT_DEADLINE)
        });
        telemetry::inject(&mut parts.headers);
        parts.uri = self.uri(parts.uri.path_and_query().cloned());
        (Request::from_parts(parts, ()), body)
    }

    /// What the server reads as its own address.
    fn uri(&self, path: Option<PathAndQuery>) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.0.authority.clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts).expect("scheme, authority and path are a URI")
    }
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Failures of the transport become statuses with a reason, and so does a deadline that passes before the response begins.
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        let (head, messages) = self.prepared(request);
        let within = stack::deadline::read(head.headers()).ok().flatten().unwrap_or(DEFAULT_DEADLINE);
        Box::pin(async move {
            let answered = tokio::time::timeout(within, async {
                let sender = channel.sender().await?;
                exchange::stream(sender, head, messages).await.map_err(|error| unavailable(&error))
            });
            let answer = answered.await.unwrap_or_else(|_| Err(Refusal::deadline_exceeded()));
            Ok(match answer {
                Ok(response) => response.map(Body::new),
                Err(refusal) => Status::from(refusal).into_http(),
            })
        })
    }
}

fn unavailable(error: &dyn std::error::Error) -> Refusal {
    tracing::debug!(%error, "a call failed in its transport");
    Refusal::unavailable("a service this call needs does not answer")
}
