//! The adapter of `psp-simulator`'s HTTP API, for as many of them as there are, each under its own name. Calls in flight are bounded; each has one deadline, waiting for its turn included.

use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::{Method as Verb, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Call, Found, Provider, Reading, simulator_webhook};
use crate::domain::{Answer, Method, PayerAction, Token};
use crate::metrics;

/// Calls in progress; more wait for their turn under their own deadline.
const MAX_IN_FLIGHT: usize = 256;
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// An operation is less than one; what is longer is not an operation.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Class of a command the provider says it does not understand: it was not done.
const MALFORMED: &str = "rejected_by_provider";

pub struct Simulator {
    name: String,
    http: reqwest::Client,
    base: String,
    timeout: Duration,
    turns: Semaphore,
}

/// The provider's operation, in the words of its API.
#[derive(Debug, Deserialize)]
struct Operation {
    status: Status,
    reference: String,
    amount_minor: i64,
    currency: String,
    decline: Option<String>,
    action: Option<Action>,
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
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .pool_max_idle_per_host(MAX_IN_FLIGHT)
            .no_proxy()
            // What one pays with goes to the address that was configured and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("making the provider's HTTP client")?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self { name: name.to_owned(), http, base, timeout, turns: Semaphore::new(MAX_IN_FLIGHT) })
    }

    async fn command(&self, path: &'static str, key: Uuid, body: Value) -> Answer {
        let request = self.http.request(Verb::POST, format!("{}/v1/{path}", self.base));
        let request = request.header("idempotency-key", key.to_string()).json(&body);
        match self.exchange(path, request).await {
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
        let request = self.http.request(Verb::GET, format!("{}/v1/operations/{key}", self.base));
        match self.exchange("operations", request).await {
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

    /// The whole exchange under one deadline; None when it broke or took too long.
    async fn exchange(
        &self,
        path: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Option<(StatusCode, Vec<u8>)> {
        let started = tokio::time::Instant::now();
        let exchange = async {
            let _turn = self.turns.acquire().await.ok()?;
            let response = request.send().await.inspect_err(|error| broken(path, error)).ok()?;
            let status = response.status();
            Some((status, whole(path, response).await?))
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            tracing::warn!(path, "the provider took too long");
            None
        });
        metrics::provider_call(
            &self.name,
            path,
            answer.as_ref().map(|(status, _)| status.as_u16()),
            started.elapsed(),
        );
        answer
    }
}

/// The answer's body; None when it broke off or is longer than any answer of this provider.
async fn whole(path: &'static str, mut response: reqwest::Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.inspect_err(|error| broken(path, error)).ok()? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            tracing::error!(path, "the provider's answer is too long");
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
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
        &self.name
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
    let Operation { status, reference, amount_minor, currency, decline, action } = operation;
    match status {
        Status::Succeeded => Answer::Done { reference, amount_minor, currency },
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
    let nanoseconds = i128::from(action.expires_at_ms) * 1_000_000;
    let expires_at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    Some(PayerAction { url: Token::new(action.url), expires_at })
}

/// A 404 from a proxy or a wrong address says nothing about the operation.
fn says_no_operation(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["error"] == "no_operation")
}

fn broken(path: &'static str, error: &reqwest::Error) {
    tracing::warn!(
        path,
        timeout = error.is_timeout(),
        connect = error.is_connect(),
        "the provider cannot be reached"
    );
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
