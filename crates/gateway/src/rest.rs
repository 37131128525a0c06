//! The REST face: a route of the contract, JSON in, JSON out. Headers are judged before the body is read; the bytes go from
//! JSON to the wire and back in one pass each.

mod accept;
pub(crate) mod body;
pub(crate) mod lines;

use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use stampede_proto::common::v1::ErrorReason;
use stampede_transcode as transcode;
use transcode::{Found, Match, RequestOptions, ResponseOptions, Route, UnknownFields};

use crate::Gateway;
use crate::admission::Permit;
use crate::call::{Call, FRAME_HEADER, Sent};
use crate::errors::{APPLICATION_JSON, Language, Problem, refusal};
use crate::front::{self, Answer, X_REQUEST_ID};
use crate::stream::{self, Resume, query_token};
use crate::targets::{Target, Targets};
use crate::{rpc, webhooks};
use body::Content;

/// Unknown fields are refused: silence would hide a misspelt one.
pub(crate) const STRICT: RequestOptions = RequestOptions { unknown_fields: UnknownFields::Refuse };
/// Every field is there, so that a reader need not know the defaults.
pub(crate) const COMPLETE: ResponseOptions = ResponseOptions { emit_defaults: true };
/// What a caller's headers say to the service behind; everything else stays here.
const FORWARDED: [HeaderName; 5] = [
    AUTHORIZATION,
    HeaderName::from_static("grpc-previous-rpc-attempts"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// JSON of these messages is rarely more than this many times their wire bytes.
const JSON_GROWTH: usize = 4;
const SPARE_BYTES: usize = 64;

/// Every REST binding, with the RPC it leads to at the same index.
pub(crate) struct Routes {
    router: transcode::Router,
    bindings: Vec<Binding>,
}

/// What a binding leads to.
#[derive(Clone)]
pub(crate) struct Binding {
    pub target: Arc<Target>,
    /// How a server stream is taken up again, when its messages say.
    pub resume: Resume,
}

impl Routes {
    pub(crate) fn build(router: transcode::Router, targets: &Targets) -> anyhow::Result<Self> {
        let bindings = router.routes().iter().map(|route| {
            let target = targets.get(route.grpc_path());
            let target = target.with_context(|| format!("{} is not in the contract", route.grpc_path()))?;
            Ok(Binding { target: target.clone(), resume: Resume::of(route.descriptor()) })
        });
        let bindings = bindings.collect::<anyhow::Result<_>>()?;
        anyhow::ensure!(
            matches!(router.find(&Method::POST, rpc::PATH), Found::NotFound),
            "a route of the contract is at {}, where JSON-RPC is",
            rpc::PATH
        );
        Ok(Routes { router, bindings })
    }

    fn is_stream(&self, parts: &Parts) -> bool {
        match self.router.find(&parts.method, parts.uri.path()) {
            Found::Match(matched) => matched.route.is_server_streaming(),
            Found::MethodNotAllowed { .. } | Found::NotFound => false,
        }
    }

    pub(crate) fn schema(&self) -> &transcode::Schema {
        self.router.schema()
    }

    pub(crate) fn route(&self, index: usize) -> &Route {
        &self.router.routes()[index]
    }

    /// The methods a path takes, as for `Allow`; `None` when there is nothing at it.
    pub(crate) fn allowed(&self, path: &str) -> Option<String> {
        match self.router.find(&Method::OPTIONS, path) {
            Found::MethodNotAllowed { allow } => Some(format!("{allow}, OPTIONS")),
            Found::Match(_) => Some(Method::OPTIONS.to_string()),
            Found::NotFound => None,
        }
    }
}

impl Problem {
    pub(crate) fn route_not_found() -> Self {
        refusal(ErrorReason::RouteNotFound, "there is nothing at this address").into()
    }
}

pub(crate) async fn answer(gateway: &Arc<Gateway>, request: Request<Body>, id: &HeaderValue) -> Answer {
    let (mut parts, body) = request.into_parts();
    if query_token::is_there(&parts) && gateway.routes.is_stream(&parts) {
        query_token::take(&mut parts);
    }
    let matched = match gateway.routes.router.find(&parts.method, parts.uri.path()) {
        Found::Match(matched) => matched,
        Found::NotFound if webhooks::provider(parts.uri.path()).is_some() => {
            return Box::pin(webhooks::answer(gateway, parts, body, id)).await;
        }
        Found::NotFound => return Box::pin(front::page(gateway, Request::from_parts(parts, body))).await,
        Found::MethodNotAllowed { allow } if parts.method == Method::OPTIONS => {
            return Answer { response: options(&format!("{allow}, OPTIONS")), method: None };
        }
        Found::MethodNotAllowed { allow } => {
            body::discard(&parts.headers, body);
            let language = Language::of_caller(&parts.headers);
            let response = gateway.errors.response(&Problem::method_not_allowed(&allow), language);
            return Answer { response, method: None };
        }
    };
    let binding = &gateway.routes.bindings[matched.route.index()];
    let answered = serve(gateway, binding, &matched, &parts, body, id).await;
    let response = answered
        .unwrap_or_else(|problem| gateway.errors.response(&problem, Language::of_caller(&parts.headers)));
    Answer { response, method: Some(binding.target.method.path.clone()) }
}

async fn serve(
    gateway: &Arc<Gateway>,
    binding: &Binding,
    matched: &Match<'_, '_>,
    parts: &Parts,
    body: Body,
    id: &HeaderValue,
) -> Result<Response<Body>, Problem> {
    let permit = match admit(gateway, binding, matched, parts) {
        Ok(permit) => permit,
        Err(problem) => {
            body::discard(&parts.headers, body);
            return Err(problem);
        }
    };
    if matched.route.is_client_streaming() {
        return Box::pin(lines::answer(gateway, binding, matched.route, parts, body, (id, permit))).await;
    }
    let body = if matched.route.takes_body() {
        body::read(&parts.headers, body, gateway.body).await?
    } else {
        body::discard(&parts.headers, body);
        Bytes::new()
    };
    let mut frame = Vec::with_capacity(FRAME_HEADER + body.len() + SPARE_BYTES);
    frame.resize(FRAME_HEADER, 0);
    matched.request(parts.uri.query(), &body, &STRICT, &mut frame)?;
    if matched.route.is_server_streaming() {
        let index = matched.route.index();
        return Box::pin(stream::answer(gateway, binding, index, parts, frame, id, permit)).await;
    }
    let message = call_of(&binding.target, &parts.headers, Sent::message(frame), id).unary().await?;
    json(matched.route, &message)
}

/// All that can be refused before the body is read.
fn admit(
    gateway: &Gateway,
    binding: &Binding,
    matched: &Match<'_, '_>,
    parts: &Parts,
) -> Result<Permit, Problem> {
    let permit = gateway.admission.admit(&binding.target, &parts.headers)?;
    accept::check(&parts.headers, matched.route.is_server_streaming())?;
    if matched.route.is_client_streaming() {
        body::check_media_type(&parts.headers, Content::Lines)?;
    } else if matched.route.takes_body() {
        body::check_media_type(&parts.headers, Content::Json)?;
    }
    Ok(permit)
}

/// The call a REST request stands for. The channel adds the deadline of the contract.
pub(crate) fn call_of<'a>(target: &'a Target, asked: &HeaderMap, sent: Sent, id: &HeaderValue) -> Call<'a> {
    let mut headers = HeaderMap::with_capacity(12);
    for name in &FORWARDED {
        if let Some(value) = asked.get(name) {
            let mut value = value.clone();
            // Secret, or this call's alone: no compression table of a connection should hold it.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(X_REQUEST_ID, id.clone());
    Call {
        channel: target.channel(),
        uri: target.uri.clone(),
        headers,
        sent,
        time: target.method.calling.deadline,
    }
}

fn json(route: &Route, message: &[u8]) -> Result<Response<Body>, Problem> {
    let mut json = Vec::with_capacity(message.len() * JSON_GROWTH + SPARE_BYTES);
    route.response(message, &COMPLETE, &mut json).map_err(|error| unreadable(&error))?;
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON);
    Ok(response)
}

/// A service answered with bytes that are not its message: its defect, for the log alone.
pub(crate) fn unreadable(error: &transcode::TranscodeError) -> Problem {
    tracing::error!(%error, "a service's answer cannot be read");
    refusal(ErrorReason::Internal, "something went wrong on our side").into()
}

/// What may be done here.
pub(crate) fn options(allow: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
