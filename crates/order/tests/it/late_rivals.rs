//! Late money that somebody else is at too: a saga, a person, another instance, or a peer with a fault.

use std::time::Duration;

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{OrderPaymentState, OrderState, ReviewResolution};
use stampede_proto::payment::v1::{PaymentEventKind, PaymentState};
use uuid::Uuid;

use crate::late::expired;
use crate::shop::{Shop, eventually, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_is_asked_for_rarely_is_closed_all_the_same_when_its_session_ends() {
    let shop = Shop::with(|config| config.session_grace = Duration::from_secs(3)).await;
    let order = shop.tee("k1").await;
    let over = async {
        eventually("the bank does not know", async || {
            // As if it had been asked for long, so that it is asked once a minute: next in a second, and its session ends soon.
            let slow = "UPDATE saga SET attempt = 20, next_at = now() + interval '1 second'
                        WHERE unknown_since IS NOT NULL AND claim IS NULL";
            let slowed = sqlx::query(slow).execute(&shop.database.pool).await.unwrap().rows_affected() == 1;
            slowed.then_some(())
        })
        .await;
        shop.time_is_over(&order).await;
    };
    let _ = tokio::join!(shop.pay("alice", &order, "tok_unknown"), over);
    eventually("it is let go", async || (shop.bank.trouble.calls("void") > 0).then_some(())).await;
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Pending));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_a_saga_is_about_to_find_is_refunded_by_the_saga_and_by_nobody_else() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    let order = shop.get("alice", "buyer", &order).await.unwrap();
    shop.bank.trouble.close("void");
    let meanwhile = async {
        eventually("it is being let go", async || (shop.bank.trouble.calls("void") > 0).then_some(())).await;
        shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
        let asked = shop.bank.trouble.calls("get_payment");
        eventually("its money was found", async || {
            shop.time_to_ask().await;
            (shop.bank.trouble.calls("get_payment") > asked + 2).then_some(())
        })
        .await;
        assert_eq!(shop.bank.trouble.calls("refund"), 0);
        shop.bank.trouble.open("void");
    };
    let (_, ()) = tokio::join!(shop.cancel("alice", &order), meanwhile);
    let ended = shop.reaches(&order, OrderState::Cancelled).await;
    assert_eq!(ended.payment_state(), OrderPaymentState::Refunded);
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.reviews().await.len()), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_a_person_let_go_by_hand_is_watched_like_any_other() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.warehouse.expire(&order.reservation_id);
    shop.bank.trouble.refuse("void", ErrorReason::PaymentConflict);
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_STATE");
    let parked = shop.reaches(&order, OrderState::ManualReview).await;
    assert_eq!(shop.count("given_up_payment").await, 0);
    shop.warehouse.sell_out();
    shop.bank.trouble.mend("void");
    let ended = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::StepDone).await.unwrap();
    assert_eq!((ended.state(), ended.payment_state()), (OrderState::Expired, OrderPaymentState::Voided));
    // The provider captures it all the same.
    shop.bank.money_appears(&parked.payment_id, PaymentState::Captured);
    eventually("it is back", async || {
        shop.time_to_ask().await;
        (shop.told(&order).await.last()? == "order.refunded_late").then_some(())
    })
    .await;
    assert_eq!(shop.bank.kept(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_inventorys_is_no_reason_to_give_a_good_sale_back() {
    let shop = Shop::open().await;
    let order = expired(&shop).await;
    shop.warehouse.trouble.refuse("reserve_stock again", ErrorReason::InvalidArgument);
    shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
    eventually("it was tried twice", async || {
        shop.time_to_ask().await;
        (shop.warehouse.trouble.calls("reserve_stock again") > 1).then_some(())
    })
    .await;
    assert_eq!(shop.bank.trouble.calls("refund"), 0);
    shop.warehouse.trouble.mend("reserve_stock again");
    eventually("it goes on", async || {
        shop.time_to_ask().await;
        let order = shop.get("alice", "buyer", &order).await.unwrap();
        (order.state() == OrderState::Confirmed).then_some(())
    })
    .await;
    assert_eq!(shop.bank.kept(), 1_999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_costs_nothing_leaves_no_payment_to_be_watched() {
    let shop = Shop::open().await;
    shop.warehouse.sells("GIFT", 0, "EUR");
    let order = shop.create("alice", "k1", crate::shop::want(&[("GIFT", "", 1)])).await.unwrap();
    shop.warehouse.expire(&order.reservation_id);
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_EXPIRED");
    assert_eq!(shop.count("given_up_payment").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_at_one_late_payment_give_it_back_or_use_it_once() {
    let shop = Shop::open().await;
    let _neighbour = shop.neighbour().await;
    let (back, used) = (expired(&shop).await, {
        let order = shop.tee("k2").await;
        assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
        shop.time_is_over(&order).await;
        shop.reaches(&order, OrderState::Expired).await
    });
    let cancelled = shop.tee("k3").await;
    assert_eq!(reason(shop.pay("alice", &cancelled, "tok_declined").await), "PAYMENT_DECLINED");
    let cancelled = shop.cancel("alice", &cancelled).await.unwrap();
    // Answers are lost, and both are told to look again and again while the other one is at it.
    shop.bank.trouble.lose("refund", 4);
    shop.warehouse.trouble.lose("reserve_stock", 2);
    let all = [&back, &used, &cancelled];
    for order in all {
        shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
    }
    for _ in 0..3 {
        for order in all {
            shop.payment_tells(Uuid::now_v7(), &order.payment_id, order, PaymentEventKind::Captured).await;
        }
    }
    eventually("all of it is told", async || {
        shop.time_to_ask().await;
        let told = shop.told(&cancelled).await.last()? == "order.refunded_late";
        (told && shop.count("inbox").await == 9).then_some(())
    })
    .await;
    for order in [&back, &used] {
        shop.reaches(order, OrderState::Confirmed).await;
        assert_eq!(shop.told(order).await, ["order.placed", "order.expired", "order.confirmed"]);
    }
    assert_eq!(shop.told(&cancelled).await, ["order.placed", "order.cancelled", "order.refunded_late"]);
    assert_eq!((shop.bank.refunds(), shop.bank.kept()), (1, 2 * 1_999));
}
