//! Buyers who have to do something at their bank before the money is held (3-D Secure): the order waits for them, but not for ever.

use serde_json::{Value, json};

use crate::harness::{Shop, UNIT_PRICE};

/// Where the buyer is sent.
fn address(answer: &Value) -> String {
    answer["action"]["redirectUrl"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_its_buyer_and_is_confirmed_when_he_has_done_what_his_bank_asked_for() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    let asked = alice.try_pay(&order, "tok_3ds").await.unwrap().ok();
    assert_eq!(asked["state"], "ORDER_STATE_AWAITING_PAYMENT");
    let again = alice.try_pay(&order, "tok_3ds").await.unwrap().ok();
    assert_eq!(address(&asked), address(&again));
    let done = json!({ "outcome": "completed" });
    shop.http.post(address(&asked)).json(&done).send().await.unwrap().error_for_status().unwrap();
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_fails_may_pay_another_way_and_one_who_goes_away_keeps_nothing() {
    let settings = [("order", "payment_window_ms", "20000"), ("order", "session_grace_ms", "500")];
    let shop = Shop::with(&settings).await;
    let alice = shop.buyer("alice");
    let failing = alice.order_one().await;
    let asked = alice.try_pay(&failing, "tok_3ds").await.unwrap().ok();
    let failed = json!({ "outcome": "failed" });
    shop.http.post(address(&asked)).json(&failed).send().await.unwrap().error_for_status().unwrap();
    crate::harness::eventually(async || match alice.pay(&failing).await {
        paid if paid.body["state"] == "ORDER_STATE_CONFIRMED" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let abandoned = alice.order_one().await;
    let asked = alice.try_pay(&abandoned, "tok_3ds").await.unwrap().ok();
    alice.sees(&abandoned, "ORDER_STATE_EXPIRED").await;
    // The session was closed before the stock was free: whoever comes back late pays nothing.
    let done = json!({ "outcome": "completed" });
    assert_eq!(shop.http.post(address(&asked)).json(&done).send().await.unwrap().status(), 409);
    shop.settles(0, 1, UNIT_PRICE).await;
}
