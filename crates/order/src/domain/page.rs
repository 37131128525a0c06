//! Where a page of orders ends and the next begins. A token belongs to one list (its buyer and its filter) and is refused for
//! any other. It is not a secret and grants nothing: what may be read is decided again for each page.

use sha2::{Digest as _, Sha256};
use stampede_types::{BuyerId, OrderId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::state::OrderState;

/// Orders on a page when the caller does not say.
pub const DEFAULT_SIZE: u32 = 50;
/// The most orders on a page.
pub const MAX_SIZE: u32 = 100;
/// Version 1 of the layout: version, instant in microseconds, order, mark of the list.
const VERSION: u8 = 1;
const BYTES: usize = 1 + 8 + 16 + 8;

/// The orders of one buyer, all of them or those in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub buyer: BuyerId,
    pub state: Option<OrderState>,
}

/// The last order of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub created_at: OffsetDateTime,
    pub order: OrderId,
}

/// Not one of ours, or for another list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page token is not of this list")]
pub struct InvalidToken;

impl List {
    #[must_use]
    pub fn token(&self, after: After) -> String {
        let micros = i64::try_from(after.created_at.unix_timestamp_nanos() / 1_000)
            .expect("an instant of this calendar fits 64 bits of microseconds");
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&micros.to_be_bytes());
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
        if created_at.year() < 1 {
            return Err(InvalidToken);
        }
        Ok(After { created_at, order: OrderId::new(Uuid::from_bytes(*order)) })
    }

    fn mark(&self) -> [u8; 8] {
        let state = self.state.map_or("", OrderState::as_str);
        let digest = Sha256::new()
            .chain_update(state.as_bytes())
            .chain_update([0])
            .chain_update(self.buyer.as_str().as_bytes())
            .finalize();
        *digest.first_chunk().expect("a SHA-256 has more than eight bytes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(buyer: &str, state: Option<OrderState>) -> List {
        List { buyer: buyer.parse().unwrap(), state }
    }

    #[test]
    fn a_token_of_another_buyer_or_filter_is_refused() {
        let order = OrderId::new(Uuid::from_u128(7));
        let after = After { created_at: OffsetDateTime::UNIX_EPOCH, order };
        let token = list("alice", None).token(after);
        assert_eq!(list("alice", None).after(&token), Ok(after));
        assert_eq!(list("bob", None).after(&token), Err(InvalidToken));
        assert_eq!(list("alice", Some(OrderState::Confirmed)).after(&token), Err(InvalidToken));
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
