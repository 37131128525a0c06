//! Refusals as the REST face shows them: google.rpc.Status JSON, with the HTTP status its reason declares, a text in the
//! caller's language, and the headers that belong to it. Callers never see internal text.

mod language;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use kit::Refusal;
use prost::Message as _;
use stampede_kit as kit;
use stampede_proto::Declared;
use stampede_proto::common::v1::ErrorReason;
use stampede_transcode as transcode;
use tonic::{Code, Status};
use tonic_types::pb;
use transcode::{MessageId, ResponseOptions, Schema, TranscodeError};

pub(crate) use language::Language;

pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"stampede\"");
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const LOCALIZED_MESSAGE: &str = "type.googleapis.com/google.rpc.LocalizedMessage";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
/// Said with every 503 that names no time itself.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// What to say should an error itself not be writable.
const LAST_RESORT: &[u8] = br#"{"code":13,"message":"something went wrong on our side","details":[]}"#;

/// A refusal with the code the contract declares for its reason.
pub(crate) fn refusal(reason: ErrorReason, message: impl Into<String>) -> Refusal {
    let declared = reason.declared();
    Refusal::new(declared.code, declared.word, message)
}

/// A REST call that ends without its response.
#[derive(Clone)]
pub(crate) struct Problem {
    status: Status,
    /// Set where the HTTP status is not the one of the reason.
    http: Option<StatusCode>,
    allow: Option<HeaderValue>,
}

impl Problem {
    /// 405 with the methods there are.
    pub(crate) fn method_not_allowed(allow: &str) -> Self {
        let refusal = refusal(ErrorReason::MethodNotAllowed, format!("this address takes {allow}"));
        Problem { allow: HeaderValue::from_str(allow).ok(), ..Problem::from(refusal) }
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// The same refusal under another HTTP status.
    pub(crate) fn with_status(self, http: StatusCode) -> Self {
        Problem { http: Some(http), ..self }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Status::from(refusal).into()
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Problem { status, http: None, allow: None }
    }
}

/// A request that does not say what its RPC can read. The path is the caller's own spelling.
pub(crate) fn not_read(error: TranscodeError) -> Refusal {
    let refusal = refusal(ErrorReason::InvalidArgument, error.to_string()).field(error.path, error.message);
    match error.offset {
        Some(offset) => refusal.metadata("offset", offset.to_string()),
        None => refusal,
    }
}

impl From<TranscodeError> for Problem {
    fn from(error: TranscodeError) -> Self {
        not_read(error).into()
    }
}

/// Writes refusals.
pub(crate) struct Errors {
    schema: Schema,
    message: MessageId,
}

/// Everything an answer says about a refusal.
struct Told {
    body: pb::Status,
    declared: Option<&'static Declared>,
    retry_after: Option<Duration>,
}

impl Errors {
    /// Needs google.rpc.Status and its details in the schema.
    pub(crate) fn new(schema: Schema) -> anyhow::Result<Self> {
        let message = schema
            .message("google.rpc.Status")
            .ok_or_else(|| anyhow::anyhow!("the descriptors have no google.rpc.Status"))?;
        Ok(Errors { schema, message })
    }

    pub(crate) fn response(&self, problem: &Problem, language: Language) -> Response<Body> {
        let told = tell(&problem.status, language);
        let http = http_of(problem, &told);
        let mut response = Response::new(Body::from(self.json(&told.body)));
        *response.status_mut() = http;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, APPLICATION_JSON);
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        if let Some(allow) = &problem.allow {
            headers.insert(ALLOW, allow.clone());
        }
        if http == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, BEARER);
        }
        if let Some(seconds) = retry_after(&told, http) {
            headers.insert(RETRY_AFTER, seconds);
        }
        response
    }

    /// The body, and when the caller may try again, for a face that answers in an envelope of its own.
    pub(crate) fn written(&self, problem: &Problem, language: Language) -> (Bytes, Option<HeaderValue>) {
        let told = tell(&problem.status, language);
        (self.json(&told.body), retry_after(&told, http_of(problem, &told)))
    }

    /// The body alone, for a stream that has begun.
    pub(crate) fn body(&self, status: &Status, language: Language) -> Bytes {
        self.json(&tell(status, language).body)
    }

    fn json(&self, status: &pb::Status) -> Bytes {
        let options = ResponseOptions { emit_defaults: false };
        let mut json = Vec::with_capacity(512);
        match self.schema.to_json(self.message, &status.encode_to_vec(), &options, &mut json) {
            Ok(()) => Bytes::from(json),
            Err(error) => {
                tracing::error!(%error, "an error could not be written");
                Bytes::from_static(LAST_RESORT)
            }
        }
    }
}

