//! gRPC over mTLS: the handshake under a deadline, the peer from its certificate, then HTTP/2 into the stack. A certificate that
//! our CA signed but that names nobody here gets an answer with its reason rather than a closed door.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;

use super::connection::{self, End};
use super::handshake;
use super::socket::Socket;
use crate::auth::{Peer, peer};
use crate::gathered::Gathered;
use crate::refusal::Refusal;
use crate::stack::Stack;
use crate::tls;

/// What every connection of the listener shares. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mutual {
    pub tls: Arc<tls::Material>,
    pub environment: Arc<str>,
    pub stack: Stack,
    pub end: End,
}

impl Mutual {
    pub(super) async fn serve(self, stream: TcpStream) {
        let Some(stream) = handshake::accept(self.tls.server(), stream, &self.end).await else { return };
        let peer = peer::identify(stream.get_ref().1.peer_certificates(), &self.environment);
        let (stream, heard) = Socket::of(Gathered(stream));
        let service = service_fn(move |request| answer(self.stack.clone(), peer.clone(), request));
        let connection = builder().serve_connection(TokioIo::new(stream), service);
        connection::drive(connection, &heard, self.end).await;
    }
}

async fn answer(
    stack: Stack,
    peer: Result<Peer, Refusal>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(match peer {
        Ok(peer) => stack.call(request.map(Body::new), peer).await,
        Err(unknown) => Status::from(unknown).into_http(),
    })
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(connection::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(connection::KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(connection::MAX_INNER_STREAMS)
        .max_header_list_size(connection::MAX_INNER_HEADER_LIST_BYTES)
        .initial_connection_window_size(connection::CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(connection::STREAM_WINDOW_BYTES);
    builder
}
