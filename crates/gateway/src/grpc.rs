//! gRPC and gRPC-web: checked at the edge, then passed through as they come; headers, messages and trailers are not looked into.
//! gRPC-web is the same call in another wrapping, taken off and put on by tonic-web.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body as HttpBody;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::{Frame, SizeHint};
use kit::Refusal;
use kit::client::{Channel, Incoming};
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::Gateway;
use crate::admission::Permit;
use crate::call;
use crate::errors::{Language, Problem, refusal};
use crate::front::{Answer, Face, X_REQUEST_ID};
use crate::stream;

/// Of one connection only, or of no use behind us.
const NOT_FORWARDED: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
    HOST,
    CONTENT_LENGTH,
    COOKIE,
];
/// What tools ask for the contract with.
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// The media types gRPC-web has; tonic-web takes these as they stand.
const GRPC_WEB_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    face: Face,
    request: Request<HttpBody>,
    id: &HeaderValue,
) -> Answer {
    let method = gateway.targets.get(request.uri().path()).map(|target| target.method.path.clone());
    if let Err(problem) = speaks(face, &request) {
        let response = gateway.errors.response(&problem, Language::of_caller(request.headers()));
        return Answer { response, method };
    }
    let proxy = Proxy { gateway: gateway.clone(), id: id.clone() };
    let request = request.map(Body::new);
    let answered = match face {
        Face::GrpcWeb => GrpcWebLayer::new().layer(proxy).oneshot(request).await,
        Face::Grpc | Face::Rest | Face::JsonRpc | Face::Preflight => proxy.oneshot(request).await,
    };
    let Ok(response) = answered;
    Answer { response: response.map(HttpBody::new), method }
}

/// What cannot even be answered in gRPC.
fn speaks(face: Face, request: &Request<HttpBody>) -> Result<(), Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let media_type = |text: &'static str| Problem::from(refusal(ErrorReason::MediaType, text));
    let content_type = request.headers().get(CONTENT_TYPE);
    match face {
        Face::GrpcWeb
            if !content_type.is_some_and(|found| GRPC_WEB_TYPES.iter().any(|known| found == known)) =>
        {
            Err(media_type("this form of gRPC-web is not spoken here"))
        }
        // HTTP/1.1 has no way to send the status after the messages.
        Face::Grpc if request.version() != Version::HTTP_2 => {
            Err(media_type("gRPC needs HTTP/2; gRPC-web does not"))
        }
        Face::Grpc | Face::GrpcWeb | Face::Rest | Face::JsonRpc | Face::Preflight => Ok(()),
    }
}

/// Passes one gRPC call on.
#[derive(Clone)]
struct Proxy {
    gateway: Arc<Gateway>,
    id: HeaderValue,
}

impl Service<Request<Body>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move {
            Ok(proxy.pass(request).await.unwrap_or_else(|refusal| Status::from(refusal).into_http()))
        })
    }
}

/// Where a call goes, and what it holds on to.
struct Passage<'a> {
    channel: &'a Channel,
    uri: Uri,
    permit: Permit,
    streams: bool,
}

impl Proxy {
    async fn pass(self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let Proxy { gateway, id } = self;
        let Passage { channel, uri, permit, streams } =
            passage(&gateway, request.uri().path(), request.headers())?;
        let (parts, body) = request.into_parts();
        let mut passed = Request::new(body);
        *passed.method_mut() = Method::POST;
        *passed.uri_mut() = uri;
        *passed.headers_mut() = forwarded(parts.headers, id);
        let response = channel.stream(passed).await?;
        let stop = streams.then(|| Box::pin(gateway.stop.clone().cancelled_owned()));
        Ok(response.map(|body| Body::new(Guarded { body, stop, ended: false, _permit: permit })))
    }
}

fn passage<'a>(gateway: &'a Gateway, path: &str, headers: &HeaderMap) -> Result<Passage<'a>, Refusal> {
    if path == REFLECTION {
        // It tells what /openapi.json tells, so it asks for no token either. Every service reflects the whole contract.
        let channel = &gateway.reflection;
        let permit = gateway.admission.admit_open_stream()?;
        return Ok(Passage { channel, uri: Uri::from_static(REFLECTION), permit, streams: true });
    }
    let target = gateway.targets.get(path);
    let target = target.ok_or_else(|| refusal(ErrorReason::NotImplemented, "there is no such method"))?;
    let permit = gateway.admission.admit(target, headers)?;
    let streams = !target.method.is_unary();
    Ok(Passage { channel: target.channel(), uri: target.uri.clone(), permit, streams })
}

fn forwarded(mut headers: HeaderMap, id: HeaderValue) -> HeaderMap {
    for name in &NOT_FORWARDED {
        headers.remove(name);
    }
    headers.insert(TE, call::TRAILERS);
    headers.insert(X_REQUEST_ID, id);
    headers
}

/// A response on its way out: it holds its slot, and a stream ends with a status when the process drains.
struct Guarded {
    body: Incoming,
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    ended: bool,
    _permit: Permit,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            return frame;
        }
        let stopped = self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready());
        if !stopped {
            return Poll::Pending;
        }
        self.ended = true;
        let mut trailers = HeaderMap::new();
        stream::stopping().add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
