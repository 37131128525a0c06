//! Orders nobody pays for end by themselves, and what they held is free again.

use std::time::Duration;

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{OrderState, OrderStockState};

use crate::shop::{Shop, eventually, reason};

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
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.close("authorize");
    let late = async {
        eventually("it was begun", async || (shop.bank.trouble.calls("authorize") > 0).then_some(())).await;
        shop.time_is_over(&order).await;
        // One that was due with it has ended: this one was passed over.
        let neighbour = shop.tee("k2").await;
        shop.time_is_over(&neighbour).await;
        shop.reaches(&neighbour, OrderState::Expired).await;
        shop.bank.trouble.open("authorize");
    };
    let (paid, ()) = tokio::join!(shop.pay("alice", &order, "tok_visa"), late);
    assert_eq!(paid.unwrap().state(), OrderState::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paid_order_does_not_expire() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    let neighbour = shop.tee("k2").await;
    shop.time_is_over(&order).await;
    shop.time_is_over(&neighbour).await;
    shop.reaches(&neighbour, OrderState::Expired).await;
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::Confirmed);
}

/// Unpaid orders that have been overdue for a while, as a flash sale leaves them.
async fn leave_overdue(shop: &Shop, orders: i32) {
    sqlx::query(
        "INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                             subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint, expires_at,
                             created_at, updated_at, lines)
         SELECT gen_random_uuid(), 'b' || n, 'AWAITING_PAYMENT', 'UNPAID', 'HELD', 'NONE', 'EUR', 1, 0, 1,
                gen_random_uuid(), '', now() - interval '1 minute' + n * interval '1 ms', now(), now(),
                '[{\"sku_id\": \"TEE\", \"quantity\": 1, \"title\": \"Tee\", \"unit_price_minor\": 1, \"discount_minor\": 0, \"total_minor\": 1}]'
         FROM generate_series(1, $1) AS n",
    )
    .bind(orders)
    .execute(&shop.database.pool)
    .await
    .unwrap();
}

async fn expired(shop: &Shop) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM orders WHERE state = 'EXPIRED' AND stock_state = 'RELEASED'")
        .fetch_one(&shop.database.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_overdue_orders_end_in_a_few_transactions_and_each_is_told_once() {
    let shop = Shop::open().await;
    leave_overdue(&shop, 1_000).await;
    eventually("all have ended", async || (expired(&shop).await == 1_000).then_some(())).await;
    eventually("nothing is left to do", async || (shop.count("saga").await == 0).then_some(())).await;
    // Every row says which transaction wrote it: one by one it would be a thousand.
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM orders")
        .fetch_one(&shop.database.pool)
        .await
        .unwrap();
    assert!(transactions <= 50, "{transactions} transactions");
    let told: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT event_key) FROM outbox WHERE subject = 'order.expired'",
    )
    .fetch_one(&shop.database.pool)
    .await
    .unwrap();
    assert_eq!(told, (1_000, 1_000));
    // Once each, but for those whose answer did not come in time on a loaded machine.
    let asked = shop.warehouse.trouble.calls("release_reservation");
    assert!((1_000..1_100).contains(&asked), "{asked} releases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_placed_and_paid_while_others_expire() {
    let shop = Shop::open().await;
    leave_overdue(&shop, 3_000).await;
    for key in ["k1", "k2", "k3", "k4", "k5"] {
        let order = shop.tee(key).await;
        assert_eq!(shop.pay("alice", &order, "tok_visa").await.unwrap().state(), OrderState::Confirmed);
    }
    eventually("all have ended", async || (expired(&shop).await == 3_000).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_inventory_is_away_nothing_expires_and_nobody_begins_to_pay_and_then_all_ends() {
    let shop = hurried().await;
    let order = shop.tee("k1").await;
    shop.warehouse.trouble.refuse("release_reservation", ErrorReason::Unavailable);
    eventually("it was tried", async || {
        (shop.warehouse.trouble.calls("release_reservation") > 0).then_some(())
    })
    .await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_EXPIRED");
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::AwaitingPayment);
    assert!(shop.bank.payments().is_empty());
    shop.warehouse.trouble.mend("release_reservation");
    shop.reaches(&order, OrderState::Expired).await;
    assert_eq!(shop.told(&order).await, ["order.placed", "order.expired"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hold_that_inventory_does_not_answer_about_holds_up_no_other_order() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.warehouse.floor.lock().unwrap().silent.insert(order.reservation_id.clone());
    let neighbour = shop.tee("k2").await;
    let both = "UPDATE orders SET expires_at = now() WHERE order_id = ANY($1::uuid[])";
    let ids = [order.order_id.clone(), neighbour.order_id.clone()];
    sqlx::query(both).bind(ids).execute(&shop.database.pool).await.unwrap();
    shop.reaches(&neighbour, OrderState::Expired).await;
    // The runner asks for the other one, at its own pace, and nobody pays for it meanwhile.
    eventually("the runner has it", async || {
        let tries: Option<i32> = sqlx::query_scalar("SELECT attempt FROM saga WHERE order_id = $1::uuid")
            .bind(&order.order_id)
            .fetch_optional(&shop.database.pool)
            .await
            .unwrap();
        (tries? > 0).then_some(())
    })
    .await;
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::AwaitingPayment);
    shop.warehouse.floor.lock().unwrap().silent.clear();
    shop.reaches(&order, OrderState::Expired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_release_that_was_lost_is_asked_for_again_and_releases_once() {
    let shop = hurried().await;
    let order = shop.tee("k1").await;
    shop.warehouse.trouble.lose("release_reservation", 2);
    shop.reaches(&order, OrderState::Expired).await;
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.expired"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_that_was_sold_under_an_unpaid_order_is_for_a_person() {
    let shop = hurried().await;
    let order = shop.tee("k1").await;
    shop.warehouse.floor.lock().unwrap().commit(&order.reservation_id).unwrap();
    shop.reaches(&order, OrderState::ManualReview).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_payment_is_closed_at_the_provider_before_the_stock_is_free() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    shop.warehouse.trouble.close("release_reservation");
    shop.time_is_over(&order).await;
    eventually("the stock is to be freed", async || {
        (shop.warehouse.trouble.calls("release_reservation") > 0).then_some(())
    })
    .await;
    assert!(shop.bank.trouble.calls("void") > 0);
    shop.warehouse.trouble.open("release_reservation");
    shop.reaches(&order, OrderState::Expired).await;
}
