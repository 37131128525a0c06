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
    /// An order. Derived from its request and the day its stock was first held, so that a repeated request meets the first and
    /// orders of one day lie beside each other in every index.
    OrderId
);
uuid_id!(
    /// What a buyer asks for under one idempotency key, however often it is sent.
    RequestId
);
uuid_id!(
    /// A hold on stock; chosen by whoever asks for it.
    ReservationId
);
uuid_id!(
    /// A payment intent; chosen by whoever asks for it.
    PaymentId
);

/// The namespace of requests: every one is a version 5 UUID below it.
const REQUESTS: Uuid = Uuid::from_u128(0x5e1f_0a51_57a3_4bed_9e00_0000_0000_0001);

impl RequestId {
    /// The one request that belongs to this buyer and key.
    #[must_use]
    pub fn of(buyer: &crate::BuyerId, key: &crate::IdempotencyKey) -> Self {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        let name = format!("{}:{}:{}", buyer.as_str().len(), buyer.as_str(), key.as_str());
        Self(Uuid::new_v5(&REQUESTS, name.as_bytes()))
    }

    /// The reservation that holds its stock first.
    #[must_use]
    pub fn first_reservation(self) -> ReservationId {
        ReservationId(self.derive("reservation"))
    }

    /// The reservation of a later try, counted from 2: the holds before it have ended.
    #[must_use]
    pub fn later_reservation(self, nth: u32) -> ReservationId {
        ReservationId(self.derive(&format!("reservation/{nth}")))
    }

    /// Its one order, when its stock was first held on this day, in days since 1970. A version 8 UUID (RFC 9562): the day, then
    /// this id's own bits.
    #[must_use]
    pub fn order(self, day: u16) -> OrderId {
        let mut bytes = *self.0.as_bytes();
        bytes[..2].copy_from_slice(&day.to_be_bytes());
        OrderId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl OrderId {
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

    fn request(buyer: &str, key: &str) -> RequestId {
        RequestId::of(&buyer.parse::<BuyerId>().unwrap(), &key.parse::<IdempotencyKey>().unwrap())
    }

    #[test]
    fn the_same_buyer_and_key_are_the_same_request_and_no_other() {
        assert_eq!(request("alice", "k1"), request("alice", "k1"));
        assert_ne!(request("alice", "k1"), request("alice", "k2"));
        assert_ne!(request("ab", "c"), request("a", "bc"));
    }

    #[test]
    fn an_order_is_its_requests_and_its_days() {
        let order = request("alice", "k1").order(20_778);
        assert_eq!(order, request("alice", "k1").order(20_778));
        assert_ne!(order, request("alice", "k1").order(20_779));
        assert_ne!(order, request("alice", "k2").order(20_778));
        assert_ne!(order.payment(1), order.payment(2));
        assert_eq!(order.uuid().get_version_num(), 8);
        assert!(request("bob", "any").order(20_777) < order && order < request("carol", "any").order(20_779));
    }
}
