//! CancelOrder: undone once, whoever asks how often, and told who won where a payment was under way.

use prost::Message as _;
use stampede_proto::event::v1::Event;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{OrderPaymentState, OrderState, OrderStockState};
use stampede_proto::payment::v1::PaymentState;

use crate::shop::{Shop, eventually, fact, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaid_order_gives_its_stock_back() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let cancelled = shop.cancel("alice", &order).await.unwrap();
    assert_eq!(
        (cancelled.state(), cancelled.stock_state()),
        (OrderState::Cancelled, OrderStockState::Released)
    );
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.cancelled"]);
    assert_eq!(shop.cancel("alice", &order).await.unwrap(), cancelled);
    let paid = shop.pay("alice", &order, "tok_visa").await;
    assert_eq!((fact(&paid, "state"), fact(&paid, "event")), ("CANCELLED".into(), "PAYMENT_BEGUN".into()));
    assert_eq!(reason(paid), "ORDER_STATE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_6_a_paid_order_is_refunded_and_returned_once_however_often_it_is_cancelled() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.bank.trouble.lose("refund", 2);
    shop.warehouse.trouble.lose("return_stock", 2);
    let (one, two) = tokio::join!(shop.cancel("alice", &order), shop.cancel("alice", &order));
    assert_eq!(one.as_ref().unwrap().state(), OrderState::Cancelled);
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returns()), (1, 0, 1));
    let after = shop.cancel("alice", &order).await.unwrap();
    assert_eq!(
        (after.payment_state(), after.stock_state()),
        (OrderPaymentState::Refunded, OrderStockState::Returned)
    );
    assert_eq!(shop.told(&order).await, ["order.placed", "order.confirmed", "order.cancelled"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_comes_before_the_commit_wins_and_the_money_is_let_go() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.close("authorize");
    let cancelling = async {
        eventually("the payment is under way", async || {
            (shop.bank.trouble.calls("authorize") > 0).then_some(())
        })
        .await;
        let released = async {
            eventually("the stock is released", async || {
                (shop.warehouse.hold(&order.reservation_id) == Some(ReservationState::Released)).then_some(())
            })
            .await;
            shop.bank.trouble.open("authorize");
        };
        tokio::join!(shop.cancel("alice", &order), released).0
    };
    let (paid, cancelled) = tokio::join!(shop.pay("alice", &order, "tok_visa"), cancelling);
    assert_eq!(reason(paid), "ORDER_STATE");
    assert_eq!(cancelled.unwrap().state(), OrderState::Cancelled);
    assert!(shop.bank.payments().iter().all(|payment| payment.state() == PaymentState::Voided));
    assert_eq!(shop.bank.kept(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_has_won_does_not_wait_for_what_the_bank_does_not_know() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let cancelling = async {
        eventually("the bank does not know", async || {
            // As if it had been asked for long, so that it is asked once a minute.
            let slow =
                sqlx::query("UPDATE saga SET attempt = 20 WHERE unknown_since IS NOT NULL AND claim IS NULL");
            let slowed = slow.execute(&shop.database.pool).await.unwrap().rows_affected() == 1;
            slowed.then_some(())
        })
        .await;
        shop.cancel("alice", &order).await
    };
    let (_, cancelled) = tokio::join!(shop.pay("alice", &order, "tok_unknown"), cancelling);
    assert_eq!(cancelled.unwrap().state(), OrderState::Cancelling);
    shop.bank.find_out();
    sqlx::query("UPDATE saga SET next_at = now()").execute(&shop.database.pool).await.unwrap();
    let ended = shop.reaches(&order, OrderState::Cancelled).await;
    assert_eq!((ended.payment_state(), shop.bank.kept()), (OrderPaymentState::Voided, 0));
    // Why is told in the canceller's words, though it was the payment's saga that ended it.
    let payload: Vec<u8> = sqlx::query_scalar("SELECT payload FROM outbox WHERE subject = 'order.cancelled'")
        .fetch_one(&shop.database.pool)
        .await
        .unwrap();
    let Some(Fact::OrderCancelled(told)) = Event::decode(payload.as_slice()).unwrap().fact else { panic!() };
    assert_eq!(told.reason, "changed my mind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_meets_a_saga_left_to_a_person_is_told_so_at_once() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    sqlx::query("INSERT INTO saga (order_id, step, parked_at, last_error) VALUES ($1::uuid, 'RELEASE_EXPIRED', now(), 'lost')")
        .bind(&order.order_id)
        .execute(&shop.database.pool)
        .await
        .unwrap();
    let asked_at = std::time::Instant::now();
    assert_eq!(reason(shop.cancel("alice", &order).await), "ORDER_BUSY");
    // Not at the end of its deadline.
    assert!(asked_at.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_comes_after_the_commit_undoes_a_paid_order() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.close("capture");
    let cancelling = async {
        eventually("the stock is committed", async || (shop.bank.trouble.calls("capture") > 0).then_some(()))
            .await;
        let lost = async {
            eventually("the release was refused", async || {
                (shop.warehouse.trouble.calls("release_reservation") > 0).then_some(())
            })
            .await;
            shop.bank.trouble.open("capture");
        };
        tokio::join!(shop.cancel("alice", &order), lost).0
    };
    let (_, cancelled) = tokio::join!(shop.pay("alice", &order, "tok_visa"), cancelling);
    let cancelled = cancelled.unwrap();
    assert_eq!(
        (cancelled.state(), cancelled.payment_state()),
        (OrderState::Cancelled, OrderPaymentState::Refunded)
    );
    assert_eq!((shop.bank.kept(), shop.bank.refunds(), shop.warehouse.returns()), (0, 1, 1));
}
