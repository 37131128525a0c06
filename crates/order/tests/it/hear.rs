//! Outcomes of payments arrive by event, and without events by asking. An event that comes twice or out of order does nothing more.

use std::time::Duration;

use stampede_proto::order::v1::{Order, OrderState};
use stampede_proto::payment::v1::PaymentEventKind;
use uuid::Uuid;

use crate::shop::{Shop, eventually};

/// An order whose payment is unknown and whose saga would ask again in an hour.
async fn waiting(shop: &Shop) -> Order {
    let order = shop.tee("k1").await;
    // The buyer goes away as soon as the bank was asked.
    tokio::select! {
        paid = shop.pay("alice", &order, "tok_unknown") => panic!("{paid:?}"),
        () = eventually("it is asked for", async || (shop.bank.trouble.calls("authorize") > 0).then_some(())) => {}
    }
    eventually("the saga waits", async || {
        let put_off = sqlx::query(
            "UPDATE saga SET next_at = now() + interval '1 hour' WHERE claim IS NULL AND attempt > 0",
        )
        .execute(&shop.database.pool)
        .await
        .unwrap();
        (put_off.rows_affected() == 1).then_some(())
    })
    .await;
    shop.bank.find_out();
    shop.get("alice", "buyer", &order).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_moves_the_saga_that_waits_for_it_at_once() {
    let shop = Shop::open().await;
    let order = waiting(&shop).await;
    shop.payment_tells(Uuid::now_v7(), &order.payment_id, &order, PaymentEventKind::Authorized).await;
    shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!((shop.bank.payments().len(), shop.bank.captures()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_twice_or_in_any_order_end_in_the_same_order() {
    let shop = Shop::open().await;
    let order = waiting(&shop).await;
    let (authorized, captured) = (Uuid::now_v7(), Uuid::now_v7());
    for (id, kind) in [
        (captured, PaymentEventKind::Captured),
        (authorized, PaymentEventKind::Authorized),
        (Uuid::now_v7(), PaymentEventKind::Authorized),
        (Uuid::now_v7(), PaymentEventKind::Voided),
        (Uuid::now_v7(), PaymentEventKind::Captured),
    ] {
        shop.payment_tells(id, &order.payment_id, &order, kind).await;
    }
    eventually("all were heard", async || (shop.count("inbox").await == 5).then_some(())).await;
    shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!((shop.bank.kept(), shop.bank.captures(), shop.bank.refunds()), (1_999, 1, 0));
    assert_eq!((shop.count("saga").await, shop.count("given_up_payment").await), (0, 0));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.confirmed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_an_order_still_ends_by_asking() {
    let shop = Shop::without_nats(Duration::from_mins(15)).await;
    let order = shop.tee("k1").await;
    let finding_out = async {
        eventually("it is asked again", async || (shop.bank.trouble.calls("authorize") >= 3).then_some(()))
            .await;
        shop.bank.find_out();
    };
    let (paid, ()) = tokio::join!(shop.pay("alice", &order, "tok_unknown"), finding_out);
    assert_eq!(paid.unwrap().state(), OrderState::Confirmed);
    assert_eq!(shop.told(&order).await, ["order.placed", "order.confirmed"]);
}
