//! What follows a purchase: shipped in parts, delivered, one unit sent back, its money returned and its stock on sale again.

use std::time::Duration;

use serde_json::{Value, json};
use stampede_kit as kit;
use stampede_kit::client::Channel;
use stampede_kit::clock::Clock;
use stampede_pki::Claims;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::*;
use uuid::Uuid;

use crate::harness::{Answer, Buyer, SKU, Shop, UNIT_PRICE, eventually};

pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

pub(super) fn units(quantity: u32) -> Value {
    json!([{ "skuId": SKU, "quantity": quantity }])
}

/// A paid order of so many units; its id.
pub(super) async fn bought(buyer: &Buyer, quantity: u32) -> String {
    let order = buyer.order(units(quantity)).await.ok()["orderId"].as_str().unwrap().to_owned();
    buyer.pay(&order).await.ok();
    order
}

pub(super) async fn ship(staff: &Buyer, order: &str, id: &str, lines: Value) -> Answer {
    let body = json!({ "shipmentId": id, "lines": lines });
    staff.post(&format!("/v1/orders/{order}:ship"), &body).await
}

pub(super) async fn deliver(staff: &Buyer, order: &str, id: &str) -> Answer {
    staff.post(&format!("/v1/orders/{order}:deliver"), &json!({ "shipmentId": id })).await
}

pub(super) async fn ask_back(buyer: &Buyer, order: &str, id: &str, lines: Value) -> Answer {
    let body = json!({ "returnId": id, "lines": lines, "reason": "too small" });
    buyer.post(&format!("/v1/orders/{order}/returns"), &body).await
}

pub(super) async fn decide(staff: &Buyer, id: &str, state: &str, restock: bool) -> Result<Answer, String> {
    let body = json!({ "state": format!("RETURN_STATE_{state}"), "restock": restock });
    let request = staff.request(reqwest::Method::POST, &format!("/v1/returns/{id}:resolve"));
    Buyer::try_send(request.json(&body)).await
}

