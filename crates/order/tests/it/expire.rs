//! Orders nobody pays for end by themselves, and what they held is free again.

use std::time::Duration;

use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{OrderState, OrderStockState};

use crate::shop::{Shop, reason};

const SOON: Duration = Duration::from_millis(400);

async fn hurried() -> Shop {
    Shop::with_window(SOON).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_not_paid_in_time_expires_and_gives_its_stock_back() {
    let shop = hurried().await;
    let order = shop.tee("k1").await;
    let expired = shop.reaches(&order, OrderState::Expired).await;
    assert_eq!(expired.stock_state(), OrderStockState::Released);
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.expired"]);
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_EXPIRED");
    assert_eq!(reason(shop.cancel("alice", &order).await), "ORDER_STATE");
    assert!(shop.bank.payments().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_begun_in_time_is_not_cut_off_by_the_expiry() {
    let shop = hurried().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.close("authorize");
    let late = async {
        tokio::time::sleep(SOON + Duration::from_millis(500)).await;
        shop.bank.trouble.open("authorize");
    };
    let (paid, ()) = tokio::join!(shop.pay("alice", &order, "tok_visa"), late);
    assert_eq!(paid.unwrap().state(), OrderState::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paid_order_does_not_expire() {
    let shop = hurried().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    let neighbour = shop.tee("k2").await;
    shop.reaches(&neighbour, OrderState::Expired).await;
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::Confirmed);
}
