//! Facts about a payment. They are added, never changed.

use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::state::read_by_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    Authorized,
    Declined,
    Captured,
    /// Less was captured than was told: that much is only held. A person has found it.
    CaptureCorrected,
    Voided,
    RefundPending,
    Refunded,
    RefundFailed,
    /// A refund that was given back came to us again: the buyer's bank did not take it.
    RefundReversed,
    /// A buyer's bank took captured money back until it is decided whose it is.
    DisputeOpened,
    /// It was decided for us: that much is ours again.
    DisputeClosed,
    /// It was decided for the buyer: that much is gone.
    DisputeLost,
    /// The hold lapsed at the provider: what was not captured is the buyer's again.
    Expired,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Derived from the attempt and the kind, or from the provider's name for it: the same fact has the same id however often it
    /// is learned.
    pub id: Uuid,
    pub kind: EventKind,
    pub amount_minor: i64,
    /// Who said it.
    pub provider: String,
    /// The provider's name for it; none for what we decided ourselves.
    pub reference: Option<String>,
    pub at: OffsetDateTime,
}

impl Event {
    /// The id of the one event of this kind that the attempt can have.
    #[must_use]
    pub fn id_of(attempt: Uuid, kind: EventKind) -> Uuid {
        Uuid::new_v5(&attempt, kind.as_str().as_bytes())
    }

    /// The id of a fact that nobody here asked for.
    #[must_use]
    pub fn id_of_fact(payment: PaymentId, provider: &str, kind: EventKind, reference: &str) -> Uuid {
        payment.derive(&format!("{provider}/{}/{reference}", kind.as_str()))
    }
}

impl EventKind {
    pub const ALL: [Self; 13] = [
        Self::Authorized,
        Self::Declined,
        Self::Captured,
        Self::CaptureCorrected,
        Self::Voided,
        Self::RefundPending,
        Self::Refunded,
        Self::RefundFailed,
        Self::RefundReversed,
        Self::DisputeOpened,
        Self::DisputeClosed,
        Self::DisputeLost,
        Self::Expired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "AUTHORIZED",
            Self::Declined => "DECLINED",
            Self::Captured => "CAPTURED",
            Self::CaptureCorrected => "CAPTURE_CORRECTED",
            Self::Voided => "VOIDED",
            Self::RefundPending => "REFUND_PENDING",
            Self::Refunded => "REFUNDED",
            Self::RefundFailed => "REFUND_FAILED",
            Self::DisputeOpened => "DISPUTE_OPENED",
            Self::RefundReversed => "REFUND_REVERSED",
            Self::DisputeClosed => "DISPUTE_CLOSED",
            Self::DisputeLost => "DISPUTE_LOST",
            Self::Expired => "EXPIRED",
        }
    }

    /// The subject under which others hear of it, below the stream's prefix.
    #[must_use]
    pub const fn subject(self) -> &'static str {
        match self {
            Self::Authorized => "payment.authorized",
            Self::Declined => "payment.declined",
            Self::Captured => "payment.captured",
            Self::CaptureCorrected => "payment.capture_corrected",
            Self::Voided => "payment.voided",
            Self::RefundPending => "payment.refund_pending",
            Self::Refunded => "payment.refunded",
            Self::RefundFailed => "payment.refund_failed",
            Self::DisputeOpened => "payment.dispute_opened",
            Self::RefundReversed => "payment.refund_reversed",
            Self::DisputeClosed => "payment.dispute_closed",
            Self::DisputeLost => "payment.dispute_lost",
            Self::Expired => "payment.expired",
        }
    }
}

read_by_name!(EventKind);
