//! The process dies at every point between two things that must both happen. Buyers try again, the process comes back, and each
//! order ends as if nothing had happened: bought once or undone once.

use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{Order, OrderPaymentState, OrderState, OrderStockState, ReturnState};
use stampede_proto::payment::v1::PaymentState;

use crate::parcels::new_id;
use crate::process::Process;
use crate::shop::{Shop, eventually, want};

/// Nothing expires in these tests unless it is told to.
const LONG_MS: u32 = 900_000;

/// What a buyer does who gets no answer: the same again.
async fn place(shop: &Shop, key: &str) -> Order {
    eventually("the order is placed", async || shop.create("alice", key, want(&[("TEE", "", 1)])).await.ok())
        .await
}

async fn buy(shop: &Shop, order: &Order) -> Order {
    eventually("the order is paid", async || {
        shop.pay("alice", order, "tok_visa").await.ok().filter(|order| order.state() == OrderState::Confirmed)
    })
    .await
}

async fn undo(shop: &Shop, order: &Order) -> Order {
    eventually("the order is cancelled", async || {
        shop.cancel("alice", order).await.ok().filter(|order| order.state() == OrderState::Cancelled)
    })
    .await
}

/// The order at rest, asked until the process is there to answer.
async fn seen(shop: &Shop, order: &Order, state: OrderState) -> Order {
    eventually(state.as_str_name(), async || {
        shop.get("alice", "buyer", order).await.ok().filter(|order| order.state() == state)
    })
    .await
}

async fn nothing_is_left_to_do(shop: &Shop) {
    eventually("no saga is left", async || (shop.count("saga").await == 0).then_some(())).await;
}

