//! The JSON-RPC 2.0 face, `POST /rpc`: a method is the full name of an RPC, `params` its request as JSON, an error our refusal with its
//! reason. One call or a batch; a notification is carried out and not answered. It offers every RPC of one request and one answer,
//! with a REST route or without; streams are for the other faces.

mod envelope;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use kit::contract::Idempotency;
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use tonic::Status;

use crate::Gateway;
use crate::call::{FRAME_HEADER, Sent};
use crate::errors::{APPLICATION_JSON, Language, Problem, refusal};
use crate::front::Answer;
use crate::rest::body::{self, Content};
use crate::rest::{COMPLETE, STRICT, call_of, options, unreadable};
use crate::targets::Target;
use envelope::{Asked, Call};

pub(crate) const PATH: &str = "/rpc";
const ALLOWED: &str = "OPTIONS, POST";
/// Calls of one batch.
const MAX_BATCH: usize = 50;
/// Calls of one batch in progress at once.
const AT_ONCE: usize = 8;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Of the specification.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;
/// Every other gRPC code counts down from here: NOT_FOUND, 5, is -32005.
const SERVER_ERROR: i32 = -32000;

/// Why a call has no result.
struct Failure {
    code: i32,
    problem: Problem,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure { code: code_of(problem.status()), problem }
    }
}

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
    answered((!joined.is_empty()).then(|| [b"[", &joined[..], b"]"].concat()), None)
}

fn invalid(code: i32, text: impl Into<String>) -> Failure {
    Failure { code, problem: refusal(ErrorReason::InvalidArgument, text).into() }
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

/// Who asks, for all calls of one request.
struct Caller<'a> {
    gateway: &'a Arc<Gateway>,
    headers: &'a HeaderMap,
    id: &'a HeaderValue,
    language: Language,
}

