//! The adapter of `psp-simulator`'s HTTP API, for as many of them as there are, each under its own name. What says neither yes nor no is
//! lost.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::{Method as Verb, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::line::Line;
use super::{Call, Found, Provider, Reading, simulator_webhook};
use crate::domain::{Answer, Method, PayerAction, Token};

/// An operation is less than one; what is longer is not an operation.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Class of a command the provider says it does not understand: it was not done.
const MALFORMED: &str = "rejected_by_provider";

pub struct Simulator(Line);

/// The provider's operation, in the words of its API.
#[derive(Debug, Deserialize)]
struct Operation {
    status: Status,
    reference: String,
    amount_minor: i64,
    currency: String,
    decline: Option<String>,
    action: Option<Action>,
    /// Until when it is held: milliseconds since 1970.
    expires_at_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Action {
    url: String,
    /// Milliseconds since 1970.
    expires_at_ms: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Succeeded,
    Declined,
    RequiresAction,
}

impl Simulator {
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(name: &str, url: &str, timeout: Duration) -> anyhow::Result<Self> {
        Line::new(name, url, timeout, MAX_ANSWER_BYTES).map(Self)
    }

    async fn command(&self, path: &'static str, key: Uuid, body: Value) -> Answer {
        let request = self.0.request(Verb::POST, &format!("/v1/{path}"));
        let request = request.header("idempotency-key", key.to_string()).json(&body);
        match self.0.exchange(path, request).await {
            Some((StatusCode::OK | StatusCode::ACCEPTED | StatusCode::PAYMENT_REQUIRED, body)) => {
                read(path, &body)
            }
            // It says that it did nothing and will not.
            Some((StatusCode::BAD_REQUEST, _)) => {
                Answer::Refused { reference: None, decline: MALFORMED.to_owned() }
            }
            Some((status, _)) => {
                tracing::warn!(path, status = status.as_u16(), "the provider gave no answer");
                Answer::Lost
            }
            None => Answer::Lost,
        }
    }

    async fn ask(&self, key: Uuid) -> Found {
        let request = self.0.request(Verb::GET, &format!("/v1/operations/{key}"));
        match self.0.exchange("operations", request).await {
            Some((StatusCode::OK, body)) => match read("operations", &body) {
                Answer::Lost => Found::Lost,
                known @ (Answer::Done { .. } | Answer::Refused { .. } | Answer::Action { .. }) => {
                    Found::Known(known)
                }
            },
            Some((StatusCode::NOT_FOUND, body)) if says_no_operation(&body) => Found::Absent,
            Some(_) | None => Found::Lost,
        }
    }
}

fn body(call: &Call) -> Value {
    json!({
        "payment": call.payment.to_string(),
        "amount_minor": call.amount_minor,
        "currency": call.currency.as_str(),
    })
}

impl Provider for Simulator {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn authorize<'a>(&'a self, call: &'a Call, method: &'a Method) -> BoxFuture<'a, Answer> {
        let mut body = body(call);
        body["source"] = Value::from(method.token.expose());
        self.command("authorizations", call.key, body).boxed()
    }

    fn capture<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer> {
        self.command("captures", call.key, body(call)).boxed()
    }

    fn void<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer> {
        self.command("voids", call.key, json!({ "payment": call.payment.to_string() })).boxed()
    }

    fn refund<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer> {
        self.command("refunds", call.key, body(call)).boxed()
    }

    fn query<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Found> {
        self.ask(call.key).boxed()
    }

    fn told(&self, body: &[u8]) -> Reading {
        simulator_webhook::read(body).map_or(Reading::Malformed, Reading::Told)
    }
}

fn read(path: &'static str, body: &[u8]) -> Answer {
    let Ok(operation) = serde_json::from_slice::<Operation>(body) else {
        tracing::error!(path, "the provider's answer has no meaning");
        return Answer::Lost;
    };
    let Operation { status, reference, amount_minor, currency, decline, action, expires_at_ms } = operation;
    match status {
        Status::Succeeded => {
            let hold_expires_at = expires_at_ms.and_then(moment);
            Answer::Done { reference, amount_minor, currency, hold_expires_at }
        }
        Status::Declined => {
            let decline = decline.unwrap_or_else(|| "unspecified".to_owned());
            Answer::Refused { reference: Some(reference), decline }
        }
        Status::RequiresAction => match action.and_then(payers) {
            Some(action) => Answer::Action { reference: Some(reference), action },
            None => Answer::Lost,
        },
    }
}

/// None when it says no time there is.
fn payers(action: Action) -> Option<PayerAction> {
    let expires_at = moment(action.expires_at_ms)?;
    Some(PayerAction { url: Token::new(action.url), expires_at })
}

/// Of milliseconds since 1970.
pub(super) fn moment(at_ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok()
}

/// A 404 from a proxy or a wrong address says nothing about the operation.
fn says_no_operation(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["error"] == "no_operation")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What `query` makes of a provider that answers one call with this.
    async fn asked(answer: String) -> Found {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Simulator::new("simulator", &url, Duration::from_secs(10)).unwrap();
        let answering = async {
            let (mut caller, _) = listener.accept().await.unwrap();
            let _ = caller.read(&mut [0; 4096]).await.unwrap();
            // A caller that has read enough hangs up.
            let _ = caller.write_all(answer.as_bytes()).await;
        };
        tokio::join!(provider.ask(Uuid::nil()), answering).0
    }

    fn ok(padding: usize) -> String {
        let operation = r#"{"status":"succeeded","reference":"r","amount_minor":1,"currency":"EUR"}"#;
        let length = operation.len() + padding;
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{operation}{}", " ".repeat(padding))
    }

    #[tokio::test]
    async fn an_answer_without_end_is_no_answer() {
        assert!(matches!(asked(ok(0)).await, Found::Known(Answer::Done { .. })));
        assert_eq!(asked(ok(MAX_ANSWER_BYTES)).await, Found::Lost);
    }

    #[tokio::test]
    async fn a_redirect_is_no_answer_and_is_not_followed() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = elsewhere.local_addr().unwrap();
        let moved = format!("HTTP/1.1 307 Moved\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(asked(moved).await, Found::Lost);
        let visited = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
        assert!(visited.is_err());
    }
}