pub(super) async fn is_refunded(buyer: &Buyer, id: &str) -> Value {
    let path = format!("/v1/returns/{id}");
    eventually(async || {
        let answer = Buyer::try_send(buyer.request(reqwest::Method::GET, &path)).await?;
        if answer.body["state"] == "RETURN_STATE_REFUNDED" {
            Ok(answer.body)
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shipped_in_two_parts_delivered_and_one_unit_comes_back() {
    let shop = Shop::open().await;
    let (alice, sam) = (shop.buyer("alice"), shop.user("sam", "staff"));
    let order = bought(&alice, 3).await;
    let (first, second, back) = (new_id(), new_id(), new_id());

    let part = ship(&sam, &order, &first, units(2)).await.ok();
    assert_eq!(part["state"], "ORDER_STATE_FULFILLING");
    assert_eq!(part["fulfilmentState"], "ORDER_FULFILMENT_STATE_PARTIALLY_SHIPPED");
    assert_eq!(alice.try_cancel(&order).await.unwrap().reason(), "ORDER_STATE");
    assert_eq!(ship(&sam, &order, &second, json!([])).await.ok()["state"], "ORDER_STATE_SHIPPED");
    deliver(&sam, &order, &first).await.ok();
    assert_eq!(deliver(&sam, &order, &second).await.ok()["state"], "ORDER_STATE_DELIVERED");
    shop.settles(0, 3, 3 * UNIT_PRICE).await;

    ask_back(&alice, &order, &back, units(1)).await.ok();
    decide(&sam, &back, "APPROVED", false).await.unwrap().ok();
    decide(&sam, &back, "RECEIVED", true).await.unwrap().ok();
    assert_eq!(is_refunded(&alice, &back).await["refund"]["amountMinor"], UNIT_PRICE.to_string());
    let after = alice.get(&format!("/v1/orders/{order}")).await.ok();
    assert_eq!(after["paymentState"], "ORDER_PAYMENT_STATE_PARTIALLY_REFUNDED");
    assert_eq!(
        (after["shipments"].as_array().unwrap().len(), &after["returns"][0]["returnId"]),
        (2, &json!(back))
    );
    // The unit is on sale again, and the buyer's money is back, by the provider's own account.
    shop.settles(0, 2, 2 * UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staff_and_buyers_cannot_mean_is_refused_with_its_reason() {
    let shop = Shop::open().await;
    let (alice, bob, sam) = (shop.buyer("alice"), shop.buyer("bob"), shop.user("sam", "staff"));
    let unpaid = alice.order_one().await;
    assert_eq!(ship(&sam, &unpaid, &new_id(), json!([])).await.reason(), "ORDER_STATE");
    let (order, id, back) = (bought(&alice, 2).await, new_id(), new_id());
    for who in [&alice, &shop.user("ada", "auditor")] {
        let refused = ship(who, &order, &new_id(), json!([])).await;
        assert_eq!((refused.status.as_u16(), refused.reason()), (403, "PERMISSION_DENIED"));
    }
    let unknown = ship(&sam, &order, &new_id(), json!([{ "skuId": "NO-SUCH", "quantity": 1 }])).await;
    assert_eq!((unknown.status.as_u16(), unknown.reason()), (404, "ORDER_LINE_NOT_FOUND"));
    assert_eq!(unknown.field(), "lines[0].sku_id");
    let many = ship(&sam, &order, &new_id(), units(3)).await;
    assert_eq!(
        (many.status.as_u16(), many.reason(), many.field()),
        (409, "QUANTITY_EXCEEDED", "lines[0].quantity")
    );
    let none = ship(&sam, &order, &new_id(), units(0)).await;
    assert_eq!((none.status.as_u16(), none.reason()), (400, "INVALID_ARGUMENT"));
    ship(&sam, &order, &id, json!([])).await.ok();
    let other = ship(&sam, &order, &id, units(1)).await;
    assert_eq!((other.status.as_u16(), other.reason()), (409, "SHIPMENT_CONFLICT"));
    assert_eq!(ask_back(&alice, &order, &back, units(1)).await.reason(), "QUANTITY_EXCEEDED");
    deliver(&sam, &order, &id).await.ok();
    assert_eq!(ask_back(&bob, &order, &back, units(1)).await.reason(), "ORDER_NOT_FOUND");
    ask_back(&alice, &order, &back, units(1)).await.ok();
    assert_eq!(ask_back(&alice, &order, &back, units(2)).await.reason(), "RETURN_CONFLICT");
    assert_eq!(bob.get(&format!("/v1/returns/{back}")).await.reason(), "RETURN_NOT_FOUND");
    let early = decide(&sam, &back, "RECEIVED", true).await.unwrap();
    assert_eq!((early.status.as_u16(), early.reason()), (409, "RETURN_STATE"));
    assert_eq!(decide(&sam, &back, "REFUNDED", true).await.unwrap().reason(), "INVALID_ARGUMENT");
    shop.settles(1, 2, 2 * UNIT_PRICE).await;
}

fn grpc(shop: &Shop) -> OrderServiceClient<Channel> {
    let folder = shop.stack.folder();
    let (cert, key) = (folder.cert_path("client"), folder.key_path("client"));
    let tls = kit::tls::Client::read(&cert, &key, &folder.ca_path()).unwrap();
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let address = shop.stack.address("order").unwrap().to_string();
    OrderServiceClient::new(kit::client::connect(&tls, "order", &address, contract))
}

fn request<M>(shop: &Shop, who: &str, role: &str, message: M) -> tonic::Request<M> {
    let token = shop.stack.folder().issuer().issue(&Claims::new(who, [role]), Clock::system().now()).unwrap();
    let mut request = kit::client::request(message, Duration::from_secs(15));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_order_comes_back_over_grpc_and_units_that_are_not_restocked_stay_out_of_sale() {
    let shop = Shop::open().await;
    let order_id = bought(&shop.buyer("alice"), 2).await;
    let mut orders = grpc(&shop);
    let (shipment_id, return_id) = (new_id(), new_id());
    let shipped =
        ShipOrderRequest { order_id: order_id.clone(), shipment_id: shipment_id.clone(), lines: Vec::new() };
    orders.ship_order(request(&shop, "sam", "staff", shipped)).await.unwrap();
    let arrived = DeliverOrderRequest { order_id: order_id.clone(), shipment_id };
    let delivered = orders.deliver_order(request(&shop, "sam", "staff", arrived)).await.unwrap().into_inner();
    assert_eq!(delivered.state(), OrderState::Delivered);

    let line = LineItem { sku_id: SKU.into(), campaign_id: String::new(), quantity: 2 };
    let asked = RequestReturnRequest {
        order_id: order_id.clone(),
        return_id: return_id.clone(),
        lines: vec![line],
        reason: "broken".into(),
    };
    orders.request_return(request(&shop, "alice", "buyer", asked)).await.unwrap();
    for state in [ReturnState::Approved, ReturnState::Received] {
        let decided =
            ResolveReturnRequest { return_id: return_id.clone(), state: state.into(), restock: false };
        orders.resolve_return(request(&shop, "sam", "staff", decided)).await.unwrap();
    }
    let back = is_refunded(&shop.buyer("alice"), &return_id).await;
    assert_eq!(back["refund"]["amountMinor"], (2 * UNIT_PRICE).to_string());
    let found =
        orders.get_order(request(&shop, "alice", "buyer", GetOrderRequest { order_id })).await.unwrap();
    assert_eq!(found.into_inner().payment_state(), OrderPaymentState::Refunded);
    shop.settles(0, 2, 0).await;
}

/// The order service dies on the way of a return; nobody asks again, and the runner goes on.
async fn a_return_survives(point: &str) {
    let mut shop = Shop::open().await;
    let (alice, sam) = (shop.buyer("alice"), shop.user("sam", "staff"));
    let (order, shipment, back) = (bought(&alice, 2).await, new_id(), new_id());
    ship(&sam, &order, &shipment, json!([])).await.ok();
    deliver(&sam, &order, &shipment).await.ok();
    ask_back(&alice, &order, &back, units(1)).await.ok();
    decide(&sam, &back, "APPROVED", false).await.unwrap().ok();
    shop.arm("order", point);

    let first = decide(&sam, &back, "RECEIVED", true).await;
    assert!(!first.is_ok_and(|a| a.status.is_success()), "the order service did not die at {point}");
    shop.revive("order").await;

    is_refunded(&alice, &back).await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_survives_a_lost_refund() {
    a_return_survives("after_return_refund").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_survives_a_lost_restock() {
    a_return_survives("after_restock").await;
}
