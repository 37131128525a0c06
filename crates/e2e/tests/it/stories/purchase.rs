//! A buyer buys.

use serde_json::json;
use uuid::Uuid;

use crate::harness::{CAMPAIGN, SKU, Shop, UNIT_PRICE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_buys_from_the_shelf() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");

    let order = alice.order(json!([{ "skuId": SKU, "quantity": 2 }])).await.ok();
    assert_eq!(order["state"], "ORDER_STATE_AWAITING_PAYMENT");
    assert_eq!(order["total"]["amountMinor"], (2 * UNIT_PRICE).to_string());
    let id = order["orderId"].as_str().unwrap();

    let paid = alice.pay(id).await.ok();
    assert_eq!(paid["state"], "ORDER_STATE_CONFIRMED");
    assert_eq!(paid["paymentState"], "ORDER_PAYMENT_STATE_PAID");
    shop.settles(0, 2, 2 * UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_sells_its_own_units_at_its_own_price_up_to_the_limit() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let two = json!([{ "skuId": SKU, "campaignId": CAMPAIGN, "quantity": 2 }]);

    let order = alice.order(two.clone()).await.ok();
    assert_eq!(order["total"]["amountMinor"], "1998");
    assert_eq!(alice.order(two.clone()).await.reason(), "BUYER_LIMIT");
    for buyer in ["bob", "carol", "dave", "erin"] {
        shop.buyer(buyer).order(two.clone()).await.ok();
    }
    let refused = shop.buyer("frank").order(two).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (409, "OUT_OF_STOCK"));
    // The shelf is another counter.
    shop.buyer("frank").order_one().await;
    shop.settles(11, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_order_and_another_body_under_it_is_refused() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let key = Uuid::now_v7().to_string();
    let one = json!([{ "skuId": SKU, "quantity": 1 }]);

    let again = futures::future::join_all((0..8).map(|_| alice.try_order(&key, one.clone()))).await;
    let ids: std::collections::BTreeSet<String> =
        again.into_iter().map(|a| a.unwrap().ok()["orderId"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");

    let other = alice.try_order(&key, json!([{ "skuId": SKU, "quantity": 2 }])).await.unwrap();
    assert_eq!((other.status.as_u16(), other.reason()), (422, "IDEMPOTENCY_KEY_REUSED"));
    // Another buyer's key is another key.
    shop.buyer("bob").try_order(&key, one).await.unwrap().ok();
    shop.settles(2, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_cases_13_and_14_all_lines_are_held_or_none_and_two_of_one_sku_are_summed() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let lines = json!([
        { "skuId": SKU, "quantity": 1 },
        { "skuId": SKU, "campaignId": CAMPAIGN, "quantity": 3 },
    ]);
    assert_eq!(alice.order(lines).await.reason(), "BUYER_LIMIT");
    // Two lines of one SKU are summed before the check: 60 and 41 of 100.
    let summed = json!([{ "skuId": SKU, "quantity": 60 }, { "skuId": SKU, "quantity": 41 }]);
    assert_eq!(alice.order(summed).await.reason(), "OUT_OF_STOCK");
    shop.settles(0, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_cancelled_before_and_after_payment_gives_everything_back() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let unpaid = alice.order_one().await;
    let paid = alice.order_one().await;
    alice.pay(&paid).await.ok();

    alice.try_cancel(&unpaid).await.unwrap().ok();
    alice.try_cancel(&paid).await.unwrap().ok();
    alice.sees(&unpaid, "ORDER_STATE_CANCELLED").await;
    let cancelled = alice.sees(&paid, "ORDER_STATE_CANCELLED").await;
    assert_eq!(cancelled["paymentState"], "ORDER_PAYMENT_STATE_REFUNDED");
    // A second cancel answers the same and refunds nothing more.
    alice.try_cancel(&paid).await.unwrap().ok();
    shop.settles(0, 0, 0).await;
    assert_eq!(alice.pay(&paid).await.reason(), "ORDER_STATE");
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_21_an_order_nobody_pays_expires_and_its_units_are_sold_again() {
    let settings = [("payment_window_ms", "500"), ("session_grace_ms", "250"), ("hold_grace_ms", "500")];
    let shop = Shop::with(&settings.map(|(key, value)| ("order", key, value))).await;
    let alice = shop.buyer("alice");
    let two = json!([{ "skuId": SKU, "campaignId": CAMPAIGN, "quantity": 2 }]);
    let order = alice.order(two.clone()).await.ok();
    let id = order["orderId"].as_str().unwrap();

    alice.sees(id, "ORDER_STATE_EXPIRED").await;
    let late = alice.pay(id).await;
    assert!(["ORDER_EXPIRED", "ORDER_STATE"].contains(&late.reason()), "{late:?}");
    shop.settles(0, 0, 0).await;
    // The buyer's limit came back with the units.
    eventually(async || {
        let again = alice.order(two.clone()).await;
        if again.status.is_success() { Ok(()) } else { Err(format!("{again:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_see_their_own_orders_and_staff_see_all() {
    let shop = Shop::open().await;
    let (alice, bob) = (shop.buyer("alice"), shop.buyer("bob"));
    let order = alice.order_one().await;
    let path = format!("/v1/orders/{order}");

    assert_eq!(bob.get(&path).await.reason(), "ORDER_NOT_FOUND");
    assert_eq!(bob.pay(&order).await.reason(), "ORDER_NOT_FOUND");
    assert_eq!(bob.try_cancel(&order).await.unwrap().reason(), "ORDER_NOT_FOUND");
    assert_eq!(bob.get("/v1/orders").await.ok()["orders"], json!([]));
    shop.user("sam", "staff").get(&path).await.ok();
    let listed = alice.get("/v1/orders?pageSize=10").await.ok();
    assert_eq!(listed["orders"][0]["orderId"], order.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_hands_reach_for_ten_units_and_ten_are_sold() {
    let shop = Shop::open().await;
    let asks = (0..200).map(|n| {
        let buyer = shop.buyer(&format!("buyer-{n}"));
        async move { buyer.order(json!([{ "skuId": SKU, "campaignId": CAMPAIGN, "quantity": 1 }])).await }
    });
    let answers = futures::future::join_all(asks).await;
    let sold = answers.iter().filter(|a| a.status.is_success()).count();
    assert_eq!(sold, 10);
    assert!(answers.iter().all(|a| a.status.is_success() || a.reason() == "OUT_OF_STOCK"), "{answers:?}");
    shop.settles(10, 0, 0).await;
}
