//! Where a page of orders ends and the next begins. A token belongs to one list (its buyer or everybody, its filters, its order) and is
//! refused for any other. It is not a secret and grants nothing: what may be read is decided again for each page.

use sha2::{Digest as _, Sha256};
use stampede_types::{BuyerId, OrderId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::state::{OrderState, PaymentState};

/// Orders on a page when the caller does not say.
pub const DEFAULT_SIZE: u32 = 50;
/// The most orders on a page.
pub const MAX_SIZE: u32 = 100;
/// Version 2 of the layout: version, instant in microseconds, order, mark of the list.
const VERSION: u8 = 2;
const BYTES: usize = 1 + 8 + 16 + 8;

/// Orders of one buyer, or everybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// `None` for everybody.
    pub buyer: Option<BuyerId>,
    pub state: Option<OrderState>,
    pub payment: Option<PaymentState>,
    /// Placed then or later, in whole microseconds.
    pub from: Option<OffsetDateTime>,
    /// Placed before then, in whole microseconds.
    pub to: Option<OffsetDateTime>,
    pub sort: Sort,
}

/// By when they were placed; the id decides between orders of one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where a page ends: behind this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub created_at: OffsetDateTime,
    pub order: OrderId,
}

/// The stretch of orders that is read from one side: beyond `start`, up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub start: After,
    pub end: OffsetDateTime,
}

/// Not one of ours, or for another list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page token is not of this list")]
pub struct InvalidToken;

impl List {
    /// Everything a buyer has, or everybody, newest first.
    #[must_use]
    pub fn of(buyer: Option<BuyerId>) -> Self {
        Self { buyer, state: None, payment: None, from: None, to: None, sort: Sort::NewestFirst }
    }

    /// Whether some orders of the stretch may not be of the list.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.state.is_some() || self.payment.is_some()
    }

    /// What is left to read behind `after`. Both ends are always there, so that every page is one range of the index, whatever the
    /// plan was made for.
    #[must_use]
    pub fn stretch(&self, after: Option<After>) -> Stretch {
        let (earliest, latest) = (self.from.unwrap_or(FIRST), self.to.unwrap_or(LAST));
        match self.sort {
            // Strictly before (`to`, no id) is before `to`.
            Sort::NewestFirst => Stretch { start: after.unwrap_or(After::at(latest)), end: earliest },
            Sort::OldestFirst => {
                let before_all = After { created_at: earliest - time::Duration::MICROSECOND, order: MAX };
                Stretch { start: after.unwrap_or(before_all), end: latest }
            }
        }
    }

    #[must_use]
    pub fn token(&self, after: After) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&micros(after.created_at).to_be_bytes());
        bytes.extend_from_slice(after.order.uuid().as_bytes());
        bytes.extend_from_slice(&self.mark());
        hex::encode(bytes)
    }

    /// # Errors
    /// The token is not one of this list.
    pub fn after(&self, token: &str) -> Result<After, InvalidToken> {
        let bytes: [u8; BYTES] =
            hex::decode(token).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidToken)?;
        let (version, rest) = bytes.split_first().expect("a token has a first byte");
        let (micros, rest) = rest.split_first_chunk::<8>().expect("a token has its instant");
        let (order, mark) = rest.split_first_chunk::<16>().expect("a token has its order");
        if *version != VERSION || mark != self.mark() {
            return Err(InvalidToken);
        }
        let nanos = i128::from(i64::from_be_bytes(*micros)) * 1_000;
        let created_at = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| InvalidToken)?;
        // The store keeps no instant before 4714 BC, and no order is as old as that.
        if !(FIRST..LAST).contains(&created_at) {
            return Err(InvalidToken);
        }
        Ok(After { created_at, order: OrderId::new(Uuid::from_bytes(*order)) })
    }

    fn mark(&self) -> [u8; 8] {
        let limit = |at: Option<OffsetDateTime>| at.map_or(i64::MIN, micros).to_be_bytes();
        let sort: &[u8] = match self.sort {
            Sort::NewestFirst => b"newest",
            Sort::OldestFirst => b"oldest",
        };
        // Words have no zero byte and instants have eight bytes, so no two lists give the same bytes.
        let digest = Sha256::new()
            .chain_update(self.state.map_or("", OrderState::as_str))
            .chain_update([0])
            .chain_update(self.payment.map_or("", PaymentState::as_str))
            .chain_update([0])
            .chain_update(limit(self.from))
            .chain_update(limit(self.to))
            .chain_update(sort)
            // No buyer's name is empty.
            .chain_update(self.buyer.as_ref().map_or("", |buyer| buyer.as_str()))
            .finalize();
        *digest.first_chunk().expect("a SHA-256 has more than eight bytes")
    }
}