async fn dies_while_buying(points: &[&str]) {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    for (bought, point) in (1..).zip(points) {
        process.start(Some(point)).await;
        let buying = async {
            let order = place(&shop, point).await;
            buy(&shop, &order).await
        };
        let (paid, ()) = tokio::join!(buying, process.dies_and_comes_back());
        assert_eq!(
            (paid.payment_state(), paid.stock_state()),
            (OrderPaymentState::Paid, OrderStockState::Committed),
            "{point}"
        );
        assert_eq!((shop.bank.captures(), shop.bank.kept()), (bought, 1_999 * bought as i64), "{point}");
        assert_eq!(shop.warehouse.floor.lock().unwrap().holds.len(), bought, "{point}");
        assert_eq!(shop.told(&paid).await, ["order.placed", "order.confirmed"], "{point}");
    }
    nothing_is_left_to_do(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_placing_or_authorising_has_sold_once() {
    dies_while_buying(&[
        "after_reserve",
        "after_insert",
        "after_pay_begun",
        "before_authorize",
        "after_authorize",
        "written_authorize",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_committing_or_capturing_has_sold_once() {
    dies_while_buying(&[
        "before_commit",
        "after_commit",
        "written_commit",
        "before_capture",
        "after_capture",
        "written_capture",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_undoing_a_paid_order_has_refunded_once() {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    let points = [
        "after_cancel_begun",
        "before_refund",
        "after_refund",
        "written_refund",
        "before_return",
        "after_return",
        "written_return",
    ];
    for (undone, point) in (1..).zip(points) {
        process.start(Some(point)).await;
        let order = place(&shop, point).await;
        buy(&shop, &order).await;
        let (cancelled, ()) = tokio::join!(undo(&shop, &order), process.dies_and_comes_back());
        assert_eq!(
            (cancelled.payment_state(), cancelled.stock_state()),
            (OrderPaymentState::Refunded, OrderStockState::Returned),
            "{point}"
        );
        assert_eq!(
            (shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returns()),
            (undone, 0, undone),
            "{point}"
        );
        assert_eq!(
            shop.told(&order).await,
            ["order.placed", "order.confirmed", "order.cancelled"],
            "{point}"
        );
    }
    nothing_is_left_to_do(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_refunding_a_return_has_refunded_and_restocked_once() {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    let points = [
        "after_return_received",
        "before_return_refund",
        "after_return_refund",
        "written_return_refund",
        "before_restock",
        "after_restock",
        "written_restock",
    ];
    for (returned, point) in (1..).zip(points) {
        process.start(Some(point)).await;
        let order = place(&shop, point).await;
        buy(&shop, &order).await;
        let (shipment, back) = (new_id(), new_id());
        shop.ship(&order, &shipment, &[]).await.unwrap();
        shop.deliver(&order, &shipment).await.unwrap();
        shop.ask_back(&order, &back, &[("TEE", "", 1)]).await.unwrap();
        shop.decide_return(&back, ReturnState::Approved, false).await.unwrap();
        let receiving = async {
            eventually("the return is refunded", async || {
                let received = shop.decide_return(&back, ReturnState::Received, true).await.ok();
                received.filter(|back| back.state() == ReturnState::Refunded)
            })
            .await
        };
        let (_, ()) = tokio::join!(receiving, process.dies_and_comes_back());
        let after = shop.get("alice", "buyer", &order).await.unwrap();
        assert_eq!(
            (after.state(), after.payment_state()),
            (OrderState::Delivered, OrderPaymentState::Refunded),
            "{point}"
        );
        assert_eq!((shop.bank.refunds(), shop.bank.kept()), (returned, 0), "{point}");
        assert_eq!(shop.warehouse.returned("TEE") as usize, returned, "{point}");
        assert_eq!(
            shop.told(&order).await[4..],
            ["return.requested", "return.resolved", "return.resolved", "return.refunded"],
            "{point}"
        );
    }
    nothing_is_left_to_do(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_undoing_an_unpaid_order_has_released_it() {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    for point in ["after_cancel_begun", "before_release", "after_release", "written_release"] {
        process.start(Some(point)).await;
        let order = place(&shop, point).await;
        let (cancelled, ()) = tokio::join!(undo(&shop, &order), process.dies_and_comes_back());
        assert_eq!(cancelled.stock_state(), OrderStockState::Released, "{point}");
        assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released), "{point}");
        assert_eq!(shop.told(&order).await, ["order.placed", "order.cancelled"], "{point}");
    }
    nothing_is_left_to_do(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_letting_money_go_keeps_none_of_it() {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    for point in ["before_void", "after_void", "written_void"] {
        process.start(Some(point)).await;
        let order = place(&shop, point).await;
        shop.warehouse.expire(&order.reservation_id);
        let paying = async {
            let _ = shop.pay("alice", &order, "tok_visa").await;
            seen(&shop, &order, OrderState::Expired).await
        };
        let (expired, ()) = tokio::join!(paying, process.dies_and_comes_back());
        assert_eq!(expired.payment_state(), OrderPaymentState::Voided, "{point}");
        assert_eq!(shop.bank.kept(), 0, "{point}");
        assert_eq!(shop.told(&order).await, ["order.placed", "order.expired"], "{point}");
    }
    nothing_is_left_to_do(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_expiring_has_released_once() {
    let (shop, mut process) = Process::beside(300).await;
    for point in ["before_release", "after_release", "written_release"] {
        process.start(Some(point)).await;
        let order = place(&shop, point).await;
        process.dies_and_comes_back().await;
        seen(&shop, &order, OrderState::Expired).await;
        assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released), "{point}");
        assert_eq!(shop.told(&order).await, ["order.placed", "order.expired"], "{point}");
    }
    nothing_is_left_to_do(&shop).await;
}

/// An order whose payment was declined and which has expired since.
async fn given_up(shop: &Shop, key: &str) -> Order {
    let order = place(shop, key).await;
    eventually("it is declined", async || {
        let declined = shop.pay("alice", &order, "tok_declined").await.err()?;
        (stampede_kit::refusal::reason_of(&declined).as_deref() == Some("PAYMENT_DECLINED")).then_some(())
    })
    .await;
    shop.time_is_over(&order).await;
    seen(shop, &order, OrderState::Expired).await
}

/// Asks about the late money until it has come to its end.
async fn ends_late(shop: &Shop, order: &Order, last: &str) {
    eventually(last, async || {
        shop.time_to_ask().await;
        (shop.told(order).await.last()? == last).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_reviving_an_order_has_sold_it_once() {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    for (sold, point) in (1..).zip(["before_late_hold", "after_late_hold", "written_late_hold"]) {
        process.start(Some(point)).await;
        let order = given_up(&shop, point).await;
        shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
        let ((), ()) =
            tokio::join!(ends_late(&shop, &order, "order.confirmed"), process.dies_and_comes_back());
        let revived = seen(&shop, &order, OrderState::Confirmed).await;
        assert_eq!(revived.stock_state(), OrderStockState::Committed, "{point}");
        // The hold that expired, and one more.
        assert_eq!(shop.warehouse.floor.lock().unwrap().holds.len(), 2 * sold, "{point}");
        assert_eq!((shop.bank.refunds(), shop.bank.kept()), (0, 1_999 * sold as i64), "{point}");
        assert_eq!(shop.told(&order).await, ["order.placed", "order.expired", "order.confirmed"], "{point}");
    }
    nothing_is_left_to_do(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_giving_late_money_back_has_given_it_back_once() {
    let (shop, mut process) = Process::beside(LONG_MS).await;
    for (back, point) in (1..).zip(["before_late_back", "after_late_back", "written_late_back"]) {
        process.start(Some(point)).await;
        let order = given_up(&shop, point).await;
        shop.warehouse.sell_out();
        shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
        let ((), ()) =
            tokio::join!(ends_late(&shop, &order, "order.refunded_late"), process.dies_and_comes_back());
        let told = seen(&shop, &order, OrderState::Expired).await;
        assert_eq!(told.end_reason, "PAID_TOO_LATE", "{point}");
        assert_eq!((shop.bank.refunds(), shop.bank.kept()), (back, 0), "{point}");
        assert_eq!(
            shop.told(&order).await,
            ["order.placed", "order.expired", "order.refunded_late"],
            "{point}"
        );
        assert_eq!(shop.count("given_up_payment").await, 0, "{point}");
        shop.warehouse.floor.lock().unwrap().sold_out = false;
    }
    nothing_is_left_to_do(&shop).await;
}

#[test]
fn every_point_of_every_step_is_died_at_by_name() {
    let here = include_str!("crash.rs");
    let steps =
        ["authorize", "commit", "capture", "void", "release", "refund", "return", "late_hold", "late_back"];
    for step in steps {
        for when in ["before", "after", "written"] {
            let point = format!("\"{when}_{step}\"");
            assert!(here.contains(&point), "nothing dies at {point}");
        }
    }
}
