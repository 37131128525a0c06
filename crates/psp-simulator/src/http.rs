//! The provider's face, and its misbehaviour: what the script says happens here, around the books and never in them.

mod payer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use stampede_kit::clock::Clock;
use stampede_kit::task;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bank::{Bank, Command, Done, KeyReused, Kind, Operation, Said, Status};
use crate::config::Config;
use crate::desk::{Happening, What};
use crate::script::{self, Behaviour};
use crate::settlement::{self, Asked, Fees};
use crate::webhooks::Webhooks;

/// How long an unanswered call hangs before the connection is given back.
const HANG: Duration = Duration::from_secs(60);
/// Longest key and payment name taken.
const MAX_NAME: usize = 128;

pub struct Provider {
    name: String,
    /// Where payers come to: this server's own address.
    base: String,
    clock: Clock,
    bank: Mutex<Bank>,
    /// When each payment with an outage was first heard of.
    outages: Mutex<HashMap<String, Instant>>,
    latency: Duration,
    webhooks: Webhooks,
    fees: Fees,
    stop: CancellationToken,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    payment: String,
    #[serde(default)]
    amount_minor: i64,
    #[serde(default)]
    currency: String,
    #[serde(default)]
    source: String,
}

impl Provider {
    pub fn new(
        config: &Config,
        base: String,
        bank: Bank,
        webhooks: Webhooks,
        stop: CancellationToken,
    ) -> Self {
        Self {
            name: config.name.clone(),
            base,
            clock: Clock::system(),
            bank: Mutex::new(bank),
            outages: Mutex::default(),
            latency: config.latency,
            webhooks,
            fees: config.fees,
            stop,
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    pub(super) fn bank(&self) -> MutexGuard<'_, Bank> {
        self.bank.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hangs as a lost answer does; a shutdown ends it.
    async fn hang(&self) -> Response {
        tokio::select! {
            () = tokio::time::sleep(HANG) => {}
            () = self.stop.cancelled() => {}
        }
        refusal(StatusCode::GATEWAY_TIMEOUT, "timeout")
    }

    /// Whether the payment is out of reach now. The first call about it starts the outage.
    fn is_out(&self, payment: &str, source: &str) -> bool {
        let Some(length) = script::outage(source) else { return false };
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages.entry(payment.to_owned()).or_insert_with(Instant::now).elapsed() < length
    }

    /// Whether an outage that has begun is still going on for the payment whose authorisation has this key.
    fn is_out_by_operation(&self, key: &str) -> bool {
        let bank = self.bank();
        let Some(operation) = bank.operation(key) else { return false };
        let source = bank.source(&operation.command);
        let payment = operation.command.payment.clone();
        drop(bank);
        self.is_out(&payment, &source)
    }

    async fn command(&self, key: &str, command: Command) -> anyhow::Result<Response> {
        tokio::time::sleep(self.latency).await;
        let source = self.bank().source(&command);
        if self.is_out(&command.payment, &source) {
            return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "outage"));
        }
        self.lapse(&command.payment)?;
        let known = self.bank().known(key, &command).map(|known| known.cloned());
        match known {
            Err(KeyReused) => return Ok(refusal(StatusCode::UNPROCESSABLE_ENTITY, "key_reused")),
            Ok(Some(known)) => return Ok(self.answer(&known)),
            Ok(None) => {}
        }
        let behaviour = script::behaviour(&source, command.kind);
        match &behaviour {
            Behaviour::TimeoutBefore if self.bank().spend(key)? => return Ok(self.hang().await),
            Behaviour::ErrorBefore if self.bank().spend(key)? => {
                return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal"));
            }
            Behaviour::Slow(delay) => tokio::time::sleep(*delay).await,
            Behaviour::Good
            | Behaviour::Declined(_)
            | Behaviour::DeclinedOnce(_)
            | Behaviour::TimeoutBefore
            | Behaviour::TimeoutAfter
            | Behaviour::ErrorBefore
            | Behaviour::ErrorAfter
            | Behaviour::Outage(_)
            | Behaviour::Webhook(_)
            | Behaviour::Action(_)
            | Behaviour::ActionFails
            | Behaviour::Hold(_)
            | Behaviour::Mark => {}
        }
        self.perform(key, command, &source, behaviour).await
    }

