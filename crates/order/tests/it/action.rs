//! Buyers who have to do something at the provider first: they are told what, and the order waits for them, but not for ever.

use std::time::Duration;

use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::*;
use stampede_proto::payment::v1::{PaymentEventKind, PaymentState};

use crate::shop::{Shop, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_is_told_what_to_do_and_the_order_goes_on_when_it_is_heard_that_he_did_it() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    for _ in 0..2 {
        let asked = shop.pay("alice", &order, "tok_3ds").await.unwrap();
        assert_eq!(
            (asked.state(), asked.payment_state()),
            (OrderState::AwaitingPayment, OrderPaymentState::Pending)
        );
        assert_eq!(asked.action.unwrap().redirect_url, "https://psp/3ds");
    }
    let read = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!(read.action, None, "only who pays is told");
    shop.bank.buyers_act();
    let payment = shop.bank.payments()[0].payment_id.clone();
    shop.payment_tells(uuid::Uuid::now_v7(), &payment, &order, PaymentEventKind::Authorized).await;
    let paid = shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!((shop.bank.captures(), shop.bank.kept()), (1, paid.total.unwrap().amount_minor));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_buyer_does_nothing_expires_after_the_session_is_closed() {
    let shop = Shop::with(|config| config.session_grace = Duration::from_millis(300)).await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_3ds").await.unwrap();
    shop.time_is_over(&order).await;
    let ended = shop.reaches(&order, OrderState::Expired).await;
    assert_eq!((ended.payment_state(), ended.end_reason.as_str()), (OrderPaymentState::Voided, ""));
    assert_eq!(shop.bank.payments()[0].state(), PaymentState::Voided);
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Released));
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_EXPIRED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_does_not_wait_for_the_buyer() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_3ds").await.unwrap();
    shop.cancel("alice", &order).await.unwrap();
    let ended = shop.reaches(&order, OrderState::Cancelled).await;
    assert_eq!(ended.stock_state(), OrderStockState::Released);
    assert_eq!((shop.bank.payments()[0].state(), shop.bank.kept()), (PaymentState::Voided, 0));
}
