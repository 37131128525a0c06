//! Why the order service refuses, and the one match from there to the contract's reasons. Internal text never leaves: it is
//! logged here, where the error is made.

use std::time::Duration;

use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use stampede_types::Money;
use tonic::{Code, Status};

use crate::domain::fulfilment::{MAX_PARTS, Unfit};
use crate::domain::order::Order;
use crate::domain::pricing::Unpriced;
use crate::domain::promotion::Coupon;
use crate::domain::quote::{self, Moved};
use crate::domain::returns::{ReturnEvent, ReturnState};
use crate::domain::review::Impossible;
use crate::domain::state::{Event, IllegalStep};
use crate::pay::MAX_ATTEMPTS;

/// When a caller that was shed may come back.
const COME_BACK: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the request needs an idempotency key")]
    KeyMissing,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the token's subject is not a buyer's name")]
    NotABuyer,
    #[error("another buyer's orders are for staff")]
    NotAllowed,
    #[error("{field}: {rule}")]
    Invalid { field: String, rule: &'static str },
    #[error("there is no SKU {sku}")]
    SkuNotFound { line: usize, sku: String },
    #[error("there is no campaign {campaign}")]
    CampaignNotFound { line: usize, campaign: String },
    #[error("{sku} is not in campaign {campaign}")]
    PoolNotFound { line: usize, sku: String, campaign: String },
    #[error(transparent)]
    Unpriced(#[from] Unpriced),
    #[error("the total is not the one expected")]
    PriceChanged { total: Money },
    #[error("the price has changed since it was quoted")]
    PriceMoved(Box<Moved>),
    #[error(transparent)]
    Quote(#[from] quote::Refused),
    /// Somebody else took its last use while the order was written; this is the total without it, where it is known.
    #[error("promotion {promotion} has just been used up")]
    PromotionUsedUp { promotion: String, total: Option<Money> },
    #[error("coupon {} does not apply", .coupon.as_str())]
    CouponInvalid { at: usize, coupon: Coupon, why: &'static str },
    #[error("the cart has changed meanwhile")]
    CartVersion { version: i64 },
    #[error("the cart has {limit} items already")]
    CartFull { limit: usize },
    #[error("there is no such guest cart")]
    CartNotFound,
    #[error("a guest has to sign in first")]
    GuestsMayNot,
    #[error("there is no such promotion")]
    PromotionNotFound,
    #[error("there is a promotion with this id and other terms")]
    PromotionExists,
    #[error("the time to pay has passed")]
    Expired,
    /// Its hold was resolved: an order is there, or the last of the holds that its key may make has ended.
    #[error("what was held under this key has ended; use a new key")]
    FirstTryDied,
    #[error("there is no such order")]
    NotFound,
    #[error("the order does not wait for a decision")]
    NotInReview,
    #[error(transparent)]
    Impossible(#[from] Impossible),
    #[error("the resolution id was used for another decision")]
    ResolutionReused,
    #[error("the page token is not of this list")]
    PageToken,
    #[error("the resume token is not of this order, or from its future")]
    ResumeToken,
    #[error("the payment was declined: {class}")]
    Declined { class: String },
    #[error("{max} payments were begun for this order", max = MAX_ATTEMPTS)]
    TooManyAttempts,
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
    #[error("another step of the order is under way")]
    Busy,
    #[error("the shipment id was used for another shipment")]
    ShipmentConflict,
    #[error("the order has no such shipment")]
    ShipmentNotFound,
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("the order has {max} shipments or returns already", max = MAX_PARTS)]
    TooManyParts,
    #[error("there is no such return")]
    ReturnNotFound,
    #[error("the return id was used for another return")]
    ReturnConflict,
    #[error("of a return, {0}")]
    IllegalReturn(#[from] IllegalStep<ReturnState, ReturnEvent>),
    #[error("too many orders are waiting to be written")]
    Overloaded,
    #[error("a part this call needs does not answer")]
    Unavailable,
    #[error("not available yet")]
    Planned,
    #[error("something went wrong on our side")]
    Internal,
    /// The kit's own word: no token, and the like.
    #[error(transparent)]
    Kit(#[from] kit::Refusal),
    /// A peer's refusal that is meant for our caller.
    #[error("{}", .0.message())]
    Peer(Box<Status>),
}

impl Error {
    fn reason(&self) -> ErrorReason {
        match self {
            Error::KeyMissing => ErrorReason::IdempotencyKeyMissing,
            Error::KeyReused => ErrorReason::IdempotencyKeyReused,
            Error::NotABuyer => ErrorReason::TokenInvalid,
            Error::NotAllowed | Error::GuestsMayNot => ErrorReason::PermissionDenied,
            Error::Invalid { .. } | Error::Unpriced(Unpriced::TooLarge { .. } | Unpriced::Nothing) => {
                ErrorReason::InvalidArgument
            }
            Error::SkuNotFound { .. } => ErrorReason::SkuNotFound,
            Error::CampaignNotFound { .. } => ErrorReason::CampaignNotFound,
            Error::PoolNotFound { .. } => ErrorReason::PoolNotFound,
            Error::Unpriced(Unpriced::CurrencyMixed { .. }) => ErrorReason::CurrencyMixed,
            Error::PriceChanged { .. } | Error::PriceMoved(_) => ErrorReason::PriceChanged,
            Error::Quote(quote::Refused::Altered) => ErrorReason::QuoteInvalid,
            Error::Quote(quote::Refused::OtherBuyer) => ErrorReason::QuoteOtherBuyer,
            Error::Quote(quote::Refused::OtherBasket) => ErrorReason::QuoteOtherLines,
            Error::Quote(quote::Refused::Expired) => ErrorReason::QuoteExpired,
            Error::PromotionUsedUp { .. } => ErrorReason::PromotionUsedUp,
            Error::CouponInvalid { .. } => ErrorReason::CouponInvalid,
            Error::CartVersion { .. } => ErrorReason::CartVersion,
            Error::CartFull { .. } => ErrorReason::CartFull,
            Error::CartNotFound => ErrorReason::CartNotFound,
            Error::PromotionNotFound => ErrorReason::PromotionNotFound,
            Error::PromotionExists => ErrorReason::PromotionExists,
            Error::Expired | Error::FirstTryDied => ErrorReason::OrderExpired,
            Error::NotFound => ErrorReason::OrderNotFound,
            Error::NotInReview => ErrorReason::ReviewNotFound,
            Error::Impossible(_) => ErrorReason::ReviewImpossible,
            Error::ResolutionReused => ErrorReason::ReviewConflict,
            Error::PageToken => ErrorReason::PageTokenInvalid,
            Error::ResumeToken => ErrorReason::ResumeTokenInvalid,
            Error::Declined { .. } => ErrorReason::PaymentDeclined,
            Error::TooManyAttempts => ErrorReason::PaymentAttemptsExceeded,
            Error::Illegal(_) => ErrorReason::OrderState,
            Error::Busy => ErrorReason::OrderBusy,
            Error::ShipmentConflict => ErrorReason::ShipmentConflict,
            Error::ShipmentNotFound => ErrorReason::ShipmentNotFound,
            Error::Unfit(Unfit::NoSuchLine { .. }) => ErrorReason::OrderLineNotFound,
            Error::Unfit(Unfit::TooMany { .. }) => ErrorReason::QuantityExceeded,
            Error::TooManyParts => ErrorReason::TooManyParts,
            Error::ReturnNotFound => ErrorReason::ReturnNotFound,
            Error::ReturnConflict => ErrorReason::ReturnConflict,
            Error::IllegalReturn(_) => ErrorReason::ReturnState,
            Error::Overloaded => ErrorReason::Overloaded,
            Error::Unavailable => ErrorReason::Unavailable,
            Error::Planned => ErrorReason::NotImplemented,
            Error::Internal | Error::Kit(_) | Error::Peer(_) => ErrorReason::Internal,
        }
    }

    fn details(&self, refusal: kit::Refusal) -> kit::Refusal {
        match self {
            Error::Invalid { field, rule } => refusal.field(field, *rule),
            Error::SkuNotFound { line, sku } => {
                refusal.metadata("sku_id", sku).field(format!("lines[{line}].sku_id"), "does not exist")
            }
            Error::CampaignNotFound { line, campaign } => refusal
                .metadata("campaign_id", campaign)
                .field(format!("lines[{line}].campaign_id"), "does not exist"),
            Error::PoolNotFound { line, sku, campaign } => refusal
                .metadata("sku_id", sku)
                .metadata("campaign_id", campaign)
                .field(format!("lines[{line}].campaign_id"), "does not sell this SKU"),
            Error::Unpriced(Unpriced::CurrencyMixed { line, .. }) => refusal
                .field(format!("lines[{line}].sku_id"), "has another currency than the lines before it"),
            Error::Unpriced(Unpriced::TooLarge { line }) => {
                refusal.field(format!("lines[{line}].quantity"), "makes a total that does not fit")
            }
            Error::PriceChanged { total } => costs(*total, refusal),
            Error::PriceMoved(moved) => price_moved(moved, refusal),
            Error::Quote(refused) => refusal.field("quote", refused.to_string()),
            Error::PromotionUsedUp { promotion, total } => used_up(promotion, *total, refusal),
            Error::CouponInvalid { at, coupon, why } => coupon_invalid(*at, coupon, why, refusal),
            Error::CartVersion { version } => refusal.metadata("version", version.to_string()),
            Error::CartFull { limit } => refusal.metadata("limit", limit.to_string()),
            Error::PageToken => refusal.field("page_token", "is not of this list"),
            Error::Impossible(Impossible { resolution, step, fact }) => refusal
                .metadata("resolution", resolution.as_str())
                .metadata("step", *step)
                .metadata("fact", *fact),
            Error::ResumeToken => refusal.field("resume_token", "is not of this order"),
            Error::Declined { class } => refusal.metadata("decline", class),
            Error::TooManyAttempts => refusal.metadata("limit", MAX_ATTEMPTS.to_string()),
            Error::Illegal(IllegalStep { state, event }) => {
                refusal.metadata("state", state.as_str()).metadata("event", event.as_str())
            }
            Error::IllegalReturn(IllegalStep { state, event }) => {
                refusal.metadata("state", state.as_str()).metadata("event", event.as_str())
            }
            Error::Unfit(Unfit::NoSuchLine { at, sku }) => {
                refusal.metadata("sku_id", sku).field(format!("lines[{at}].sku_id"), "is not in the order")
            }
            Error::Unfit(Unfit::TooMany { at, sku, left }) => refusal
                .metadata("sku_id", sku)
                .metadata("left", left.to_string())
                .field(format!("lines[{at}].quantity"), "is more than is left"),
            Error::Busy | Error::Overloaded | Error::Unavailable => refusal.retry_after(COME_BACK),
            Error::KeyMissing
            | Error::KeyReused
            | Error::NotABuyer
            | Error::NotAllowed
            | Error::Unpriced(Unpriced::Nothing)
            | Error::CartNotFound
            | Error::GuestsMayNot
            | Error::PromotionNotFound
            | Error::PromotionExists
            | Error::Expired
            | Error::FirstTryDied
            | Error::NotFound
            | Error::ShipmentConflict
            | Error::ShipmentNotFound
            | Error::TooManyParts
            | Error::NotInReview
            | Error::ResolutionReused
            | Error::ReturnNotFound
            | Error::ReturnConflict
            | Error::Planned
            | Error::Internal
            | Error::Kit(_)
            | Error::Peer(_) => refusal,
        }
    }

    /// Whether the same request may have been answered with an order before: a repeated request gets that answer, whatever
    /// has changed since.
    pub fn may_be_a_replay(&self) -> bool {
        !matches!(self, Error::Overloaded | Error::Unavailable | Error::Internal)
    }

    /// A peer's refusal: passed on when it is about what our caller asked for, else ours to answer for.
    pub fn of_peer(status: Status) -> Error {
        if is_about_stock(&status) {
            return Error::Peer(Box::new(status));
        }
        let word = kit::refusal::reason_of(&status);
        match word.as_deref().and_then(ErrorReason::from_word) {
            Some(ErrorReason::ReservationConflict) => Error::KeyReused,
            Some(ErrorReason::ReservationResolved) => Error::FirstTryDied,
            Some(ErrorReason::Overloaded) => Error::Overloaded,
            Some(_) | None => {
                tracing::warn!(code = ?status.code(), reason = word, message = status.message(), "a peer failed");
                if is_passing(status.code()) { Error::Unavailable } else { Error::Internal }
            }
        }
    }

    /// The present order takes no such step.
    pub fn illegal(order: &Order, event: Event) -> Error {
        Error::Illegal(IllegalStep { state: order.state, event })
    }
}

/// What is to be paid now.
fn costs(total: Money, refusal: kit::Refusal) -> kit::Refusal {
    refusal
        .metadata("total_minor", total.amount_minor().to_string())
        .metadata("currency", total.currency().to_string())
}

fn used_up(promotion: &str, total: Option<Money>, refusal: kit::Refusal) -> kit::Refusal {
    let refusal = refusal.metadata("promotion_id", promotion);
    match total {
        Some(total) => costs(total, refusal),
        None => refusal,
    }
}

fn coupon_invalid(at: usize, coupon: &Coupon, why: &str, refusal: kit::Refusal) -> kit::Refusal {
    let refusal = refusal.metadata("coupon", coupon.as_str()).metadata("why", why);
    refusal.field(format!("coupons[{at}]"), "does not apply")
}

/// Both totals, and each line that has another price now.
fn price_moved(moved: &Moved, refusal: kit::Refusal) -> kit::Refusal {
    let places: Vec<String> = moved.lines.iter().map(|(at, _, _)| at.to_string()).collect();
    let refusal = refusal
        .metadata("quoted_total_minor", moved.quoted.amount_minor().to_string())
        .metadata("changed_lines", places.join(","));
    let refusal = costs(moved.total, refusal);
    moved.lines.iter().fold(refusal, |refusal, (at, quoted, now)| {
        refusal.field(format!("lines[{at}]"), format!("costs {now}, was quoted {quoted}"))
    })
}

/// Whether inventory says of what was asked for that it is not to be had.
pub fn is_about_stock(status: &Status) -> bool {
    let word = kit::refusal::reason_of(status);
    matches!(
        word.as_deref().and_then(ErrorReason::from_word),
        Some(
            ErrorReason::OutOfStock
                | ErrorReason::BuyerLimit
                | ErrorReason::CampaignNotOpen
                | ErrorReason::CampaignClosed
                | ErrorReason::CampaignNotFound
                | ErrorReason::PoolNotFound
                | ErrorReason::SkuNotFound
        )
    )
}

/// Whether a failure with this code may be gone when the call is made again.
pub fn is_passing(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unknown
        | Code::Aborted
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unauthenticated
        | Code::PermissionDenied => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss => false,
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        // A row that somebody holds for longer than we wait is no fault: the same thing may be tried again.
        let passing = kit::postgres::is_outage(&error) || kit::postgres::is_contended(&error);
        tracing::error!(%error, passing, "the database failed");
        if passing { Error::Unavailable } else { Error::Internal }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        if let Error::Peer(status) = error {
            // A new status: what the peer's transport added stays here.
            let details = bytes::Bytes::copy_from_slice(status.details());
            return Status::with_details(status.code(), status.message(), details);
        }
        if let Error::Kit(refusal) = error {
            return refusal.into();
        }
        let declared = error.reason().declared();
        error.details(kit::Refusal::new(declared.code, declared.word, error.to_string())).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::OrderState;

    #[test]
    fn a_refusal_carries_its_reason_and_the_facts_a_program_needs() {
        let illegal = Error::Illegal(IllegalStep { state: OrderState::Expired, event: Event::PaymentBegun });
        let status = Status::from(illegal);
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(kit::refusal::reason_of(&status).as_deref(), Some("ORDER_STATE"));
        let reused = Status::from(Error::KeyReused);
        assert_eq!(reused.code(), Code::InvalidArgument);
    }

    #[test]
    fn a_peers_refusal_is_passed_on_only_when_it_is_about_the_request() {
        let sold_out = kit::Refusal::new(Code::FailedPrecondition, "OUT_OF_STOCK", "nothing left")
            .metadata("sku_id", "TEE");
        let passed = Status::from(Error::of_peer(sold_out.clone().into()));
        assert_eq!(passed.details(), Status::from(sold_out).details());
        let misconfigured = kit::Refusal::new(Code::PermissionDenied, "PEER_NOT_ALLOWED", "not you");
        assert!(matches!(Error::of_peer(misconfigured.into()), Error::Unavailable));
    }
}
