//! Money that comes when the order has ended: held against new stock if there is some, else back with its buyer, once, and told.

use std::time::Duration;

use prost::Message as _;
use stampede_kit as kit;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::{Event, PaymentChanged};
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{Order, OrderPaymentState, OrderState};
use stampede_proto::payment::v1::{PaymentEvent, PaymentEventKind, PaymentState};
use uuid::Uuid;

use crate::shop::{Shop, eventually, reason};

impl Shop {
    /// Payment tells of its last payment, by way of the stream both services use.
    pub async fn payment_tells(&self, id: Uuid, payment: &str, order: &Order, kind: PaymentEventKind) {
        let fact = Fact::PaymentChanged(PaymentChanged {
            payment_id: payment.to_owned(),
            order_id: order.order_id.clone(),
            event: Some(PaymentEvent { kind: kind.into(), ..PaymentEvent::default() }),
            ..PaymentChanged::default()
        });
        let event =
            Event { event_id: id.to_string(), key: payment.to_owned(), fact: Some(fact), ..Event::default() };
        let told = kit::outbox::NewEvent {
            id,
            subject: "payment.told".to_owned(),
            key: payment.to_owned(),
            payload: event.encode_to_vec(),
        };
        let mut conn = self.database.pool.acquire().await.unwrap();
        kit::outbox::append(&mut conn, &[told]).await.unwrap();
    }

    /// Every payment that was given up is asked about now, as it would be in time.
    pub async fn time_to_ask(&self) {
        sqlx::query("UPDATE given_up_payment SET next_at = now()")
            .execute(&self.database.pool)
            .await
            .unwrap();
    }
}

/// An order whose payment was declined and which then expired.
pub async fn expired(shop: &Shop) -> Order {
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    shop.time_is_over(&order).await;
    shop.reaches(&order, OrderState::Expired).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_5_money_that_comes_after_the_expiry_buys_the_stock_if_it_can_be_held_again() {
    let shop = Shop::open().await;
    let order = expired(&shop).await;
    shop.bank.money_appears(&order.payment_id, PaymentState::Authorized);
    shop.payment_tells(Uuid::now_v7(), &order.payment_id, &order, PaymentEventKind::Authorized).await;
    let revived = shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!((revived.payment_state(), revived.end_reason.as_str()), (OrderPaymentState::Paid, ""));
    assert_ne!(revived.reservation_id, order.reservation_id);
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released));
    assert_eq!(shop.warehouse.hold(&revived.reservation_id), Some(ReservationState::Committed));
    assert_eq!((shop.bank.kept(), shop.bank.captures()), (1_999, 1));
    assert_eq!(shop.count("given_up_payment").await, 0);
    // Cancelled like any other, with the stock of the second hold.
    assert_eq!(shop.cancel("alice", &order).await.unwrap().state(), OrderState::Cancelled);
    assert_eq!((shop.bank.kept(), shop.warehouse.returned_of()), (0, vec![revived.reservation_id]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_5_money_that_comes_when_all_is_sold_goes_back_and_the_buyer_is_told_why() {
    let shop = Shop::open().await;
    let order = expired(&shop).await;
    shop.warehouse.sell_out();
    shop.bank.money_appears(&order.payment_id, PaymentState::Authorized);
    let event = Uuid::now_v7();
    shop.payment_tells(event, &order.payment_id, &order, PaymentEventKind::Authorized).await;
    let told = eventually("the buyer is told", async || {
        let order = shop.get("alice", "buyer", &order).await.unwrap();
        (!order.end_reason.is_empty()).then_some(order)
    })
    .await;
    assert_eq!((told.state(), told.end_reason.as_str()), (OrderState::Expired, "PAID_TOO_LATE"));
    assert!(shop.bank.payments().iter().all(|payment| payment.state() == PaymentState::Voided));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.expired", "order.refunded_late"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_5_money_captured_for_a_cancelled_order_is_refunded_once_however_often_it_is_told() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    let order = shop.cancel("alice", &order).await.unwrap();
    shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
    shop.bank.trouble.lose("refund", 1);
    for kind in [PaymentEventKind::Captured, PaymentEventKind::Authorized, PaymentEventKind::Captured] {
        shop.payment_tells(Uuid::now_v7(), &order.payment_id, &order, kind).await;
    }
    eventually("it is back", async || {
        shop.time_to_ask().await;
        (shop.told(&order).await.last()? == "order.refunded_late").then_some(())
    })
    .await;
    shop.payment_tells(Uuid::now_v7(), &order.payment_id, &order, PaymentEventKind::Captured).await;
    eventually("the last event was heard", async || (shop.count("inbox").await == 4).then_some(())).await;
    shop.time_to_ask().await;
    let asked = shop.bank.trouble.calls("get_payment");
    eventually("it was asked about", async || (shop.bank.trouble.calls("get_payment") > asked).then_some(()))
        .await;
    assert_eq!((shop.bank.refunds(), shop.bank.kept()), (1, 0));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.cancelled", "order.refunded_late"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_5_late_money_is_found_by_asking_while_nats_is_away() {
    let shop = Shop::without_nats(Duration::from_mins(15)).await;
    let order = expired(&shop).await;
    shop.warehouse.sell_out();
    shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
    eventually("it is back and told", async || {
        shop.time_to_ask().await;
        (shop.told(&order).await.last()? == "order.refunded_late").then_some(())
    })
    .await;
    assert_eq!(shop.bank.kept(), 0);
    assert_eq!(shop.bank.refunds(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_on_a_try_that_was_left_behind_goes_back_and_the_paid_order_stays_paid() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    let first = shop.get("alice", "buyer", &order).await.unwrap().payment_id;
    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.bank.money_appears(&first, PaymentState::Authorized);
    shop.payment_tells(Uuid::now_v7(), &first, &order, PaymentEventKind::Authorized).await;
    eventually("it is let go", async || {
        (shop.told(&order).await.last()? == "order.refunded_late").then_some(())
    })
    .await;
    assert_eq!(shop.bank.kept(), 1_999);
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), paid);
    let states: Vec<_> = shop.bank.payments().iter().map(|p| (p.payment_id == first, p.state())).collect();
    assert!(
        states.contains(&(true, PaymentState::Voided)) && states.contains(&(false, PaymentState::Captured))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_1_an_unknown_payment_whose_session_ends_is_let_go_and_the_order_expires_with_a_reason() {
    let shop = Shop::with(|config| config.session_grace = Duration::from_millis(300)).await;
    let order = shop.tee("k1").await;
    let over = async {
        eventually("it is asked for", async || (shop.bank.trouble.calls("authorize") > 0).then_some(()))
            .await;
        shop.time_is_over(&order).await;
    };
    let _ = tokio::join!(shop.pay("alice", &order, "tok_unknown"), over);
    eventually("it is to be let go", async || (shop.bank.trouble.calls("void") > 0).then_some(())).await;
    // The stock is not free while the provider may still take the money.
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Pending));
    shop.bank.find_out();
    let ended = shop.reaches(&order, OrderState::Expired).await;
    assert_eq!(
        (ended.payment_state(), ended.end_reason.as_str()),
        (OrderPaymentState::Voided, "PAYMENT_UNANSWERED")
    );
    assert_eq!((shop.bank.kept(), shop.bank.payments().len()), (0, 1));
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released));
}
