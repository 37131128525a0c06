//! The adapter of `psp-simulator`'s HTTP API. Calls in flight are bounded; each has one deadline, waiting for its turn included.

use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::{Method as Verb, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Call, Found, Provider};
use crate::domain::{Answer, Method};
use crate::metrics;

/// Calls in progress; more wait for their turn under their own deadline.
const MAX_IN_FLIGHT: usize = 256;
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Class of a command the provider says it does not understand: it was not done.
const MALFORMED: &str = "rejected_by_provider";

pub struct Simulator {
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
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Succeeded,
    Declined,
}

impl Simulator {
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .pool_max_idle_per_host(MAX_IN_FLIGHT)
            .no_proxy()
            .build()
            .context("making the provider's HTTP client")?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self { http, base, timeout, turns: Semaphore::new(MAX_IN_FLIGHT) })
    }

    async fn command(&self, path: &'static str, key: Uuid, body: Value) -> Answer {
        let request = self.http.request(Verb::POST, format!("{}/v1/{path}", self.base));
        let request = request.header("idempotency-key", key.to_string()).json(&body);
        match self.exchange(path, request).await {
            Some((StatusCode::OK | StatusCode::PAYMENT_REQUIRED, body)) => read(path, &body),
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
                known @ (Answer::Done { .. } | Answer::Refused { .. }) => Found::Known(known),
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
            let body = response.bytes().await.inspect_err(|error| broken(path, error)).ok()?;
            Some((status, body.to_vec()))
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            tracing::warn!(path, "the provider took too long");
            None
        });
        metrics::provider_call(path, answer.as_ref().map(|(status, _)| status.as_u16()), started.elapsed());
        answer
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
    fn name(&self) -> &'static str {
        "simulator"
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

    fn query(&self, key: Uuid) -> BoxFuture<'_, Found> {
        self.ask(key).boxed()
    }
}

fn read(path: &'static str, body: &[u8]) -> Answer {
    let Ok(operation) = serde_json::from_slice::<Operation>(body) else {
        tracing::error!(path, "the provider's answer has no meaning");
        return Answer::Lost;
    };
    let Operation { status, reference, amount_minor, currency, decline } = operation;
    match status {
        Status::Succeeded => Answer::Done { reference, amount_minor, currency },
        Status::Declined => {
            let decline = decline.unwrap_or_else(|| "unspecified".to_owned());
            Answer::Refused { reference: Some(reference), decline }
        }
    }
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
