//! The last moment to pay, by Postgres's clock: one millisecond before it an order may be paid and does not expire; at it and
//! after it, it expires and may not be paid. Never both, never neither.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use stampede_kit::testing;
use stampede_order::MIGRATIONS;
use stampede_order::store::{expire, orders};
use stampede_proto::order::v1::{OrderPaymentState, OrderState};
use stampede_proto::payment::v1::PaymentState;
use stampede_types::OrderId;
use uuid::Uuid;

use crate::shop::Shop;

const LEASE: Duration = Duration::from_mins(1);

/// In one transaction, whose time stands still: whether the order may be paid, and whether it is taken to be expired.
async fn at(transaction: &mut sqlx::PgConnection, millis_left: i64) -> (bool, bool) {
    let order = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                             subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint, expires_at,
                             created_at, updated_at, lines)
         VALUES ($1, 'alice', 'AWAITING_PAYMENT', 'UNPAID', 'HELD', 'NONE', 'EUR', 1, 0, 1, $1, '',
                 now() + $2 * interval '1 ms', now(), now(),
                 '[{\"sku_id\": \"TEE\", \"quantity\": 1, \"title\": \"Tee\", \"unit_price_minor\": 1, \"discount_minor\": 0, \"total_minor\": 1}]')",
    )
    .bind(order)
    .bind(millis_left)
    .execute(&mut *transaction)
    .await
    .unwrap();
    let locked = orders::lock(&mut *transaction, OrderId::new(order)).await.unwrap().unwrap();
    let due = expire::begin(&mut *transaction, Uuid::now_v7(), LEASE, None, 100).await.unwrap();
    (!locked.late, due.iter().any(|due| due.order.uuid() == order))
}

#[tokio::test]
async fn a_millisecond_before_the_end_is_time_to_pay_and_the_end_itself_is_not() {
    let database = testing::database(&MIGRATIONS).await;
    let mut transaction = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    for (millis_left, payable) in [(1, true), (0, false), (-1, false)] {
        assert_eq!(at(&mut transaction, millis_left).await, (payable, !payable), "{millis_left} ms left");
    }
}

#[tokio::test]
async fn at_any_moment_an_order_can_be_paid_or_expires_and_never_both() {
    let database = testing::database(&MIGRATIONS).await;
    let mut transaction = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    let mut runner = proptest::test_runner::TestRunner::default();
    for _ in 0..64 {
        let left = prop_oneof![-3..=3_i64, -86_400_000..=86_400_000_i64];
        let left = left.new_tree(&mut runner).unwrap().current();
        let (payable, expires) = at(&mut transaction, left).await;
        assert_eq!((payable, expires), (left > 0, left <= 0), "{left} ms left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_4_payments_that_race_the_expiry_end_paid_or_expired_with_money_and_stock_to_match() {
    let shop = Shop::open().await;
    let mut orders = Vec::new();
    for key in 0..24 {
        orders.push(shop.tee(&format!("k{key}")).await);
    }
    // Their time ends one after the other, while all of them are being paid.
    for (at, order) in orders.iter().enumerate() {
        sqlx::query("UPDATE orders SET expires_at = clock_timestamp() + $2 * interval '1 ms' WHERE order_id = $1::uuid")
            .bind(&order.order_id)
            .bind(at as i64 * 15 - 60)
            .execute(&shop.database.pool)
            .await
            .unwrap();
    }
    futures::future::join_all(orders.iter().map(|order| shop.pay("alice", order, "tok_visa"))).await;
    let mut paid = 0;
    for order in &orders {
        let ended = crate::shop::eventually("it has ended", async || {
            let order = shop.get("alice", "buyer", order).await.unwrap();
            matches!(order.state(), OrderState::Confirmed | OrderState::Expired).then_some(order)
        })
        .await;
        if ended.state() == OrderState::Confirmed {
            assert_eq!(ended.payment_state(), OrderPaymentState::Paid);
            paid += 1;
        } else {
            assert_ne!(ended.payment_state(), OrderPaymentState::Paid);
        }
    }
    assert!(paid < 24, "none of them came too late");
    assert_eq!((shop.bank.captures() as i64, shop.bank.kept()), (paid, 1_999 * paid));
    assert!(shop.bank.payments().iter().all(|payment| payment.state() != PaymentState::Authorized));
}
