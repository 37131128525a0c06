//! The order as hand-written structs that serde and prost both read: what a facade of one service would have. It knows
//! less than canonical JSON asks for (no original names, no `null`, no `1e1`), which is to its advantage here.

use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Money {
    #[prost(int64, tag = "1")]
    #[serde(with = "int64")]
    amount_minor: i64,
    #[prost(string, tag = "2")]
    currency: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LineItem {
    #[prost(string, tag = "1")]
    sku_id: String,
    #[prost(string, tag = "2")]
    campaign_id: String,
    #[prost(uint32, tag = "3")]
    quantity: u32,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CreateOrderRequest {
    #[prost(message, repeated, tag = "1")]
    lines: Vec<LineItem>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_total: Option<Money>,
    #[prost(string, tag = "3")]
    quote: String,
    #[prost(string, repeated, tag = "4")]
    coupons: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OrderLine {
    #[prost(string, tag = "1")]
    sku_id: String,
    #[prost(string, tag = "2")]
    campaign_id: String,
    #[prost(uint32, tag = "3")]
    quantity: u32,
    #[prost(string, tag = "4")]
    title: String,
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_price: Option<Money>,
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<Money>,
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Money>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AppliedPromotion {
    #[prost(string, tag = "1")]
    promotion_id: String,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<Money>,
    #[prost(string, tag = "3")]
    title: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Shipment {
    #[prost(string, tag = "1")]
    shipment_id: String,
    #[prost(message, repeated, tag = "2")]
    lines: Vec<LineItem>,
    #[prost(message, optional, tag = "3")]
    #[serde(with = "timestamp", skip_serializing_if = "Option::is_none")]
    shipped_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    #[serde(with = "timestamp", skip_serializing_if = "Option::is_none")]
    delivered_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Order {
    #[prost(string, tag = "1")]
    order_id: String,
    #[prost(string, tag = "2")]
    buyer_id: String,
    #[prost(int32, tag = "3")]
    #[serde(with = "state")]
    state: i32,
    #[prost(int32, tag = "4")]
    #[serde(with = "payment_state")]
    payment_state: i32,
    #[prost(int32, tag = "5")]
    #[serde(with = "stock_state")]
    stock_state: i32,
    #[prost(int32, tag = "6")]
    #[serde(with = "fulfilment_state")]
    fulfilment_state: i32,
    #[prost(message, repeated, tag = "7")]
    lines: Vec<OrderLine>,
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    subtotal: Option<Money>,
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<Money>,
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Money>,
    #[prost(string, tag = "11")]
    reservation_id: String,
    #[prost(string, tag = "12")]
    payment_id: String,
    #[prost(message, optional, tag = "13")]
    #[serde(with = "timestamp", skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[prost(message, optional, tag = "14")]
    #[serde(with = "timestamp", skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "15")]
    #[serde(with = "timestamp", skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    #[prost(int64, tag = "16")]
    #[serde(with = "int64")]
    version: i64,
    #[prost(string, tag = "17")]
    decline: String,
    #[prost(message, repeated, tag = "18")]
    promotions: Vec<AppliedPromotion>,
    #[prost(message, repeated, tag = "19")]
    shipments: Vec<Shipment>,
    // Returns are left out of the struct's types: none are in what is measured.
    #[prost(message, repeated, tag = "20")]
    returns: Vec<Shipment>,
    #[prost(message, optional, tag = "21")]
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    #[prost(message, optional, tag = "25")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping: Option<Money>,
    #[prost(string, tag = "30")]
    end_reason: String,
    #[prost(message, optional, tag = "32")]
    #[serde(skip_serializing_if = "Option::is_none")]
    uncaptured: Option<Money>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// 64-bit integers are strings in canonical JSON, and numbers are taken too.
mod int64 {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(value: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        from.deserialize_any(Either)
    }

    struct Either;

    impl Visitor<'_> for Either {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a 64-bit integer")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
            Ok(value)
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
            i64::try_from(value).map_err(E::custom)
        }
    }
}

/// RFC 3339, by the `time` crate.
mod timestamp {
    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::{Error as _, Serialize, Serializer};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::Timestamp;

    pub fn serialize<S: Serializer>(value: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        let Some(value) = value else { return to.serialize_none() };
        let at = OffsetDateTime::from_unix_timestamp(value.seconds).map_err(S::Error::custom)?;
        let at = at + time::Duration::nanoseconds(i64::from(value.nanos));
        let mut text = [0u8; 40];
        let mut rest = &mut text[..];
        at.format_into(&mut rest, &Rfc3339).map_err(S::Error::custom)?;
        let length = 40 - rest.len();
        std::str::from_utf8(&text[..length]).map_err(S::Error::custom)?.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let text = <&str>::deserialize(from)?;
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(D::Error::custom)?;
        Ok(Some(Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond().cast_signed() }))
    }
}

/// An enum by name.
macro_rules! enumeration {
    ($module:ident, $($number:literal $name:literal),+) => {
        mod $module {
            use serde::de::{Deserialize, Deserializer, Error as _};
            use serde::ser::{Serialize, Serializer};

            pub fn serialize<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
                match value {
                    $($number => $name.serialize(to),)+
                    other => other.serialize(to),
                }
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
                match <&str>::deserialize(from)? {
                    $($name => Ok($number),)+
                    other => Err(D::Error::custom(other)),
                }
            }
        }
    };
}

enumeration!(
    state,
    0 "ORDER_STATE_UNSPECIFIED", 1 "ORDER_STATE_AWAITING_PAYMENT", 2 "ORDER_STATE_CONFIRMED",
    3 "ORDER_STATE_FULFILLING", 4 "ORDER_STATE_SHIPPED", 5 "ORDER_STATE_DELIVERED", 6 "ORDER_STATE_COMPLETED",
    7 "ORDER_STATE_REJECTED", 8 "ORDER_STATE_EXPIRED", 9 "ORDER_STATE_CANCELLING", 10 "ORDER_STATE_CANCELLED",
    11 "ORDER_STATE_MANUAL_REVIEW"
);
enumeration!(
    payment_state,
    0 "ORDER_PAYMENT_STATE_UNSPECIFIED", 1 "ORDER_PAYMENT_STATE_UNPAID", 2 "ORDER_PAYMENT_STATE_PENDING",
    3 "ORDER_PAYMENT_STATE_AUTHORIZED", 4 "ORDER_PAYMENT_STATE_PAID", 5 "ORDER_PAYMENT_STATE_VOIDED",
    6 "ORDER_PAYMENT_STATE_PARTIALLY_REFUNDED", 7 "ORDER_PAYMENT_STATE_REFUNDED"
);
enumeration!(
    stock_state,
    0 "ORDER_STOCK_STATE_UNSPECIFIED", 1 "ORDER_STOCK_STATE_HELD", 2 "ORDER_STOCK_STATE_COMMITTED",
    3 "ORDER_STOCK_STATE_RELEASED", 4 "ORDER_STOCK_STATE_RETURNED"
);
enumeration!(
    fulfilment_state,
    0 "ORDER_FULFILMENT_STATE_UNSPECIFIED", 1 "ORDER_FULFILMENT_STATE_NONE",
    2 "ORDER_FULFILMENT_STATE_PARTIALLY_SHIPPED", 3 "ORDER_FULFILMENT_STATE_SHIPPED",
    4 "ORDER_FULFILMENT_STATE_DELIVERED"
);
