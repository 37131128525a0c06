//! The order service dies at every step of a purchase, with the power on its side of the wire gone between any two of
//! them. The purchase completes or is cleanly undone; nothing is lost or doubled.

use serde_json::json;
use uuid::Uuid;

use crate::harness::{SKU, Shop, UNIT_PRICE};

/// Placing: the buyer asks again with the same key.
async fn placing_survives(point: &str) {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let (key, lines) = (Uuid::now_v7().to_string(), json!([{ "skuId": SKU, "quantity": 1 }]));
    shop.arm("order", point);

    let first = alice.try_order(&key, lines.clone()).await;
    assert!(!first.is_ok_and(|a| a.status.is_success()), "the order service did not die at {point}");
    shop.revive("order").await;

    let order = alice.try_order(&key, lines).await.unwrap().ok();
    alice.pay(order["orderId"].as_str().unwrap()).await.ok();
    assert_eq!(alice.get("/v1/orders").await.ok()["orders"].as_array().unwrap().len(), 1);
    shop.settles(0, 1, UNIT_PRICE).await;
}

/// Paying: nobody asks again; the runner goes on.
async fn paying_survives(point: &str) {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    shop.arm("order", point);

    let first = alice.try_pay(&order, "tok_visa").await;
    assert!(!first.is_ok_and(|a| a.status.is_success()), "the order service did not die at {point}");
    shop.revive("order").await;

    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    alice.pay(&order).await.ok();
    shop.settles(0, 1, UNIT_PRICE).await;
}

/// Cancelling, before or after payment: nobody asks again; the runner goes on.
async fn cancelling_survives(point: &str, paid: bool) {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    if paid {
        alice.pay(&order).await.ok();
    }
    shop.arm("order", point);

    let first = alice.try_cancel(&order).await;
    assert!(!first.is_ok_and(|a| a.status.is_success()), "the order service did not die at {point}");
    shop.revive("order").await;

    alice.sees(&order, "ORDER_STATE_CANCELLED").await;
    shop.settles(0, 0, 0).await;
}

macro_rules! stories {
    ($($name:ident => $story:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            $story.await;
        }
    )*};
}

stories! {
    placing_survives_a_crash_between_the_hold_and_the_order => placing_survives("after_reserve");
    placing_survives_a_crash_between_the_order_and_its_answer => placing_survives("after_insert");
    paying_survives_a_crash_before_anything_was_asked => paying_survives("after_pay_begun");
    paying_survives_a_crash_before_the_authorisation => paying_survives("before_authorize");
    paying_survives_a_lost_authorisation => paying_survives("after_authorize");
    paying_survives_a_crash_after_the_authorisation => paying_survives("written_authorize");
    paying_survives_a_lost_commit => paying_survives("after_commit");
    paying_survives_a_crash_after_the_commit => paying_survives("written_commit");
    paying_survives_a_lost_capture => paying_survives("after_capture");
    paying_survives_a_crash_before_the_answer => paying_survives("written_capture");
    cancelling_survives_a_crash_before_anything_was_asked => cancelling_survives("after_cancel_begun", false);
    cancelling_survives_a_lost_release => cancelling_survives("after_release", false);
    cancelling_a_paid_order_survives_a_lost_refund => cancelling_survives("after_refund", true);
    cancelling_a_paid_order_survives_a_crash_after_the_refund => cancelling_survives("written_refund", true);
    cancelling_a_paid_order_survives_a_lost_return => cancelling_survives("after_return", true);
}
