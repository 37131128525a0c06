//! Why inventory says no, and the one place where that becomes a refusal on the wire.

use std::time::Duration;

use stampede_kit::{Refusal, batch, postgres};
use stampede_proto::common::v1::ErrorReason;
use stampede_types::{CampaignId, SkuId};
use time::format_description::well_known::Rfc3339;
use tonic::Status;

use crate::domain::{CellKey, Denied};
use crate::store;

/// When somebody who was shed should come back.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A field that breaks a rule: its path and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub field: String,
    pub why: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, why: impl ToString) -> Self {
        Self { field: field.into(), why: why.to_string() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    Denied(Denied),
    Invalid(Violation),
    /// `field` is the path it came by.
    SkuNotFound {
        sku: SkuId,
        field: String,
    },
    SkuExists {
        sku: SkuId,
    },
    ImportNotFound,
    CampaignNotFound {
        campaign: CampaignId,
        field: String,
    },
    CampaignExists {
        campaign: CampaignId,
    },
    StockBelowHeld {
        cell: CellKey,
        free: i64,
    },
    /// Less than what is promised beyond the stock on hand.
    BackorderPromised {
        cell: CellKey,
        promised: i64,
    },
    AdjustmentConflict,
    ResumeTokenInvalid,
    PageTokenInvalid,
    /// Shed before anything was done.
    Overloaded,
    /// The ledger does not answer. A command may have taken effect and is safe to repeat.
    Unavailable,
    /// A defect of ours, logged where it was met.
    Internal,
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if postgres::is_outage(&error) || store::is_race(&error) || store::is_blocked(&error) {
            tracing::warn!(%error, "the ledger does not answer");
            Self::Unavailable
        } else {
            tracing::error!(?error, "the ledger failed");
            Self::Internal
        }
    }
}

impl From<batch::Refused> for Error {
    fn from(refused: batch::Refused) -> Self {
        match refused {
            batch::Refused::Full => Self::Overloaded,
            batch::Refused::Stopped | batch::Refused::Lost => Self::Unavailable,
        }
    }
}

impl Error {
    /// The word callers see.
    #[must_use]
    pub const fn reason(&self) -> ErrorReason {
        match self {
            Self::Denied(Denied::OutOfStock { .. }) => ErrorReason::OutOfStock,
            Self::Denied(Denied::BuyerLimit { .. }) => ErrorReason::BuyerLimit,
            Self::Denied(Denied::NotOpen { .. }) => ErrorReason::CampaignNotOpen,
            Self::Denied(Denied::Closed { .. }) => ErrorReason::CampaignClosed,
            Self::Denied(Denied::PoolNotFound { .. }) => ErrorReason::PoolNotFound,
            Self::Denied(Denied::Conflict { .. }) => ErrorReason::ReservationConflict,
            Self::Denied(Denied::Resolved { .. }) => ErrorReason::ReservationResolved,
            Self::Denied(Denied::NotFound { .. }) => ErrorReason::ReservationNotFound,
            Self::Denied(Denied::TooLate { .. }) => ErrorReason::ExpiryTooLate,
            Self::Denied(Denied::NotThatMuch { .. }) | Self::Invalid(_) => ErrorReason::InvalidArgument,
            Self::SkuNotFound { .. } => ErrorReason::SkuNotFound,
            Self::SkuExists { .. } => ErrorReason::SkuExists,
            Self::ImportNotFound => ErrorReason::ImportNotFound,
            Self::CampaignNotFound { .. } => ErrorReason::CampaignNotFound,
            Self::CampaignExists { .. } => ErrorReason::CampaignExists,
            Self::StockBelowHeld { .. } => ErrorReason::StockBelowHeld,
            Self::BackorderPromised { .. } => ErrorReason::BackorderPromised,
            Self::AdjustmentConflict => ErrorReason::AdjustmentConflict,
            Self::ResumeTokenInvalid => ErrorReason::ResumeTokenInvalid,
            Self::PageTokenInvalid => ErrorReason::PageTokenInvalid,
            Self::Overloaded => ErrorReason::Overloaded,
            Self::Unavailable => ErrorReason::Unavailable,
            Self::Internal => ErrorReason::Internal,
        }
    }

