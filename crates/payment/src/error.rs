//! Why a command is refused, and the one place where that becomes a status. Callers get a reason word and facts, never our
//! internal text: that is logged here, once.

use std::time::Duration;

use stampede_kit::{Refusal, postgres};
use stampede_proto::common::v1::ErrorReason;
use stampede_types::{Currency, PaymentId};
use tonic::Status;

use crate::domain::reconcile::Refusal as Settling;
use crate::domain::stuck::Impossible;
use crate::domain::{IllegalStep, MethodKind, NotDone, Refused, Unsigned};

/// When a caller may ask for an outcome again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// When a caller may try again after our own trouble.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no payment {0}")]
    NotFound(PaymentId),
    #[error("{0} was used for something else")]
    Conflict(PaymentId),
    #[error(transparent)]
    Illegal(IllegalStep),
    #[error("the amount is larger than what is left")]
    Exceeded { left_minor: Option<i64> },
    #[error("no provider takes {} in {currency}", method.as_str())]
    Unroutable { method: MethodKind, currency: Currency },
    #[error("there is no provider of this name")]
    NoProvider,
    #[error("a webhook is about a hold that is not known yet")]
    UnknownHold,
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
    #[error("the provider declined: {0}")]
    Declined(String),
    #[error("the outcome is not known yet")]
    Unknown,
    #[error("{field}: {rule}")]
    Invalid { field: &'static str, rule: &'static str },
    /// Nothing was done, or nobody knows what was: the same again is safe.
    #[error("not now")]
    Unavailable,
    #[error("the payment does not wait for a decision")]
    NotStuck,
    #[error(transparent)]
    Impossible(#[from] Impossible),
    #[error("the resolution id was used for another decision")]
    ResolutionReused,
    #[error("the page token is not of this list")]
    PageToken,
    #[error(transparent)]
    Settling(#[from] Settling),
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Illegal(step) => Self::Illegal(step),
            Refused::Exceeds { left_minor } => Self::Exceeded { left_minor: Some(left_minor) },
        }
    }
}

impl From<NotDone> for Error {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Illegal(step) => Self::Illegal(step),
            NotDone::Declined(class) => Self::Declined(class),
        }
    }
}

impl From<sqlx::Error> for Error {
    /// The ceilings have names, and the names are rules.
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|database| database.constraint()) {
            Some("payment_captured_within_authorized" | "payment_refunded_within_captured") => {
                Self::Exceeded { left_minor: None }
            }
            Some(_) | None => Self::Database(error),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let refusal = match error {
            Error::NotFound(id) => {
                refuse(ErrorReason::PaymentNotFound).metadata("payment_id", id.to_string())
            }
            Error::Conflict(id) => {
                refuse(ErrorReason::PaymentConflict).metadata("payment_id", id.to_string())
            }
            Error::Illegal(IllegalStep { state, operation }) => refuse(ErrorReason::PaymentState)
                .metadata("state", state.as_str())
                .metadata("event", operation.as_str()),
            Error::Exceeded { left_minor: Some(left) } => {
                refuse(ErrorReason::AmountExceeded).metadata("left_minor", left.to_string())
            }
            Error::Exceeded { left_minor: None } => refuse(ErrorReason::AmountExceeded),
            Error::Declined(class) => refuse(ErrorReason::PaymentDeclined).metadata("decline", class),
            Error::Unroutable { method, currency } => refuse(ErrorReason::PaymentUnroutable)
                .metadata("method", method.as_str())
                .metadata("currency", currency.as_str()),
            Error::NoProvider => refuse(ErrorReason::WebhookProvider),
            Error::UnknownHold | Error::Unavailable => {
                refuse(ErrorReason::Unavailable).retry_after(TRY_AGAIN_AFTER)
            }
            Error::Unsigned(Unsigned::Bad) => refuse(ErrorReason::WebhookSignature),
            Error::Unsigned(Unsigned::Stale) => refuse(ErrorReason::WebhookStale),
            Error::Unknown => refuse(ErrorReason::PaymentUnknown).retry_after(ASK_AGAIN_AFTER),
            Error::Invalid { field, rule } => refuse(ErrorReason::InvalidArgument).field(field, rule),
            Error::NotStuck => refuse(ErrorReason::PaymentNotStuck),
            Error::Impossible(Impossible { decision, fact }) => {
                refuse(ErrorReason::PaymentResolutionImpossible)
                    .metadata("decision", decision.as_str())
                    .metadata("fact", fact)
            }
            Error::ResolutionReused => refuse(ErrorReason::PaymentResolutionConflict),
            Error::PageToken => {
                refuse(ErrorReason::PageTokenInvalid).field("page_token", "is not of this list")
            }
            Error::Settling(refusal) => settling(refusal),
            Error::Database(error) if postgres::is_outage(&error) || postgres::is_contended(&error) => {
                tracing::warn!(%error, "the database does not answer, or somebody holds the row");
                refuse(ErrorReason::Unavailable).retry_after(TRY_AGAIN_AFTER)
            }
            Error::Database(error) => {
                tracing::error!(%error, "a statement failed");
                refuse(ErrorReason::Internal)
            }
        };
        refusal.into()
    }
}

