//! Wire values to the house's own types and back. It refuses what has no meaning and never rounds.

use stampede_types::{Currency, Money};
use time::OffsetDateTime;

use crate::common::v1;

/// A wire amount that is no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    #[error("the amount is missing")]
    Missing,
    #[error(transparent)]
    Currency(#[from] stampede_types::InvalidCurrency),
}

impl From<Money> for v1::Money {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor(), currency: money.currency().to_string() }
    }
}

impl TryFrom<v1::Money> for Money {
    type Error = InvalidMoney;

    fn try_from(wire: v1::Money) -> Result<Self, InvalidMoney> {
        Ok(Money::new(wire.amount_minor, wire.currency.parse::<Currency>()?))
    }
}

/// An instant as it travels.
#[must_use]
pub fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.nanosecond()).expect("a second has fewer than 2^31 nanoseconds");
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos }
}

/// An instant that came; `None` when it is outside the calendar.
#[must_use]
pub fn time(at: &prost_types::Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(at.nanos).ok()?;
    OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.replace_nanosecond(nanos).ok()
}
