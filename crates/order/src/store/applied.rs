//! The column `orders.promotions`: what an order was placed with, terms and all, in one value, so that orders with promotions
//! are read and written by the same statements as those without.

use std::sync::Arc;

use prost::Message as _;
use stampede_proto::order::v1::Promotion;
use stampede_types::{Currency, Money};

use crate::domain::promotion::Applied;
use crate::wire;

#[derive(Clone, PartialEq, prost::Message)]
struct Snapshot {
    #[prost(message, repeated, tag = "1")]
    promotions: Vec<One>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct One {
    #[prost(message, optional, tag = "1")]
    terms: Option<Promotion>,
    #[prost(int64, tag = "2")]
    discount_minor: i64,
    /// Not known of orders older than it: their gifts are worth nothing.
    #[prost(int64, tag = "3")]
    gift_worth_minor: i64,
}

/// `None` for an order without promotions.
pub(super) fn column(applied: &[Applied]) -> Option<Vec<u8>> {
    if applied.is_empty() {
        return None;
    }
    let promotions = applied
        .iter()
        .map(|one| One {
            terms: Some(wire::promotion::message(&one.terms)),
            discount_minor: one.discount.amount_minor(),
            gift_worth_minor: one.gift_worth.amount_minor(),
        })
        .collect();
    Some(Snapshot { promotions }.encode_to_vec())
}

pub(super) fn read(column: Option<Vec<u8>>, currency: Currency) -> Result<Vec<Applied>, sqlx::Error> {
    let Some(bytes) = column else { return Ok(Vec::new()) };
    let snapshot = Snapshot::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
    snapshot.promotions.into_iter().map(|one| one.into_applied(currency)).collect()
}

/// Terms as they were stored.
pub(super) fn terms(bytes: &[u8]) -> Result<crate::domain::promotion::Promotion, sqlx::Error> {
    let message = Promotion::decode(bytes).map_err(|error| sqlx::Error::Decode(error.into()))?;
    wire::promotion::terms(message).map_err(|error| sqlx::Error::Decode(error.to_string().into()))
}

impl One {
    fn into_applied(self, currency: Currency) -> Result<Applied, sqlx::Error> {
        let terms = wire::promotion::terms(self.terms.unwrap_or_default())
            .map_err(|error| sqlx::Error::Decode(error.to_string().into()))?;
        let money = |minor| Money::new(minor, currency);
        let (discount, gift_worth) = (money(self.discount_minor), money(self.gift_worth_minor));
        Ok(Applied { terms: Arc::new(terms), discount, gift_worth })
    }
}