    async fn perform(
        &self,
        key: &str,
        command: Command,
        source: &str,
        behaviour: Behaviour,
    ) -> anyhow::Result<Response> {
        let authorizes = command.kind == Kind::Authorization;
        let action = script::action(source).filter(|_| authorizes);
        let hold = script::hold(source).filter(|_| authorizes);
        let after = |length: Duration| {
            self.now_ms().saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
        };
        let said = match (action, &behaviour) {
            // What is said of the authorisation comes after what the payer does.
            (Some(action), _) => Said::Action(after(action.within)),
            (None, Behaviour::Declined(class)) => Said::Decline(class.clone()),
            (None, Behaviour::DeclinedOnce(class)) if self.is_first(&command)? => {
                Said::Decline(class.clone())
            }
            (None, _) => hold.map_or(Said::Good, |length| Said::HeldUntil(after(length))),
        };
        let performed = self.bank().perform(key, command, said)?;
        let Ok(Done { operation, fresh }) = performed else {
            return Ok(refusal(StatusCode::UNPROCESSABLE_ENTITY, "key_reused"));
        };
        if fresh {
            self.tell(&operation).await;
        }
        match behaviour {
            Behaviour::TimeoutAfter if fresh => Ok(self.hang().await),
            Behaviour::ErrorAfter if fresh => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal")),
            Behaviour::Good
            | Behaviour::Declined(_)
            | Behaviour::DeclinedOnce(_)
            | Behaviour::TimeoutBefore
            | Behaviour::TimeoutAfter
            | Behaviour::Slow(_)
            | Behaviour::ErrorBefore
            | Behaviour::ErrorAfter
            | Behaviour::Outage(_)
            | Behaviour::Webhook(_)
            | Behaviour::Action(_)
            | Behaviour::ActionFails
            | Behaviour::Hold(_)
            | Behaviour::Mark => Ok(self.answer(&operation)),
        }
    }

    /// Whether the payment was never asked for this before; asking uses it up.
    fn is_first(&self, command: &Command) -> anyhow::Result<bool> {
        self.bank().spend(&format!("first {:?} of {}", command.kind, command.payment))
    }

    /// What the payment holds lapses when its time has passed, and the merchant is told.
    fn lapse(&self, payment: &str) -> anyhow::Result<()> {
        let lapsed = self.bank().lapse(payment, self.now_ms())?;
        if let Some((happening, currency)) = lapsed {
            self.webhooks.tell_of(&happening, &currency);
        }
        Ok(())
    }

    /// As the script says.
    pub(super) async fn tell(&self, operation: &Operation) {
        let source = self.bank().source(&operation.command);
        let deliveries = script::deliveries(&source, operation.command.kind);
        self.webhooks.tell(operation, &deliveries).await;
    }

    fn answer(&self, operation: &Operation) -> Response {
        let status = match operation.status {
            Status::Succeeded => StatusCode::OK,
            Status::Declined => StatusCode::PAYMENT_REQUIRED,
            Status::RequiresAction => StatusCode::ACCEPTED,
        };
        (status, Json(self.body_of(operation))).into_response()
    }

    /// Never the source: a provider does not echo what one pays with.
    pub(super) fn body_of(&self, operation: &Operation) -> serde_json::Value {
        let action = operation.action_until_ms.map(|until| {
            json!({ "url": format!("{}/v1/actions/{}", self.base, operation.key), "expires_at_ms": until })
        });
        json!({
            "key": operation.key,
            "payment": operation.command.payment,
            "kind": operation.command.kind,
            "status": operation.status,
            "decline": operation.decline,
            "amount_minor": operation.amount_minor,
            "currency": operation.currency,
            "reference": operation.reference,
            "action": action,
            "expires_at_ms": operation.expires_at_ms,
        })
    }
}

