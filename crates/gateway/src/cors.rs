//! Which web origins may call from a browser (Fetch standard, CORS protocol). None, unless the configuration names them. Tokens
//! travel in a header and never in a cookie, so credentials are never allowed.

use anyhow::Context as _;
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use crate::front::Face;
use crate::rest::Routes;

const ANY: &str = "*";
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, accept-language, idempotency-key, last-event-id, x-request-id, traceparent, \
     tracestate, grpc-timeout, x-grpc-web, x-user-agent",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "grpc-status, grpc-message, grpc-status-details-bin, retry-after, x-request-id, allow, content-language",
);
/// gRPC-web calls are POSTs to paths that are no routes.
const GRPC_WEB_METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
/// How long a browser may remember an answer to its question, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

pub(crate) struct Cors {
    any: bool,
    origins: Vec<HeaderValue>,
}

impl Cors {
    pub(crate) fn new(origins: &[String]) -> anyhow::Result<Self> {
        let any = origins.iter().any(|origin| origin == ANY);
        let origins = origins.iter().map(|origin| {
            HeaderValue::from_str(origin).with_context(|| format!("cors.origins: {origin:?} is no origin"))
        });
        Ok(Cors { any, origins: origins.collect::<anyhow::Result<_>>()? })
    }

    /// The origin a request comes from, when it may.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        (self.any || self.origins.contains(origin)).then(|| origin.clone())
    }
}

/// The answer to a browser's question; without [`allow`] it means no.
pub(crate) fn preflight(routes: &Routes, request: &Request<Body>) -> Response<Body> {
    let methods = routes.allowed(request.uri().path()).and_then(|allow| HeaderValue::try_from(allow).ok());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.unwrap_or(GRPC_WEB_METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(VARY, HeaderValue::from_static("origin"));
    response
}

/// Lets the page of `origin` read an answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue, face: Face) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("origin"));
    match face {
        Face::Rest | Face::Grpc | Face::GrpcWeb | Face::JsonRpc => {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
        Face::Preflight => {}
    }
}
