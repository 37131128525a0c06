//! The calls of one request: which RPC each means, and its way there and back.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LANGUAGE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use kit::contract::Idempotency;
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;

use super::answered;
use super::envelope::{Call, Invalid};
use super::failure::{Failure, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, invalid};
use crate::Gateway;
use crate::call::{FRAME_HEADER, Sent};
use crate::errors::{Language, Problem, refusal};
use crate::front::Answer;
use crate::rest::{COMPLETE, STRICT, call_of, unreadable};
use crate::targets::Target;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Who asks, for all calls of one request.
pub(super) struct Caller<'a> {
    pub gateway: &'a Arc<Gateway>,
    pub headers: &'a HeaderMap,
    pub id: &'a HeaderValue,
    pub language: Language,
}

impl Caller<'_> {
    pub(super) async fn one(&self, call: Result<Call<'_>, Invalid<'_>>) -> Answer {
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
                let (json, retry_after) = failure.written(&self.gateway.errors, Some(number), self.language);
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

    pub(super) async fn of_batch(&self, call: Result<Call<'_>, Invalid<'_>>) -> Option<Vec<u8>> {
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
        let _permit = self.gateway.admission.admit(target, &headers).map_err(Problem::from)?;
        let params = call.params.unwrap_or("{}");
        if !params.starts_with('{') {
            return Err(invalid(INVALID_PARAMS, "params have to be an object: the request message as JSON"));
        }
        let mut frame = vec![0; FRAME_HEADER];
        schema.to_wire(target.input, params.as_bytes(), &STRICT, &mut frame).map_err(Problem::from)?;
        let sent = Sent::message(frame);
        let message: Bytes = call_of(target, &headers, sent, self.id).unary().await.map_err(Problem::from)?;
        let mut json = Vec::new();
        schema.to_json(target.output, &message, &COMPLETE, &mut json).map_err(|error| unreadable(&error))?;
        Ok(json)
    }

    pub(super) fn refused(&self, id: Option<&str>, failure: &Failure) -> Vec<u8> {
        failure.written(&self.gateway.errors, id, self.language).0
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
}