pub fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/v1/authorizations", post(|p, h, b| command(Kind::Authorization, p, h, b)))
        .route("/v1/captures", post(|p, h, b| command(Kind::Capture, p, h, b)))
        .route("/v1/voids", post(|p, h, b| command(Kind::Void, p, h, b)))
        .route("/v1/refunds", post(|p, h, b| command(Kind::Refund, p, h, b)))
        .route("/v1/desk", post(desk))
        .route("/v1/actions/{key}", get(payer::look).post(payer::act))
        .route("/v1/operations/{key}", get(operation))
        .route("/v1/truth/{payment}", get(truth))
        .route("/v1/truth", get(async |State(provider): State<Arc<Provider>>| Json(provider.bank().totals())))
        .route("/v1/settlement", get(settle))
        .route("/healthz", get(async || "ok"))
        .with_state(provider)
}

async fn command(
    kind: Kind,
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Json(body): Json<Body>,
) -> Response {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let named = |name: &str| (1..=MAX_NAME).contains(&name.len());
    let amount_fits = if kind == Kind::Void { body.amount_minor == 0 } else { body.amount_minor > 0 };
    if !named(&key) || !named(&body.payment) || !amount_fits {
        return refusal(StatusCode::BAD_REQUEST, "malformed");
    }
    let Body { payment, amount_minor, currency, source } = body;
    let source = script::here(&source, &provider.name);
    let command = Command { kind, payment, amount_minor, currency, source };
    // A task of its own: what a caller has sent takes effect although the caller hangs up.
    let done = task::spawn("command", async move { provider.command(&key, command).await }).await;
    match done.map_err(anyhow::Error::from).flatten() {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

async fn desk(State(provider): State<Arc<Provider>>, Json(happening): Json<Happening>) -> Response {
    if !(1..=MAX_NAME).contains(&happening.reference.len()) {
        return refusal(StatusCode::BAD_REQUEST, "malformed");
    }
    if happening.what == What::HeldAfterAll {
        return payer::conclude(&provider, &happening.reference, Ok(())).await;
    }
    let happened = provider.bank().happen(happening.clone());
    match happened {
        Ok(Some(currency)) => {
            provider.webhooks.tell_of(&happening, &currency);
            Json(happening).into_response()
        }
        Ok(None) => refusal(StatusCode::CONFLICT, "impossible"),
        Err(error) => failed(&error),
    }
}

async fn operation(State(provider): State<Arc<Provider>>, Path(key): Path<String>) -> Response {
    if provider.is_out_by_operation(&key) {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "outage");
    }
    let found = provider.bank().operation(&key).cloned();
    let Some(operation) = found else { return refusal(StatusCode::NOT_FOUND, "no_operation") };
    match provider.lapse(&operation.command.payment) {
        Ok(()) => Json(provider.body_of(&operation)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn truth(State(provider): State<Arc<Provider>>, Path(payment): Path<String>) -> Response {
    if let Err(error) = provider.lapse(&payment) {
        return failed(&error);
    }
    let truth = provider.bank().truth(&payment).cloned();
    truth.map_or_else(|| refusal(StatusCode::NOT_FOUND, "no_payment"), |truth| Json(truth).into_response())
}

/// Something is wrong with the provider itself.
fn failed(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "the provider failed");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal")
}

async fn settle(State(provider): State<Arc<Provider>>, Query(asked): Query<Asked>) -> Response {
    if !(1..=MAX_NAME).contains(&asked.batch.len()) {
        return refusal(StatusCode::BAD_REQUEST, "malformed");
    }
    let written = settlement::file(provider.bank().movements(), provider.fees, &asked);
    match written {
        Ok(file) => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], file).into_response(),
        Err(error) => failed(&error),
    }
}

fn refusal(status: StatusCode, error: &'static str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
