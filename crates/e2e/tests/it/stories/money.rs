//! The provider misbehaves. Nobody is charged twice, and nobody gets an order for nothing.

use crate::harness::{Shop, UNIT_PRICE};

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_leaves_the_order_open_for_another() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;

    let declined = alice.try_pay(&order, "tok_declined_insufficient_funds").await.unwrap();
    assert_eq!((declined.status.as_u16(), declined.reason()), (402, "PAYMENT_DECLINED"));
    assert_eq!(alice.sees(&order, "ORDER_STATE_AWAITING_PAYMENT").await["decline"], "insufficient_funds");
    shop.settles(1, 0, 0).await;

    alice.pay(&order).await.ok();
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_and_never_charged_again() {
    let shop = Shop::with(&[("payment", "psp.timeout_ms", "500")]).await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    // The provider charges and does not answer.
    alice.try_pay(&order, "tok_timeout_after").await.unwrap();
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_payments_of_one_order_charge_once() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    let pays = (0..6).map(|_| alice.pay(&order));
    for answer in futures::future::join_all(pays).await {
        assert!(answer.status.is_success() || answer.reason() == "ORDER_BUSY", "{answer:?}");
    }
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_races_cancelling_and_one_wins() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let mut sold = 0;
    for _ in 0..6 {
        let order = alice.order_one().await;
        let (paid, cancelled) = tokio::join!(alice.try_pay(&order, "tok_visa"), alice.try_cancel(&order));
        let told = format!("{paid:?} {cancelled:?}");
        let end = crate::harness::eventually(async || {
            let state =
                alice.get(&format!("/v1/orders/{order}")).await.ok()["state"].as_str().unwrap().to_owned();
            match state.as_str() {
                "ORDER_STATE_CONFIRMED" | "ORDER_STATE_CANCELLED" => Ok(state),
                other => Err(format!("{other}; {told}")),
            }
        })
        .await;
        sold += i64::from(end == "ORDER_STATE_CONFIRMED");
    }
    shop.settles(0, sold, sold * UNIT_PRICE).await;
}
