//! Money that is taken as units leave: held when the order is confirmed, taken before each shipment.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Buyer, SKU, Shop, UNIT_PRICE, eventually};

async fn shop() -> Shop {
    Shop::with(&[("order", "capture_at", "shipment")]).await
}

/// Two units, confirmed with their money held.
async fn held(shop: &Shop, card: &str) -> String {
    let alice = shop.buyer("alice");
    let order = alice.order(json!([{ "skuId": SKU, "quantity": 2 }])).await.ok();
    let order = order["orderId"].as_str().unwrap().to_owned();
    let paid = alice.try_pay(&order, card).await.unwrap().ok();
    assert_eq!(
        (&paid["state"], &paid["paymentState"]),
        (&json!("ORDER_STATE_CONFIRMED"), &json!("ORDER_PAYMENT_STATE_AUTHORIZED"))
    );
    assert_eq!(shop.money_at_provider().await.captured, 0);
    order
}

/// One unit leaves, or all that is left.
async fn ship(shop: &Shop, order: &str, shipment: Uuid, lines: &Value) -> Answer {
    let body = json!({ "shipmentId": shipment, "lines": lines });
    shop.user("sam", "staff").post(&format!("/v1/orders/{order}:ship"), &body).await
}

fn one() -> Value {
    json!([{ "skuId": SKU, "quantity": 1 }])
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_3_each_shipment_is_paid_for_before_it_leaves() {
    let shop = shop().await;
    let order = held(&shop, "tok_visa").await;
    ship(&shop, &order, Uuid::now_v7(), &one()).await.ok();
    assert_eq!(shop.money_at_provider().await.captured, UNIT_PRICE);
    let rest = ship(&shop, &order, Uuid::now_v7(), &json!([])).await.ok();
    assert_eq!(rest["state"], "ORDER_STATE_SHIPPED");
    assert_eq!(rest["paymentState"], "ORDER_PAYMENT_STATE_PAID");
    shop.settles(0, 2, 2 * UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_3_a_capture_that_is_refused_keeps_the_units_and_the_order_where_they_are() {
    let shop = shop().await;
    let order = held(&shop, "tok_visa__capture_declined_do_not_honour").await;
    let shipment = Uuid::now_v7();
    for _ in 0..2 {
        let refused = ship(&shop, &order, shipment, &one()).await;
        assert_eq!(refused.reason(), "PAYMENT_DECLINED", "{refused:?}");
    }
    let seen = shop.buyer("alice").get(&format!("/v1/orders/{order}")).await.ok();
    assert_eq!(seen["state"], "ORDER_STATE_CONFIRMED");
    assert_eq!(seen["fulfilmentState"], "ORDER_FULFILMENT_STATE_NONE");
    assert_eq!(shop.money_at_provider().await.captured, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_3_a_hold_that_lapses_between_two_shipments_is_made_again() {
    let shop = shop().await;
    // Held for so long that the first shipment is in time on a slow machine, and no longer.
    let order = held(&shop, "tok_hold_6000").await;
    ship(&shop, &order, Uuid::now_v7(), &one()).await.ok();
    let payment = shop.buyer("alice").get(&format!("/v1/orders/{order}")).await.ok()["paymentId"].clone();
    let payment = payment.as_str().unwrap().parse::<Uuid>().unwrap();
    let db = shop.database("payment").await;
    eventually(async || {
        let parts: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_intent WHERE part_of = $1")
            .bind(payment)
            .fetch_one(&db)
            .await
            .unwrap();
        if parts > 1 { Ok(()) } else { Err("the hold was not made again".to_owned()) }
    })
    .await;
    let second = Uuid::now_v7();
    eventually(async || {
        let sent = ship(&shop, &order, second, &json!([])).await;
        if sent.body["state"] == "ORDER_STATE_SHIPPED" { Ok(()) } else { Err(format!("{sent:?}")) }
    })
    .await;
    shop.settles(0, 2, 2 * UNIT_PRICE).await;
}

/// `service` dies at `point` while a shipment is paid for; the same shipment again is the same.
async fn its_money_is_taken_once(service: &'static str, point: &str) {
    let mut shop = shop().await;
    let order = held(&shop, "tok_visa").await;
    shop.arm(service, point);
    let body = json!({ "shipmentId": Uuid::now_v7(), "lines": one() });
    let (staff, path) = (shop.user("sam", "staff"), format!("/v1/orders/{order}:ship"));
    let ship = async || Buyer::try_send(staff.request(Method::POST, &path).json(&body)).await;
    let first = ship().await;
    let done = first.is_ok_and(|sent| sent.body["state"] == "ORDER_STATE_FULFILLING");
    assert!(!done, "{service} did not die at {point}");
    shop.revive(service).await;
    eventually(async || match ship().await {
        Ok(sent) if sent.body["state"] == "ORDER_STATE_FULFILLING" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(shop.money_at_provider().await.captured, UNIT_PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_3_the_order_service_dies_before_a_shipments_money_is_asked_for() {
    its_money_is_taken_once("order", "before_capture_shipment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_3_the_order_service_dies_with_a_shipments_money_in_its_hand() {
    its_money_is_taken_once("order", "after_capture_shipment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_3_the_payment_service_dies_with_a_shipments_capture_in_its_hand() {
    its_money_is_taken_once("payment", "after_provider_capture").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_which_nothing_has_left_is_cancelled_and_nothing_was_ever_taken() {
    let shop = shop().await;
    let order = held(&shop, "tok_visa").await;
    let alice = shop.buyer("alice");
    assert_eq!(alice.try_cancel(&order).await.unwrap().ok()["state"], "ORDER_STATE_CANCELLED");
    shop.settles(0, 0, 0).await;
}
