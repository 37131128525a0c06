//! The inventory service with its feed sent as it is: a message of `WatchStock` is encoded once for everybody who is told it, and
//! its bytes go out to each. It answers that one path itself; every other call is tonic's.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use stampede_proto::inventory::v1::WatchStockRequest;
use stampede_proto::inventory::v1::inventory_service_server::{InventoryServiceServer, SERVICE_NAME};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::server::NamedService;
use tower::Service;

use super::InventoryApi;
use crate::feed::HEADER_BYTES;

const WATCH_STOCK: &str = "/stampede.inventory.v1.InventoryService/WatchStock";

/// `InventoryService` as it is served.
#[derive(Clone)]
pub struct InventoryFeeds {
    api: Arc<InventoryApi>,
    calls: InventoryServiceServer<InventoryApi>,
}

impl InventoryFeeds {
    pub fn new(api: InventoryApi) -> Self {
        let api = Arc::new(api);
        Self { calls: InventoryServiceServer::from_arc(api.clone()), api }
    }
}

impl NamedService for InventoryFeeds {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for InventoryFeeds {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.calls, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != WATCH_STOCK {
            return self.calls.call(request);
        }
        let api = self.api.clone();
        Box::pin(async move { Ok(watch(&api, request).await.unwrap_or_else(Status::into_http)) })
    }
}

async fn watch(api: &InventoryApi, request: Request<Body>) -> Result<Response<Body>, Status> {
    // The stack has let in exactly one message, whole and not compressed.
    let framed = request.into_body().collect().await?.to_bytes();
    let message = framed.get(HEADER_BYTES..).unwrap_or_default();
    let asked = WatchStockRequest::decode(message).map_err(|error| Status::internal(error.to_string()))?;
    let messages = api.watch(asked).await?;
    let mut response = Response::new(Body::new(StreamBody::new(frames(messages).map(Ok::<_, Status>))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// The messages, and the status at the end of them.
fn frames(messages: impl Stream<Item = Result<Bytes, Status>>) -> impl Stream<Item = Frame<Bytes>> {
    let frame = |message| match message {
        Ok(message) => Frame::data(message),
        Err(status) => ended(&status),
    };
    messages.map(frame).chain(futures::stream::once(async { ended(&Status::ok("")) }))
}

fn ended(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).expect("the text of a refusal fits a header");
    Frame::trailers(trailers)
}