impl Caller<'_> {
    async fn one(&self, call: Result<Call<'_>, envelope::Invalid<'_>>) -> Answer {
        let call = match call {
            Ok(call) => call,
            Err(bad) => {
                let failure = invalid(INVALID_REQUEST, bad.text);
                return answered(Some(self.refused(bad.id, &failure)), None);
            }
        };
        let target = self.target(&call);
        let method = target.as_ref().ok().map(|target| target.method.path.clone());
        let outcome = match target {
            Ok(target) => self.result(target, &call, Cow::Borrowed(self.headers)).await,
            Err(failure) => Err(failure),
        };
        let Some(number) = call.id else { return answered(None, method) };
        match outcome {
            Ok(result) => answered(Some(succeeded(number, &result)), method),
            Err(failure) => {
                let (json, retry_after) = self.written(Some(number), &failure);
                let mut answer = answered(Some(json), method);
                let headers = answer.response.headers_mut();
                headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(self.language.tag()));
                if let Some(seconds) = retry_after {
                    headers.insert(RETRY_AFTER, seconds);
                }
                answer
            }
        }
    }

    async fn of_batch(&self, call: Result<Call<'_>, envelope::Invalid<'_>>) -> Option<Vec<u8>> {
        let call = match call {
            Ok(call) => call,
            Err(bad) => return Some(self.refused(bad.id, &invalid(INVALID_REQUEST, bad.text))),
        };
        let outcome = match self.target(&call) {
            Ok(target) => self.result(target, &call, self.headers_in_batch(target, &call)).await,
            Err(failure) => Err(failure),
        };
        let number = call.id?;
        Some(match outcome {
            Ok(result) => succeeded(number, &result),
            Err(failure) => self.refused(Some(number), &failure),
        })
    }

    /// Each call of a batch has a key of its own: the request's, and the call's id.
    fn headers_in_batch(&self, target: &Target, call: &Call<'_>) -> Cow<'_, HeaderMap> {
        let key = self.headers.get(IDEMPOTENCY_KEY).filter(|_| match target.method.calling.idempotency {
            Idempotency::ByKey => true,
            Idempotency::Read | Idempotency::ById | Idempotency::None => false,
        });
        let Some(key) = key else { return Cow::Borrowed(self.headers) };
        let mut headers = self.headers.clone();
        headers.remove(IDEMPOTENCY_KEY);
        let id = call.id.unwrap_or_default().trim_matches('"');
        let own = [key.as_bytes(), b":", id.as_bytes()].concat();
        // Without a key, or with one that is no key, the call is refused with its reason.
        if let Ok(own) = HeaderValue::from_bytes(&own)
            && !id.is_empty()
        {
            headers.insert(IDEMPOTENCY_KEY, own);
        }
        Cow::Owned(headers)
    }

    fn target(&self, call: &Call<'_>) -> Result<&Arc<Target>, Failure> {
        let unknown = |text: &str| Failure {
            code: METHOD_NOT_FOUND,
            problem: refusal(ErrorReason::NotImplemented, text).into(),
        };
        let target = path(&call.method).and_then(|path| self.gateway.targets.get(&path));
        let target = target.ok_or_else(|| unknown("there is no such method"))?;
        if !target.method.is_unary() {
            return Err(unknown("this method is a stream, which JSON-RPC has not; the other faces have"));
        }
        Ok(target)
    }

    async fn result(
        &self,
        target: &Target,
        call: &Call<'_>,
        headers: Cow<'_, HeaderMap>,
    ) -> Result<Vec<u8>, Failure> {
        let schema = self.gateway.routes.schema();
        let descriptor = &target.method.descriptor;
        let _permit = self.gateway.admission.admit(target, &headers).map_err(Problem::from)?;
        let known =
            |name: &str| schema.message(name).ok_or_else(|| invalid(INTERNAL_ERROR, "no such message"));
        let (input, output) =
            (known(descriptor.input().full_name())?, known(descriptor.output().full_name())?);
        let params = call.params.unwrap_or("{}");
        if !params.starts_with('{') {
            return Err(invalid(INVALID_PARAMS, "params have to be an object: the request message as JSON"));
        }
        let mut frame = vec![0; FRAME_HEADER];
        schema.to_wire(input, params.as_bytes(), &STRICT, &mut frame).map_err(Problem::from)?;
        let sent = Sent::message(frame);
        let message: Bytes = call_of(target, &headers, sent, self.id).unary().await.map_err(Problem::from)?;
        let mut json = Vec::new();
        schema.to_json(output, &message, &COMPLETE, &mut json).map_err(|error| unreadable(&error))?;
        Ok(json)
    }

    fn refused(&self, id: Option<&str>, failure: &Failure) -> Vec<u8> {
        self.written(id, failure).0
    }

    /// The answer to a call that failed, and when to try again; of one that cannot even be named the id is null.
    fn written(&self, id: Option<&str>, failure: &Failure) -> (Vec<u8>, Option<HeaderValue>) {
        let (told, retry_after) = self.gateway.errors.written(&failure.problem, self.language);
        let message = serde_json::Value::from(failure.problem.status().message());
        let (id, code) = (id.unwrap_or("null"), failure.code);
        let mut json =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"data":"#)
                .into_bytes();
        json.extend_from_slice(&told);
        json.extend_from_slice(b"}}");
        (json, retry_after)
    }
}

fn succeeded(id: &str, result: &[u8]) -> Vec<u8> {
    let mut json = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#).into_bytes();
    json.extend_from_slice(result);
    json.push(b'}');
    json
}

/// `package.Service/Method` or `package.Service.Method` as a gRPC path.
fn path(method: &str) -> Option<String> {
    let method = method.strip_prefix('/').unwrap_or(method);
    let (service, name) = method.split_once('/').or_else(|| method.rsplit_once('.'))?;
    Some(format!("/{service}/{name}"))
}

fn code_of(status: &Status) -> i32 {
    match status.code() {
        tonic::Code::InvalidArgument => INVALID_PARAMS,
        tonic::Code::Internal => INTERNAL_ERROR,
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::PermissionDenied
        | tonic::Code::ResourceExhausted
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unimplemented
        | tonic::Code::Unavailable
        | tonic::Code::DataLoss
        | tonic::Code::Unauthenticated => SERVER_ERROR - status.code() as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_named_with_a_slash_or_a_dot() {
        for name in ["a.b.S/M", "a.b.S.M", "/a.b.S/M"] {
            assert_eq!(path(name).as_deref(), Some("/a.b.S/M"), "{name}");
        }
        assert_eq!(path("M"), None);
    }

    #[test]
    fn every_code_has_a_number_of_the_specification() {
        assert_eq!(code_of(&Status::invalid_argument("")), INVALID_PARAMS);
        assert_eq!(code_of(&Status::not_found("")), -32005);
        assert_eq!(code_of(&Status::unauthenticated("")), -32016);
    }
}
