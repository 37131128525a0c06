//! The contract for people: `/openapi.json`, made once from the descriptors, and a page that shows it with nothing from
//! elsewhere. It documents what the descriptors say and nothing else.

mod document;
mod refusals;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::errors::APPLICATION_JSON;
use crate::front::Missing;
pub use document::openapi_document;

const PAGE: &str = include_str!("docs/page.html");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// The page brings its own style and script, reads `/openapi.json` and talks to nobody else.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The pages, and marks for the gateway's own errors where there is none. The document is made when it is first asked for: it takes many
/// times its own memory to make, comments and all, and most processes are never asked.
pub(crate) fn router(descriptors: Bytes) -> Router {
    let document = Arc::new(OnceLock::new());
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(page))
        .route("/openapi.json", get(move || openapi_json(document.clone(), descriptors.clone())))
        .fallback(|| async { missing(StatusCode::NOT_FOUND, Missing::Page) })
        .method_not_allowed_fallback(|| async { missing(StatusCode::METHOD_NOT_ALLOWED, Missing::Method) })
}

async fn page() -> Response {
    ([(CONTENT_TYPE, HTML), (CACHE_CONTROL, NO_CACHE), (CONTENT_SECURITY_POLICY, PAGE_POLICY)], PAGE)
        .into_response()
}

/// None when it cannot be made; the log says why.
type Document = OnceLock<Option<Bytes>>;

async fn openapi_json(document: Arc<Document>, descriptors: Bytes) -> Response {
    if document.get().is_none() {
        // Made once, whoever comes meanwhile and whoever leaves; never on a thread that carries connections.
        let document = document.clone();
        let make = move || {
            document.get_or_init(|| made(&descriptors));
        };
        tokio::task::spawn_blocking(make).await.ok();
    }
    match document.get().cloned().flatten() {
        Some(document) => {
            ([(CONTENT_TYPE, APPLICATION_JSON), (CACHE_CONTROL, NO_CACHE)], document).into_response()
        }
        None => missing(StatusCode::INTERNAL_SERVER_ERROR, Missing::Broken),
    }
}

fn made(descriptors: &[u8]) -> Option<Bytes> {
    let made = document::of(descriptors).and_then(|document| Ok(serde_json::to_vec(&document)?));
    let logged = made.inspect_err(|error| {
        tracing::error!(error = format!("{error:#}"), "the OpenAPI document cannot be made");
    });
    logged.ok().map(Bytes::from)
}

fn missing(status: StatusCode, what: Missing) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(what);
    response
}