    /// The field that breaks its rule or names what does not exist; empty when no field is to blame.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Invalid(Violation { field, .. })
            | Self::SkuNotFound { field, .. }
            | Self::CampaignNotFound { field, .. } => field,
            Self::Denied(_)
            | Self::SkuExists { .. }
            | Self::CampaignExists { .. }
            | Self::ImportNotFound
            | Self::StockBelowHeld { .. }
            | Self::BackorderPromised { .. }
            | Self::AdjustmentConflict
            | Self::ResumeTokenInvalid
            | Self::PageTokenInvalid
            | Self::Overloaded
            | Self::Unavailable
            | Self::Internal => "",
        }
    }

    /// The same, where `path` is where the caller's message begins.
    #[must_use]
    pub fn below(mut self, path: &str) -> Self {
        if let Self::SkuNotFound { field, .. } | Self::CampaignNotFound { field, .. } = &mut self
            && let Some(rest) = field.strip_prefix(path)
        {
            *field = rest.to_owned();
        }
        self
    }

    /// When to come back, for what passes.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Overloaded | Self::Unavailable).then_some(RETRY_AFTER)
    }

    /// The facts a program may need.
    fn with_facts(self, refusal: Refusal) -> Refusal {
        let of = |refusal: Refusal, cell: &CellKey| {
            refusal.metadata("sku_id", cell.sku.as_str()).metadata("campaign_id", cell.pool.campaign_id())
        };
        match self {
            Self::Denied(Denied::OutOfStock { cell, free }) => {
                of(refusal, &cell).metadata("free", free.to_string())
            }
            Self::Denied(Denied::BuyerLimit { cell, limit }) => {
                let refusal = of(refusal, &cell);
                match limit {
                    Some(limit) => refusal.metadata("limit", limit.to_string()),
                    None => refusal,
                }
            }
            Self::Denied(
                Denied::NotOpen { cell } | Denied::Closed { cell } | Denied::PoolNotFound { cell },
            ) => of(refusal, &cell),
            Self::Denied(Denied::Resolved { id, state }) => {
                refusal.metadata("reservation_id", id.to_string()).metadata("state", state.as_str())
            }
            Self::Denied(Denied::Conflict { id } | Denied::NotFound { id }) => {
                refusal.metadata("reservation_id", id.to_string())
            }
            Self::Denied(Denied::NotThatMuch { cell, most }) => {
                of(refusal, &cell).field("lines.quantity", format!("at most {most}"))
            }
            Self::Denied(Denied::TooLate { latest }) => {
                refusal.metadata("latest", latest.format(&Rfc3339).unwrap_or_default())
            }
            Self::Invalid(Violation { field, why }) => refusal.field(field, why),
            Self::SkuNotFound { sku, field } => {
                refusal.metadata("sku_id", sku.as_str()).metadata("field", field)
            }
            Self::SkuExists { sku } => refusal.metadata("sku_id", sku.as_str()),
            Self::CampaignNotFound { campaign, field } => {
                refusal.metadata("campaign_id", campaign.as_str()).metadata("field", field)
            }
            Self::CampaignExists { campaign } => refusal.metadata("campaign_id", campaign.as_str()),
            Self::StockBelowHeld { cell, free } => of(refusal, &cell).metadata("free", free.to_string()),
            Self::BackorderPromised { cell, promised } => {
                of(refusal, &cell).metadata("promised", promised.to_string())
            }
            Self::Overloaded | Self::Unavailable => refusal.retry_after(RETRY_AFTER),
            Self::ImportNotFound
            | Self::AdjustmentConflict
            | Self::ResumeTokenInvalid
            | Self::PageTokenInvalid
            | Self::Internal => refusal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let declared = error.reason().declared();
        error.with_facts(Refusal::new(declared.code, declared.word, declared.en)).into()
    }
}
