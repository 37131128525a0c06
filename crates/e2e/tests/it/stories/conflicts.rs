//! The provider contradicts itself after an order was confirmed: order and payment both wait for a person, and his decision ends both.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, UNIT_PRICE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_on_a_confirmed_order_is_seen_by_both_services_and_ends_by_one_decision() {
    let shop = Shop::open().await;
    let (alice, staff) = (shop.buyer("alice"), shop.user("sam", "staff"));
    let order = alice.order_one().await;
    alice.try_pay(&order, "tok_visa__capture_webhook_wrong_amount__capture_webhook_late_1000").await.unwrap();
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;

    let listed = eventually(async || {
        let seen = staff.get("/v1/stuck-payments").await.ok();
        match seen["payments"].as_array() {
            Some(payments) if payments.len() == 1 => Ok(payments[0].clone()),
            Some(_) | None => Err(seen.to_string()),
        }
    })
    .await;
    assert_eq!(listed["reason"], "STUCK_REASON_CONFLICT");
    assert_eq!(listed["claims"][0]["amount"]["amountMinor"], json!((UNIT_PRICE + 1).to_string()));
    let payment = listed["paymentId"].as_str().unwrap().to_owned();
    // The order goes on, and somebody is told that its money is in doubt. Nobody says that it was given back.
    let review = reviewed(&staff, 1).await;
    assert_eq!((&review["step"], &review["paymentId"]), (&json!("LATE_REFUND"), &json!(payment)));
    assert_eq!(review["possible"], json!(["REVIEW_RESOLUTION_RETRY"]));
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;

    let resolve = format!("/v1/stuck-payments/{payment}:resolve");
    let decision = json!({
        "resolutionId": Uuid::now_v7(), "reason": "STUCK_REASON_CONFLICT",
        "decision": "PAYMENT_DECISION_KEEP_OURS", "note": "the provider's books say so too",
    });
    let refused = alice.post(&resolve, &decision).await;
    assert_eq!(refused.status.as_u16(), 403, "a buyer decides nothing");
    for _ in 0..2 {
        let answer = staff.post(&resolve, &decision).await.ok();
        assert_eq!(answer["payment"]["state"], "PAYMENT_STATE_CAPTURED");
    }
    reviewed(&staff, 0).await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

/// Waits until that many reviews are listed; the first.
async fn reviewed(staff: &crate::harness::Buyer, count: usize) -> Value {
    eventually(async || {
        let seen = staff.get("/v1/reviews").await.ok();
        let reviews = seen["reviews"].as_array().cloned().unwrap_or_default();
        if reviews.len() == count {
            Ok(reviews.first().cloned().unwrap_or_default())
        } else {
            Err(seen.to_string())
        }
    })
    .await
}
