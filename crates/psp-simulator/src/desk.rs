//! What happens at a provider without the merchant's asking: refunds by hand, refunds that come back, disputes, holds that lapse. Done
//! by `POST /v1/desk`, once for its name; the merchant hears of it by webhook only.

use serde::{Deserialize, Serialize};

use crate::settlement::Type;
use crate::truth::Truth;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    RefundedByHand,
    /// `reference` is the refund's.
    RefundReversed,
    DisputeOpened,
    /// `reference` is the dispute's.
    DisputeWon,
    DisputeLost,
    AuthorizationExpired,
    /// What was declined is held after all; `reference` is the authorisation's key.
    HeldAfterAll,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    pub payment: String,
    pub what: What,
    pub reference: String,
    pub amount_minor: i64,
}

impl What {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RefundedByHand => "refunded_by_hand",
            Self::RefundReversed => "refund_reversed",
            Self::DisputeOpened => "dispute_opened",
            Self::DisputeWon => "dispute_won",
            Self::DisputeLost => "dispute_lost",
            Self::AuthorizationExpired => "authorization_expired",
            Self::HeldAfterAll => "held_after_all",
        }
    }
}

impl Happening {
    /// By which it happens once.
    pub fn name(&self) -> (String, What, String) {
        (self.payment.clone(), self.what, self.reference.clone())
    }

    /// Whether it can happen to a payment that stands like this.
    pub fn fits(&self, truth: &Truth) -> bool {
        let left = match self.what {
            What::RefundedByHand => truth.refundable_minor(),
            What::RefundReversed => truth.refunded_minor,
            What::DisputeOpened => truth.captured_minor - truth.disputed_minor,
            What::DisputeWon | What::DisputeLost => truth.disputed_minor - truth.lost_minor,
            What::AuthorizationExpired => truth.capturable_minor(),
            // An operation, and told as one.
            What::HeldAfterAll => 0,
        };
        self.amount_minor > 0 && self.amount_minor <= left
    }

    /// The money that it moves for good, above zero when it is the merchant's. A lost dispute has moved when it was opened.
    pub fn moves(&self) -> Option<(Type, i64)> {
        match self.what {
            What::RefundedByHand => Some((Type::Refund, -self.amount_minor)),
            What::RefundReversed => Some((Type::RefundReversal, self.amount_minor)),
            What::DisputeOpened => Some((Type::Dispute, -self.amount_minor)),
            What::DisputeWon => Some((Type::DisputeReversal, self.amount_minor)),
            What::DisputeLost | What::AuthorizationExpired | What::HeldAfterAll => None,
        }
    }

    pub fn enter(&self, truth: &mut Truth) {
        let amount = self.amount_minor;
        match self.what {
            What::RefundedByHand => truth.refunded_minor += amount,
            What::RefundReversed => truth.refunded_minor -= amount,
            What::DisputeOpened => truth.disputed_minor += amount,
            What::DisputeWon => truth.disputed_minor -= amount,
            What::DisputeLost => truth.lost_minor += amount,
            What::AuthorizationExpired => {
                truth.voided_minor += amount;
                truth.closed = true;
            }
            What::HeldAfterAll => {}
        }
    }
}
