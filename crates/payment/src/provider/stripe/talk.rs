//! One exchange with Stripe: who asks, and what the status and error object of the answer mean. What says neither yes nor no is
//! lost, never guessed at: rate limits, conflicts of keys, errors of theirs, and everything unknown.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use super::form::Form;
use super::{API_VERSION, Stripe};
use crate::domain::Answer;

/// An intent with its charge is a few thousand bytes; a page of refunds a hundred times one.
pub(super) const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Longest class that is believed to be one.
const MAX_CLASS: usize = 64;

/// What it said.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Good(Vec<u8>),
    /// Nothing was done, and nothing will be under this key.
    Declined {
        intent: Option<String>,
        code: Option<String>,
        class: String,
    },
    /// There is no such object.
    Missing,
    /// The key was used for something else.
    KeyTaken,
    Lost,
}

#[derive(Debug, Deserialize)]
struct Failure {
    error: ApiError,
}

/// The error object of the published API.
#[derive(Debug, Deserialize)]
pub struct ApiError {
    #[serde(rename = "type", default)]
    kind: String,
    pub code: Option<String>,
    pub decline_code: Option<String>,
    payment_intent: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

impl Reply {
    /// What a refusal is to an attempt.
    pub fn answer(self) -> Answer {
        match self {
            Self::Declined { intent, class, .. } => Answer::Refused { reference: intent, decline: class },
            Self::Good(_) | Self::Missing | Self::KeyTaken | Self::Lost => Answer::Lost,
        }
    }
}

impl ApiError {
    /// Our class of it: its own word, but for those that this house writes otherwise.
    pub fn class(&self) -> String {
        let word = self.decline_code.as_deref().or(self.code.as_deref()).unwrap_or("unspecified");
        match word {
            "do_not_honor" => "do_not_honour",
            "issuer_not_available" => "issuer_unavailable",
            "payment_intent_authentication_failure" | "authentication_required" => "authentication_failed",
            plain
                if plain.len() <= MAX_CLASS && plain.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') =>
            {
                plain
            }
            _ => "unspecified",
        }
        .to_owned()
    }
}

impl Stripe {
    pub(super) async fn post(&self, path: &str, key: Uuid, form: &Form) -> Reply {
        let request = self
            .line
            .request(Method::POST, path)
            .header("idempotency-key", key.to_string())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.encoded().to_owned());
        self.exchange("post", request).await
    }

    pub(super) async fn get(&self, path: &str, query: &Form) -> Reply {
        let request = self.line.request(Method::GET, &format!("{path}?{}", query.encoded()));
        self.exchange("get", request).await
    }

    async fn exchange(&self, what: &'static str, request: reqwest::RequestBuilder) -> Reply {
        let request =
            request.bearer_auth(self.config.secret_key.expose()).header("stripe-version", API_VERSION);
        let answer = self.line.exchange(what, request).await;
        answer.map_or(Reply::Lost, |(status, body)| reply(status, body))
    }
}

fn reply(status: StatusCode, body: Vec<u8>) -> Reply {
    if status == StatusCode::OK {
        return Reply::Good(body);
    }
    let Ok(Failure { error }) = serde_json::from_slice(&body) else { return Reply::Lost };
    let class = error.class();
    let intent = error.payment_intent.map(|intent| intent.id);
    match (status.as_u16(), error.kind.as_str()) {
        (402, "card_error") => Reply::Declined { intent, code: error.code, class },
        (404, "invalid_request_error") => Reply::Missing,
        (400, "idempotency_error") => Reply::KeyTaken,
        (400, "invalid_request_error") => {
            tracing::error!(code = error.code, "the provider does not understand us");
            let class = "rejected_by_provider".to_owned();
            Reply::Declined { intent, code: error.code, class }
        }
        (status, kind) => {
            tracing::warn!(status, kind, "the provider gave no answer");
            Reply::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, kind: &str, decline: &str) -> Reply {
        let body = serde_json::json!({ "error": { "type": kind, "code": "card_declined", "decline_code": decline } });
        reply(StatusCode::from_u16(status).unwrap(), body.to_string().into_bytes())
    }

    #[test]
    fn a_decline_has_a_class_of_this_house() {
        for (theirs, ours) in [
            ("insufficient_funds", "insufficient_funds"),
            ("do_not_honor", "do_not_honour"),
            ("issuer_not_available", "issuer_unavailable"),
            ("Bobby; DROP", "unspecified"),
        ] {
            let Reply::Declined { class, .. } = said(402, "card_error", theirs) else { panic!("{theirs}") };
            assert_eq!(class, ours);
        }
    }

    #[test]
    fn what_says_neither_yes_nor_no_is_lost() {
        for (status, kind) in [
            (429, "rate_limit_error"),
            (500, "api_error"),
            (503, "api_error"),
            (409, "idempotency_error"),
            (401, "authentication_error"),
            (402, "api_error"),
            (307, "card_error"),
        ] {
            assert_eq!(said(status, kind, "x"), Reply::Lost, "{status} {kind}");
        }
        assert_eq!(said(400, "idempotency_error", "x").answer(), Answer::Lost);
        assert_eq!(reply(StatusCode::PAYMENT_REQUIRED, b"<html>".to_vec()), Reply::Lost);
    }
}
