//! The JSON-RPC 2.0 face, `POST /rpc`: a method is the full name of an RPC, `params` its request as JSON, an error our refusal with its
//! reason. One call or a batch; a notification is carried out and not answered. It offers every RPC of one request and one answer,
//! with a REST route or without; streams are for the other faces.

mod calls;
mod envelope;
mod failure;

use std::sync::Arc;

use axum::body::Body;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::Gateway;
use crate::errors::{APPLICATION_JSON, Language, Problem};
use crate::front::Answer;
use crate::rest::body::{self, Content};
use crate::rest::options;
use calls::Caller;
use envelope::Asked;
use failure::{INVALID_REQUEST, PARSE_ERROR, invalid};

pub(crate) const PATH: &str = "/rpc";
const ALLOWED: &str = "OPTIONS, POST";
/// Calls of one batch.
const MAX_BATCH: usize = 50;
/// Calls of one batch in progress at once.
const AT_ONCE: usize = 8;
/// What traces and metrics call a batch, whose calls may be of many RPCs.
const BATCH: &str = "batch";

pub(crate) async fn answer(gateway: &Arc<Gateway>, request: Request<Body>, id: &HeaderValue) -> Answer {
    let (parts, body) = request.into_parts();
    let language = Language::of_caller(&parts.headers);
    if parts.method == Method::OPTIONS {
        return Answer { response: options(ALLOWED), method: None };
    }
    let taken = match taken(&parts) {
        Ok(()) => body::read(&parts.headers, body, gateway.body).await,
        Err(problem) => {
            body::discard(&parts.headers, body);
            Err(problem)
        }
    };
    match taken {
        Ok(body) => carry_out(gateway, &parts, &body, id, language).await,
        Err(problem) => Answer { response: gateway.errors.response(&problem, language), method: None },
    }
}

/// What is no JSON-RPC at all is refused as by the REST face.
fn taken(parts: &Parts) -> Result<(), Problem> {
    if parts.method != Method::POST {
        return Err(Problem::method_not_allowed(ALLOWED));
    }
    body::check_media_type(&parts.headers, Content::Json)
}

async fn carry_out(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &[u8],
    id: &HeaderValue,
    language: Language,
) -> Answer {
    let caller = Caller { gateway, headers: &parts.headers, id, language };
    let calls = match envelope::read(body) {
        Ok(Asked::One(call)) => return caller.one(call).await,
        Ok(Asked::Batch(calls)) if (1..=MAX_BATCH).contains(&calls.len()) => calls,
        Ok(Asked::Batch(_)) => {
            let text = format!("a batch has 1 to {MAX_BATCH} calls");
            return answered(Some(caller.refused(None, &invalid(INVALID_REQUEST, text))), None);
        }
        Err(error) => {
            let failure = invalid(PARSE_ERROR, format!("the body is no JSON: {error}"));
            return answered(Some(caller.refused(None, &failure)), None);
        }
    };
    let calls: Vec<_> = calls.into_iter().map(|call| caller.of_batch(call).boxed()).collect();
    let answers: Vec<Option<Vec<u8>>> = stream::iter(calls).buffered(AT_ONCE).collect().await;
    let answers: Vec<Vec<u8>> = answers.into_iter().flatten().collect();
    let joined = answers.join(&b","[..]);
    let json = (!joined.is_empty()).then(|| [b"[", &joined[..], b"]"].concat());
    answered(json, Some(Arc::from(BATCH)))
}

/// Nothing is answered to notifications alone.
fn answered(json: Option<Vec<u8>>, method: Option<Arc<str>>) -> Answer {
    let mut response = Response::new(Body::empty());
    match json {
        Some(json) => {
            *response.body_mut() = Body::from(json);
            response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON);
        }
        None => *response.status_mut() = StatusCode::NO_CONTENT,
    }
    Answer { response, method }
}
