//! Identities that are UUIDs. It never makes random ones: those come from whoever owns the randomness.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The id that always belongs to `name` beside this one: a second derivation gives the same.
            #[must_use]
            pub fn derive(self, name: &str) -> Uuid {
                Uuid::new_v5(&self.0, name.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// An order. Derived from the buyer and the idempotency key, so that a repeated request meets the first.
    OrderId
);
uuid_id!(
    /// A hold on stock; chosen by whoever asks for it.
    ReservationId
);
uuid_id!(
    /// A payment intent; chosen by whoever asks for it.
    PaymentId
);

/// The namespace of orders: every order id is a version 5 UUID below it.
const ORDERS: Uuid = Uuid::from_u128(0x5e1f_0a51_57a3_4bed_9e00_0000_0000_0001);

impl OrderId {
    /// The one order that belongs to this buyer and key.
    #[must_use]
    pub fn of_request(buyer: &crate::BuyerId, key: &crate::IdempotencyKey) -> Self {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        let name = format!("{}:{}:{}", buyer.as_str().len(), buyer.as_str(), key.as_str());
        Self(Uuid::new_v5(&ORDERS, name.as_bytes()))
    }

    /// The one reservation that holds this order's stock.
    #[must_use]
    pub fn reservation(self) -> ReservationId {
        ReservationId(self.derive("reservation"))
    }

    /// The payment of the given attempt, counted from 1.
    #[must_use]
    pub fn payment(self, attempt: u32) -> PaymentId {
        PaymentId(self.derive(&format!("payment/{attempt}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BuyerId, IdempotencyKey};

    #[test]
    fn the_same_buyer_and_key_are_the_same_order_and_no_other() {
        let id = |buyer: &str, key: &str| {
            OrderId::of_request(&buyer.parse::<BuyerId>().unwrap(), &key.parse::<IdempotencyKey>().unwrap())
        };
        assert_eq!(id("alice", "k1"), id("alice", "k1"));
        assert_ne!(id("alice", "k1"), id("alice", "k2"));
        assert_ne!(id("ab", "c"), id("a", "bc"));
        assert_ne!(id("alice", "k1").payment(1), id("alice", "k1").payment(2));
    }
}
