//! The other processes die while an order is paid. Money is moved once or not at all.

use crate::harness::{Shop, UNIT_PRICE};

/// The payment service aborts at `point` while an order is paid.
async fn paying_survives(point: &str) {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    shop.arm("payment", point);

    // The answer does not matter: with the payment service gone it may be anything but a second charge.
    let first = alice.try_pay(&order, "tok_visa").await;
    assert!(
        !first.is_ok_and(|a| a.body["state"] == "ORDER_STATE_CONFIRMED"),
        "payment did not die at {point}"
    );
    shop.revive("payment").await;

    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payment_service_dies_before_it_asks_the_provider() {
    paying_survives("after_intent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payment_service_dies_with_the_providers_yes_in_its_hand() {
    paying_survives("after_provider_authorize").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payment_service_dies_after_it_wrote_the_authorisation() {
    paying_survives("after_authorize_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payment_service_dies_with_the_capture_in_its_hand() {
    paying_survives("after_provider_capture").await;
}

/// A service is killed from outside at some moment of a purchase, and comes back.
async fn a_purchase_survives_the_loss_of(service: &str) {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    for delay_ms in [0, 5, 15, 40] {
        let order = alice.order_one().await;
        let paying = {
            let (alice, order) = (alice.clone(), order.clone());
            tokio::spawn(async move { alice.try_pay(&order, "tok_visa").await.ok() })
        };
        tokio::time::sleep(std::time::Duration::from_millis(delay_ms)).await;
        shop.kill_and_restart(service);
        paying.await.unwrap();
        // Whatever the buyer was told, paying again is paying once.
        crate::harness::eventually(async || match alice.try_pay(&order, "tok_visa").await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    }
    shop.settles(0, 4, 4 * UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_survives_the_loss_of_inventory() {
    a_purchase_survives_the_loss_of("inventory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_survives_the_loss_of_payment() {
    a_purchase_survives_the_loss_of("payment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_survives_the_loss_of_order() {
    a_purchase_survives_the_loss_of("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_survives_the_loss_of_the_gateway() {
    a_purchase_survives_the_loss_of("gateway").await;
}
