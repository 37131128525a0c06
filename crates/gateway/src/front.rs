//! The way in: which face a request is for, its id, and what every answer carries. It decides nothing about a call.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use stampede_types::card::has_card_number;
use tower::ServiceExt as _;

use crate::errors::{Language, Problem, refusal};
use crate::{Gateway, cors, grpc, observe, rest, rpc};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 128;
/// Two numbers in hexadecimal and a dash.
const MADE_ID_BYTES: usize = 33;

/// The public port: what is not a face of the contract is a page.
pub(crate) struct Front(pub Arc<Gateway>);

impl kit::app::Front for Front {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        answer(&self.0, request).await
    }
}

/// Which face a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Rest,
    Grpc,
    GrpcWeb,
    JsonRpc,
    /// A browser asks whether it may call.
    Preflight,
}

impl Face {
    fn of(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        if method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return Face::Preflight;
        }
        if path == rpc::PATH {
            return Face::JsonRpc;
        }
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        match content_type.strip_prefix(b"application/grpc") {
            Some(rest) if rest.starts_with(b"-web") => Face::GrpcWeb,
            Some([] | [b'+' | b';', ..]) => Face::Grpc,
            Some(_) | None => Face::Rest,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Face::Rest => "rest",
            Face::Grpc => "grpc",
            Face::GrpcWeb => "grpc-web",
            Face::JsonRpc => "json-rpc",
            Face::Preflight => "preflight",
        }
    }
}

/// An answer and the RPC it is of; `None` for a page.
pub(crate) struct Answer {
    pub response: Response<Body>,
    pub method: Option<Arc<str>>,
}

async fn answer(gateway: &Arc<Gateway>, request: Request<Body>) -> Response<Body> {
    let face = Face::of(request.method(), request.uri().path(), request.headers());
    let observed = gateway.observer.start(face);
    let id = gateway.ids.of(request.headers());
    let origin = gateway.cors.allowed(request.headers());
    let trace = observe::trace(face, request.headers(), &id);
    let span = trace.span.clone();
    let head = request.method() == Method::HEAD;
    let Answer { mut response, method } = trace.around(route(gateway, face, request, &id)).await;
    if head {
        response = without_body(response);
    }
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(method) = &method {
        span.record("rpc.method", &**method);
    }
    observed.end(method, response.status());
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id);
    if let Some(origin) = origin {
        cors::allow(headers, origin, face);
    }
    response
}

async fn route(gateway: &Arc<Gateway>, face: Face, request: Request<Body>, id: &HeaderValue) -> Answer {
    // Every request has room for what it may become: the rarer faces make theirs when they are asked for.
    match face {
        Face::Rest => rest::answer(gateway, request, id).await,
        Face::Grpc | Face::GrpcWeb => Box::pin(grpc::answer(gateway, face, request, id)).await,
        Face::JsonRpc => Box::pin(rpc::answer(gateway, request, id)).await,
        Face::Preflight => Answer { response: cors::preflight(&gateway.routes, &request), method: None },
    }
}

/// What HEAD is answered: all of what GET is, but for the body. HTTP/2 would send it.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// A page, or nothing at this address.
pub(crate) async fn page(gateway: &Gateway, request: Request<Body>) -> Answer {
    let language = Language::of_caller(request.headers());
    let Ok(response) = gateway.pages.clone().oneshot(request).await;
    let response = match response.extensions().get::<Missing>() {
        Some(Missing::Page) => gateway.errors.response(&Problem::route_not_found(), language),
        Some(Missing::Method) => {
            let allow = response.headers().get(http::header::ALLOW).and_then(|allow| allow.to_str().ok());
            gateway.errors.response(&Problem::method_not_allowed(allow.unwrap_or("GET, HEAD")), language)
        }
        Some(Missing::Broken) => {
            let problem = refusal(ErrorReason::Internal, "something went wrong on our side");
            gateway.errors.response(&problem.into(), language)
        }
        None => response,
    };
    Answer { response, method: None }
}

/// Left on a response by the pages' router where there is no page to show.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Missing {
    Page,
    Method,
    /// There should be one.
    Broken,
}

/// Names for requests: the caller's own, or one that is unique in this process's life. It is no secret and no key, so a counter
/// behind a random start is enough.
pub(crate) struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        RequestIds { start: rand::random(), next: AtomicU64::new(0) }
    }

    /// No other request has it, so it is kept out of the compression tables of connections, where it would only be in the way of others.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let own = headers.get(X_REQUEST_ID).filter(|id| is_id(id.as_bytes()));
        let mut id = own.cloned().unwrap_or_else(|| self.make());
        id.set_sensitive(true);
        id
    }

    fn make(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = String::with_capacity(MADE_ID_BYTES);
        write!(text, "{:016x}-{number:x}", self.start).expect("a string takes all");
        HeaderValue::try_from(text).expect("hexadecimal digits are a header value")
    }
}

/// It is written into logs and traces: nothing that carries a card number is.
fn is_id(bytes: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic)
        && !str::from_utf8(bytes).is_ok_and(has_card_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(content_type: &'static str) -> Face {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Face::of(&Method::POST, "/", &headers)
    }

    #[test]
    fn the_content_type_says_which_face_is_meant() {
        assert_eq!(face("application/grpc"), Face::Grpc);
        assert_eq!(face("application/grpc+proto"), Face::Grpc);
        assert_eq!(face("application/grpc-web+proto"), Face::GrpcWeb);
        assert_eq!(face("application/grpc-web-text"), Face::GrpcWeb);
        assert_eq!(face("application/json"), Face::Rest);
        assert_eq!(face("application/grpcx"), Face::Rest);
        assert_eq!(Face::of(&Method::GET, "/", &HeaderMap::new()), Face::Rest);
        assert_eq!(Face::of(&Method::POST, "/rpc", &HeaderMap::new()), Face::JsonRpc);
    }

    #[test]
    fn a_callers_request_id_is_kept_when_it_is_one() {
        let ids = RequestIds::new();
        let with = |id: &'static str| HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_static(id))]);

        assert_eq!(ids.of(&with("abc-1")), "abc-1");
        assert_ne!(ids.of(&with("two words")), "two words");
        assert_ne!(ids.of(&with("r-4000056655665556")), "r-4000056655665556");
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