impl After {
    fn at(created_at: OffsetDateTime) -> Self {
        Self { created_at, order: OrderId::new(Uuid::nil()) }
    }
}

/// No order is placed before it.
const FIRST: OffsetDateTime = time::macros::datetime!(0001-01-01 0:00 UTC);
/// Nor at or after it.
const LAST: OffsetDateTime = time::macros::datetime!(9999-12-31 0:00 UTC);
const MAX: OrderId = OrderId::new(Uuid::max());

/// The store keeps microseconds.
fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000))
        .expect("an instant of this calendar fits 64 bits of microseconds")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(buyer: &str, state: Option<OrderState>) -> List {
        List { state, ..List::of(Some(buyer.parse().unwrap())) }
    }

    #[test]
    fn a_token_of_another_buyer_or_filter_is_refused() {
        let order = OrderId::new(Uuid::from_u128(7));
        let after = After { created_at: OffsetDateTime::UNIX_EPOCH, order };
        let token = list("alice", None).token(after);
        assert_eq!(list("alice", None).after(&token), Ok(after));
        assert_eq!(list("bob", None).after(&token), Err(InvalidToken));
        assert_eq!(List::of(None).after(&token), Err(InvalidToken));
        assert_eq!(list("alice", None).after(&List::of(None).token(after)), Err(InvalidToken));
        let all = list("alice", None);
        for other in [
            List { state: Some(OrderState::Confirmed), ..all.clone() },
            List { payment: Some(PaymentState::Paid), ..all.clone() },
            List { from: Some(OffsetDateTime::UNIX_EPOCH), ..all.clone() },
            List { to: Some(OffsetDateTime::UNIX_EPOCH), ..all.clone() },
            List { sort: Sort::OldestFirst, ..all },
        ] {
            assert_eq!(other.after(&token), Err(InvalidToken), "{other:?}");
            assert_eq!(other.after(&other.token(after)), Ok(after));
        }
    }

    #[test]
    fn a_page_goes_on_behind_the_last_and_keeps_the_other_end() {
        let at = |second| OffsetDateTime::from_unix_timestamp(second).unwrap();
        let after = After { created_at: at(20), order: OrderId::new(Uuid::from_u128(7)) };
        let newest = List { from: Some(at(10)), to: Some(at(30)), ..list("alice", None) };
        assert_eq!(newest.stretch(None), Stretch { start: After::at(at(30)), end: at(10) });
        assert_eq!(newest.stretch(Some(after)), Stretch { start: after, end: at(10) });
        let oldest = List { sort: Sort::OldestFirst, ..newest };
        assert_eq!(oldest.stretch(Some(after)), Stretch { start: after, end: at(30) });
        assert!(oldest.stretch(None).start.created_at < at(10));
    }

    #[test]
    fn a_token_with_an_instant_the_store_cannot_keep_is_refused() {
        let created_at = OffsetDateTime::new_utc(
            time::Date::from_calendar_date(-5_000, time::Month::January, 1).unwrap(),
            time::Time::MIDNIGHT,
        );
        let list = list("alice", None);
        let token = list.token(After { created_at, order: OrderId::new(Uuid::from_u128(7)) });
        assert_eq!(list.after(&token), Err(InvalidToken));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_refused_and_never_a_panic(text in ".{0,80}") {
            let _ = list("alice", None).after(&text);
        }

        #[test]
        fn a_token_says_where_its_page_ended(micros in -60_000_000_000_000_000_i64..=200_000_000_000_000_000, id: u128) {
            let created_at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap();
            let after = After { created_at, order: OrderId::new(Uuid::from_u128(id)) };
            let list = list("alice", Some(OrderState::Expired));
            prop_assert_eq!(list.after(&list.token(after)), Ok(after));
        }
    }
}
