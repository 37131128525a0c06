//! The one order every contestant carries, 1.2 KB of JSON there and 1.2 KB back, the same for all. It never changes while a run is
//! measured.

use prost::Message as _;
use serde_json::json;
use stampede_proto::common::v1::Money;
use stampede_proto::order::v1::{
    CreateOrderRequest, LineItem, Order, OrderFulfilmentState, OrderLine, OrderPaymentState, OrderState,
    OrderStockState,
};
use stampede_proto::timestamp;
use time::{Duration, OffsetDateTime};

use crate::generator::frames;

pub const CREATE: &str = "/stampede.order.v1.OrderService/CreateOrder";
const LINES: u32 = 15;
const CAMPAIGN: &str = "midnight-sale-2026";
const CURRENCY: &str = "EUR";

fn lines() -> impl Iterator<Item = LineItem> {
    (0..LINES).map(|line| LineItem {
        sku_id: format!("tee-black-{line:04}"),
        campaign_id: CAMPAIGN.into(),
        quantity: line % 3 + 1,
    })
}

/// The request.
pub fn asked() -> CreateOrderRequest {
    CreateOrderRequest { lines: lines().collect(), expected_total: money(104_900), ..Default::default() }
}

/// The same as the body of a REST call.
pub fn body() -> String {
    let line = |line: LineItem| json!({"skuId": line.sku_id, "campaignId": line.campaign_id, "quantity": line.quantity});
    let lines: Vec<_> = lines().map(line).collect();
    json!({"lines": lines, "expectedTotal": {"amountMinor": "104900", "currency": CURRENCY}}).to_string()
}

/// The same as gRPC frames it.
pub fn frame() -> Vec<u8> {
    frames::message(&asked().encode_to_vec())
}

/// What the backend answers.
pub fn answered() -> Order {
    let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::milliseconds(123_456);
    let line = |line: LineItem| OrderLine {
        sku_id: line.sku_id,
        campaign_id: line.campaign_id,
        quantity: line.quantity,
        title: "T-shirt, black".into(),
        unit_price: money(1_999),
        discount: money(0),
        total: money(1_999 * i64::from(line.quantity)),
    };
    Order {
        order_id: "018f9a3e-7c55-7d21-9f6b-3a1d2c4e5f60".into(),
        buyer_id: "buyer-000000042".into(),
        state: OrderState::AwaitingPayment.into(),
        payment_state: OrderPaymentState::Unpaid.into(),
        stock_state: OrderStockState::Held.into(),
        fulfilment_state: OrderFulfilmentState::None.into(),
        lines: lines().take(2).map(line).collect(),
        subtotal: money(5_997),
        discount: money(0),
        total: money(5_997),
        reservation_id: "018f9a3e-7c54-7b10-8d5a-1b2c3d4e5f61".into(),
        expires_at: Some(timestamp(now + Duration::minutes(15))),
        created_at: Some(timestamp(now)),
        updated_at: Some(timestamp(now)),
        version: 1,
        ..Order::default()
    }
}

fn money(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: CURRENCY.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stampede_kit::Contract;
    use stampede_transcode::{Found, RequestOptions, ResponseOptions, Router};

    #[test]
    fn the_order_is_as_large_as_it_is_said_to_be_and_the_same_on_every_way() {
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
        let router = Router::build(contract.pool()).unwrap();
        let Found::Match(matched) = router.find(&http::Method::POST, "/v1/orders") else {
            panic!("no route")
        };
        let (mut wire, mut json) = (Vec::new(), Vec::new());
        matched.request(None, body().as_bytes(), &RequestOptions::default(), &mut wire).unwrap();
        assert_eq!(CreateOrderRequest::decode(&wire[..]).unwrap(), asked());
        matched
            .route
            .response(&answered().encode_to_vec(), &ResponseOptions { emit_defaults: true }, &mut json)
            .unwrap();
        for length in [body().len(), json.len()] {
            assert!((1_100..=1_300).contains(&length), "{} there, {} back", body().len(), json.len());
        }
    }
}