fn settling(refusal: Settling) -> Refusal {
    match refusal {
        Settling::FileConflict => refuse(ErrorReason::SettlementFileConflict),
        Settling::ChunkUnexpected { expected } => {
            refuse(ErrorReason::SettlementChunkUnexpected).metadata("expected", expected.to_string())
        }
        Settling::BadLine(bad) => refuse(ErrorReason::SettlementFileInvalid)
            .metadata("line", bad.line.to_string())
            .metadata("column", bad.column)
            .metadata("rule", bad.rule),
        Settling::Digest => {
            refuse(ErrorReason::SettlementFileInvalid).metadata("rule", "must be the bytes of its digest")
        }
        Settling::NotOpen => refuse(ErrorReason::SettlementDifferenceNotOpen),
        Settling::Impossible { decision, fact } => refuse(ErrorReason::SettlementResolutionImpossible)
            .metadata("decision", decision.as_str())
            .metadata("fact", fact),
    }
}

fn refuse(reason: ErrorReason) -> Refusal {
    let declared = reason.declared();
    Refusal::new(declared.code, declared.word, declared.en)
}

#[cfg(test)]
mod tests {
    use stampede_kit::refusal::reason_of;
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::domain::{Operation, State};

    #[test]
    fn an_illegal_step_says_its_state_and_event() {
        let step = IllegalStep { state: State::Voided, operation: Operation::Capture };
        let status = Status::from(Error::Illegal(step));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (tonic::Code::FailedPrecondition, "PAYMENT_STATE"));
        assert_eq!((info.metadata["state"].as_str(), info.metadata["event"].as_str()), ("VOIDED", "CAPTURE"));
    }

    #[test]
    fn an_unknown_outcome_says_when_to_ask_again_and_a_decline_its_class() {
        let unknown = Status::from(Error::Unknown);
        assert_eq!(reason_of(&unknown).as_deref(), Some("PAYMENT_UNKNOWN"));
        assert_eq!(unknown.get_details_retry_info().unwrap().retry_delay, Some(ASK_AGAIN_AFTER));
        let declined = Status::from(Error::Declined("lost_card".into()));
        assert_eq!(declined.get_details_error_info().unwrap().metadata["decline"], "lost_card");
    }

    #[test]
    fn a_failed_statement_tells_the_caller_nothing_of_itself() {
        let status = Status::from(Error::Database(sqlx::Error::ColumnNotFound("method_token".into())));
        assert_eq!(reason_of(&status).as_deref(), Some("INTERNAL"));
        assert!(!format!("{status:?}").contains("method_token"));
    }
}
