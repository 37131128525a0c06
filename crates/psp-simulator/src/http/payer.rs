//! Where a payer does what the provider asks of him, as he does with his bank (3-D Secure): `POST /v1/actions/{key}`. It never holds
//! anything itself: that is the bank's.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Provider, refusal};
use crate::bank::Status;
use crate::script::{self, Behaviour};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    outcome: Outcome,
}

/// How it went.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Completed,
    Failed,
}

/// What is asked of the payer, as it stands.
pub async fn look(State(provider): State<Arc<Provider>>, Path(key): Path<String>) -> Response {
    let found = provider.bank().operation(&key).map(|operation| provider.body_of(operation));
    found.map_or_else(|| refusal(StatusCode::NOT_FOUND, "no_operation"), |body| Json(body).into_response())
}

/// He does it, or it fails; too late is a failure.
pub async fn act(
    State(provider): State<Arc<Provider>>,
    Path(key): Path<String>,
    Json(act): Json<Act>,
) -> Response {
    let Some(operation) = provider.bank().operation(&key).cloned() else {
        return refusal(StatusCode::NOT_FOUND, "no_operation");
    };
    if operation.status != Status::RequiresAction {
        return refusal(StatusCode::CONFLICT, "nothing_to_do");
    }
    let source = provider.bank().source(&operation.command);
    let fails = script::action(&source).is_some_and(|action| action.fails);
    let late = operation.action_until_ms.is_some_and(|until| provider.now_ms() > until);
    let outcome = match (act.outcome, script::behaviour(&source, operation.command.kind)) {
        _ if late => Err("action_expired".to_owned()),
        (Outcome::Failed, _) => Err("authentication_failed".to_owned()),
        (Outcome::Completed, _) if fails => Err("authentication_failed".to_owned()),
        (Outcome::Completed, Behaviour::Declined(class) | Behaviour::DeclinedOnce(class)) => Err(class),
        (Outcome::Completed, _) => Ok(()),
    };
    conclude(&provider, &key, outcome).await
}

/// Ends an operation and tells of it.
pub async fn conclude(provider: &Provider, key: &str, outcome: Result<(), String>) -> Response {
    let concluded = provider.bank().conclude(key, outcome);
    match concluded {
        Ok(Some(operation)) => {
            provider.tell(&operation).await;
            Json(provider.body_of(&operation)).into_response()
        }
        Ok(None) => refusal(StatusCode::NOT_FOUND, "no_operation"),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the journal failed");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal")
        }
    }
}