/// What the caller is told about a status. One without a reason of ours gets one, and its text stays inside.
fn tell(status: &Status, language: Language) -> Told {
    let mut body = pb::Status::decode(status.details()).unwrap_or_default();
    body.code = status.code() as i32;
    body.message = status.message().to_owned();
    let info: Option<pb::ErrorInfo> = detail(&body, ERROR_INFO);
    let declared = match &info {
        Some(info) => ErrorReason::from_word(&info.reason).map(ErrorReason::declared),
        None => Some(usual_reason(status.code()).declared()),
    };
    if info.is_none()
        && let Some(declared) = declared
    {
        tracing::warn!(%status, "a service refused without a reason");
        declared.en.clone_into(&mut body.message);
        let info = pb::ErrorInfo {
            reason: declared.word.into(),
            domain: kit::refusal::DOMAIN.into(),
            ..Default::default()
        };
        body.details.insert(0, any(ERROR_INFO, &info));
    }
    if let Some(declared) = declared
        && detail::<pb::LocalizedMessage>(&body, LOCALIZED_MESSAGE).is_none()
    {
        let message = language.of(declared).to_owned();
        body.details.push(any(
            LOCALIZED_MESSAGE,
            &pb::LocalizedMessage { locale: language.tag().to_owned(), message },
        ));
    }
    let retry_after =
        detail::<pb::RetryInfo>(&body, RETRY_INFO).and_then(|info| info.retry_delay?.try_into().ok());
    Told { body, declared, retry_after }
}

fn detail<M: prost::Message + Default>(status: &pb::Status, type_url: &str) -> Option<M> {
    let any = status.details.iter().find(|any| any.type_url == type_url)?;
    M::decode(&*any.value).ok()
}

fn any(type_url: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

/// The one of the reason, unless the problem says another.
fn http_of(problem: &Problem, told: &Told) -> StatusCode {
    let declared = told.declared.and_then(|declared| StatusCode::from_u16(declared.http_status).ok());
    problem.http.or(declared).unwrap_or_else(|| usual_status(Code::from_i32(told.body.code)))
}

fn retry_after(told: &Told, http: StatusCode) -> Option<HeaderValue> {
    let default = (http == StatusCode::SERVICE_UNAVAILABLE).then_some(DEFAULT_RETRY_AFTER);
    told.retry_after.or(default).map(|delay| HeaderValue::from(whole_seconds(delay)))
}

/// `Retry-After` has whole seconds; earlier than asked for would be refused again.
fn whole_seconds(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1)
}

/// What a status means that came without a reason.
fn usual_reason(code: Code) -> ErrorReason {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorReason::InvalidArgument,
        Code::DeadlineExceeded => ErrorReason::DeadlineExceeded,
        Code::PermissionDenied => ErrorReason::PermissionDenied,
        Code::Unauthenticated => ErrorReason::TokenInvalid,
        Code::ResourceExhausted => ErrorReason::RateLimited,
        Code::Unimplemented => ErrorReason::NotImplemented,
        Code::Unavailable | Code::Cancelled => ErrorReason::Unavailable,
        Code::Ok
        | Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => ErrorReason::Internal,
    }
}

/// The mapping of google/rpc/code.proto, for a reason this gateway does not know yet.
fn usual_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests;
