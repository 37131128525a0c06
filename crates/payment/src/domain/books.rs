//! Double entry: what each fact moves, as debits that equal its credits. The accounts are the migration's.

use stampede_types::Currency;
use uuid::Uuid;

use super::{Event, EventKind};

const PROVIDER_HOLDS: &str = "provider_holds";
const BUYER_HOLDS: &str = "buyer_holds";
const PROVIDER_RECEIVABLE: &str = "provider_receivable";
const ORDER_FUNDS: &str = "order_funds";
const DISPUTED_FUNDS: &str = "disputed_funds";
const DISPUTE_LOSSES: &str = "dispute_losses";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Debit,
    Credit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event that moves the money.
    pub transfer: Uuid,
    pub account: &'static str,
    pub side: Side,
    pub amount_minor: i64,
    pub currency: Currency,
}

impl Side {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "DEBIT",
            Self::Credit => "CREDIT",
        }
    }
}

/// The entries of one fact; none when no money moves.
#[must_use]
pub fn entries(event: &Event, currency: Currency) -> Vec<Entry> {
    if event.amount_minor == 0 {
        return Vec::new();
    }
    let hold = (PROVIDER_HOLDS, BUYER_HOLDS);
    let release = (BUYER_HOLDS, PROVIDER_HOLDS);
    let take = (PROVIDER_RECEIVABLE, ORDER_FUNDS);
    let give_back = (ORDER_FUNDS, PROVIDER_RECEIVABLE);
    let dispute = (DISPUTED_FUNDS, PROVIDER_RECEIVABLE);
    let win = (PROVIDER_RECEIVABLE, DISPUTED_FUNDS);
    let lose = (DISPUTE_LOSSES, DISPUTED_FUNDS);
    let pairs: &[(&'static str, &'static str)] = match event.kind {
        EventKind::Authorized => &[hold],
        EventKind::Captured => &[release, take],
        EventKind::CaptureCorrected => &[give_back, hold],
        EventKind::Voided | EventKind::Expired => &[release],
        EventKind::Refunded => &[give_back],
        EventKind::RefundReversed => &[take],
        EventKind::DisputeOpened => &[dispute],
        EventKind::DisputeClosed => &[win],
        EventKind::DisputeLost => &[lose],
        EventKind::Declined | EventKind::RefundPending | EventKind::RefundFailed => &[],
    };
    let entry = |account, side| Entry {
        transfer: event.id,
        account,
        side,
        amount_minor: event.amount_minor,
        currency,
    };
    pairs
        .iter()
        .flat_map(|(debit, credit)| [entry(*debit, Side::Debit), entry(*credit, Side::Credit)])
        .collect()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn whatever_happens_debits_equal_credits_and_captured_money_is_no_longer_held() {
        let currency: Currency = "EUR".parse().unwrap();
        for kind in EventKind::ALL {
            let event = Event {
                id: Uuid::nil(),
                kind,
                amount_minor: 100,
                provider: "psp".into(),
                reference: None,
                at: OffsetDateTime::UNIX_EPOCH,
            };
            let entries = entries(&event, currency);
            let sum: i64 = entries
                .iter()
                .map(|e| if e.side == Side::Debit { e.amount_minor } else { -e.amount_minor })
                .sum();
            assert_eq!(sum, 0, "{kind:?}");
            let released = entries.iter().any(|e| e.account == PROVIDER_HOLDS && e.side == Side::Credit);
            assert_eq!(
                released,
                matches!(kind, EventKind::Captured | EventKind::Voided | EventKind::Expired),
                "{kind:?}"
            );
        }
    }
}
