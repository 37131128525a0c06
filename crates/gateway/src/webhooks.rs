//! What payment providers tell by themselves: `POST /webhooks/{provider}`. Their signature is over the very bytes, so these are handed on
//! as they came, in the one message that this gateway builds, on its own certificate. It verifies nothing itself and answers 2xx only
//! when the payment service has committed.

use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use prost::Message as _;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::payment::v1::ReceiveWebhookRequest;

use crate::Gateway;
use crate::call::{FRAME_HEADER, Sent};
use crate::errors::{APPLICATION_JSON, Language, Problem, refusal};
use crate::front::Answer;
use crate::rest::{body, call_of};
use crate::targets::{Target, Targets};

const RPC: &str = "/stampede.payment.v1.PaymentService/ReceiveWebhook";
const PREFIX: &str = "/webhooks/";
/// The contract's largest payload.
const MAX_BYTES: usize = 65_536;
/// Of the sender's headers only this one is anybody's business.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where webhooks go.
pub(crate) struct Webhooks(Arc<Target>);

impl Webhooks {
    pub(crate) fn build(targets: &Targets) -> anyhow::Result<Self> {
        let target = targets.get(RPC).with_context(|| format!("{RPC} is not in the contract"))?;
        Ok(Self(target.clone()))
    }
}

/// The provider a path is for, when it is a webhook's.
pub(crate) fn provider(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|provider| !provider.is_empty() && !provider.contains('/'))
}

pub(crate) async fn answer(gateway: &Arc<Gateway>, parts: Parts, body: Body, id: &HeaderValue) -> Answer {
    let answered = hand_on(gateway, &parts, body, id).await;
    let response = answered
        .unwrap_or_else(|problem| gateway.errors.response(&problem, Language::of_caller(&parts.headers)));
    Answer { response, method: Some(gateway.webhooks.0.method.path.clone()) }
}

async fn hand_on(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: Body,
    id: &HeaderValue,
) -> Result<Response<Body>, Problem> {
    let target = &gateway.webhooks.0;
    let admitted = match parts.method {
        Method::POST => gateway.admission.admit(target, &HeaderMap::new()).map_err(Problem::from),
        _ => Err(Problem::method_not_allowed("POST")),
    };
    let _permit = match admitted {
        Ok(permit) => permit,
        Err(problem) => {
            body::discard(&parts.headers, body);
            return Err(problem);
        }
    };
    let limits = body::Limits { bytes: gateway.body.bytes.min(MAX_BYTES), ..gateway.body };
    let payload = body::read(&parts.headers, body, limits).await?;
    let provider = provider(parts.uri.path()).unwrap_or_default().to_owned();
    let signature = signature(&parts.headers, &provider)?;
    let message = ReceiveWebhookRequest { provider, payload, signature };
    let mut frame = vec![0; FRAME_HEADER];
    message.encode(&mut frame).expect("a vector grows");
    let mut asked = HeaderMap::new();
    if let Some(trace) = parts.headers.get(&TRACEPARENT) {
        asked.insert(TRACEPARENT, trace.clone());
    }
    call_of(target, &asked, Sent::message(frame), id).unary().await?;
    let mut response = Response::new(Body::from("{}"));
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON);
    Ok(response)
}

/// `simulator-signature` of the provider `simulator`: providers name it after themselves.
fn signature(headers: &HeaderMap, provider: &str) -> Result<String, Problem> {
    let value = headers.get(format!("{provider}-signature")).and_then(|value| value.to_str().ok());
    let missing = || refusal(ErrorReason::WebhookSignature, "the signature is missing").into();
    value.map(ToOwned::to_owned).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_path_names_one_provider() {
        assert_eq!(provider("/webhooks/simulator"), Some("simulator"));
        for path in ["/webhooks/", "/webhooks", "/webhooks/a/b", "/v1/webhooks/a"] {
            assert_eq!(provider(path), None, "{path}");
        }
    }
}
