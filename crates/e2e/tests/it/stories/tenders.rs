//! An order paid by a gift card and a card for the rest: both or neither, also when a process dies in between.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Buyer, Shop, UNIT_PRICE, eventually};

const GIFT: i64 = 500;

/// The gift card's part, and whatever is left by card.
fn split(card: &str) -> Value {
    let gift = json!({ "amount": { "amountMinor": GIFT.to_string(), "currency": "EUR" }, "storedValue": { "account": "gift-1" } });
    json!({ "tenders": { "tenders": [gift, { "card": { "token": card } }] } })
}

async fn pay(buyer: &Buyer, order: &str, method: &Value) -> Result<Answer, String> {
    let request = buyer.request(Method::POST, &format!("/v1/orders/{order}:pay"));
    Buyer::try_send(request.json(&json!({ "method": method }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_2_an_order_is_paid_by_two_tenders_or_by_neither() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    let declined = pay(&alice, &order, &split("tok_declined_insufficient_funds")).await.unwrap();
    assert_ne!(declined.body["state"], "ORDER_STATE_CONFIRMED", "{declined:?}");
    // What the gift card held goes back to it by itself.
    eventually(async || {
        let dangling = shop.money_at_provider().await.dangling;
        if dangling == 0 { Ok(()) } else { Err(format!("{dangling} is still held")) }
    })
    .await;
    eventually(async || match pay(&alice, &order, &split("tok_visa")).await {
        Ok(paid) if paid.body["state"] == "ORDER_STATE_CONFIRMED" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    shop.settles(0, 1, UNIT_PRICE).await;
    let seen = alice.get(&format!("/v1/orders/{order}")).await.ok();
    let cancelled = alice.try_cancel(&order).await.unwrap();
    assert_eq!(cancelled.status, StatusCode::OK, "{cancelled:?} of {seen}");
    alice.sees(&order, "ORDER_STATE_CANCELLED").await;
    shop.settles(0, 0, 0).await;
}

/// The payment service aborts at `point`; whoever comes back carries both tenders to their end.
async fn paying_survives(point: &str) {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    shop.arm("payment", point);
    let first = pay(&alice, &order, &split("tok_visa")).await;
    let done = first.is_ok_and(|answer| answer.body["state"] == "ORDER_STATE_CONFIRMED");
    assert!(!done, "payment did not die at {point}");
    shop.revive("payment").await;
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_2_the_payment_service_dies_between_the_two_tenders() {
    paying_survives("after_authorize_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_2_the_payment_service_dies_between_the_two_captures() {
    paying_survives("after_capture_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenders_that_are_not_worth_the_order_are_refused_and_nothing_is_asked_for() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    let gift = |amount: i64, currency: &str| json!({ "amount": { "amountMinor": amount.to_string(), "currency": currency }, "storedValue": { "account": "gift-1" } });
    let rest = json!({ "card": { "token": "tok_visa" } });
    for tenders in [
        json!([gift(UNIT_PRICE, "EUR"), rest]),
        json!([gift(1, "EUR"), gift(1, "EUR")]),
        json!([gift(UNIT_PRICE + 1, "EUR"), rest]),
        json!([gift(-1, "EUR"), rest]),
        json!([gift(1, "USD"), rest]),
        json!([rest, rest]),
        json!([rest]),
        json!([gift(1, "EUR"), {}]),
        json!([gift(1, "EUR"), { "card": { "token": "tok_4111111111111111" } }]),
    ] {
        let answer =
            pay(&alice, &order, &json!({ "tenders": { "tenders": tenders.clone() } })).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{tenders}: {answer:?}");
        assert!(answer.field().starts_with("method"), "{tenders}: {answer:?}");
    }
    assert_eq!(alice.pay(&order).await.ok()["state"], "ORDER_STATE_CONFIRMED");
    shop.settles(0, 1, UNIT_PRICE).await;
}
