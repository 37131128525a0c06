//! What somebody asks for and what he is told. Nothing here knows a rule.

use std::collections::BTreeMap;

use stampede_proto::order::v1::ReviewResolution;
use uuid::Uuid;

use super::{Back, View};
use crate::harness::history::record::Units;
use crate::harness::orders::model::card::Card;
use crate::harness::orders::model::till::Basket;

/// What staff say about a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
    Receive { restock: bool },
}

/// What is asked for, or happens at the provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Place {
        key: Uuid,
        basket: Basket,
    },
    Pay {
        card: &'static Card,
    },
    Cancel,
    Ship {
        id: Uuid,
        units: Units,
    },
    Deliver {
        id: Uuid,
    },
    AskBack {
        id: Uuid,
        units: Units,
    },
    Decide {
        id: Uuid,
        verdict: Verdict,
    },
    /// About the order, or about late money on this payment of it.
    Resolve {
        id: Uuid,
        payment: Option<Uuid>,
        resolution: ReviewResolution,
    },
    /// The buyer's bank sends back something that he was given back for the order.
    ComesBack,
    Look,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Order(Box<View>),
    Back(Back),
    /// So much has come back to this payment.
    CameBack {
        payment: Uuid,
        amount: i64,
    },
    /// Refused for certain, with the facts of the refusal.
    Refused {
        reason: String,
        facts: BTreeMap<String, String>,
    },
    /// Nobody knows whether it was done.
    Unknown(String),
}

impl Answer {
    pub fn is_unknown(&self) -> bool {
        matches!(self, Answer::Unknown(_))
    }

    pub fn view(&self) -> Option<&View> {
        match self {
            Answer::Order(view) => Some(view),
            Answer::Back(_) | Answer::CameBack { .. } | Answer::Refused { .. } | Answer::Unknown(_) => None,
        }
    }
}
