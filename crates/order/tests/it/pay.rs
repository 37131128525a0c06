//! PayOrder: money and stock both, or neither.

use std::collections::HashSet;

use stampede_order::pay::MAX_ATTEMPTS;
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::*;
use stampede_proto::payment::v1::{Alipay, CardToken, PaymentMethod, PaymentState, payment_method};
use uuid::Uuid;

use crate::shop::{Shop, eventually, fact, reason};

fn assert_confirmed(shop: &Shop, order: &Order) {
    assert_eq!(order.state(), OrderState::Confirmed);
    assert_eq!(
        (order.payment_state(), order.stock_state()),
        (OrderPaymentState::Paid, OrderStockState::Committed)
    );
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Committed));
    assert_eq!((shop.bank.captures(), shop.bank.kept()), (1, order.total.as_ref().unwrap().amount_minor));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paid_order_is_confirmed_with_its_money_and_its_stock() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_confirmed(&shop, &paid);
    assert_eq!(shop.told(&order).await, ["order.placed", "order.confirmed"]);
    assert_eq!(shop.count("saga").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paying_a_paid_order_answers_with_it_and_takes_nothing_more() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_eq!(shop.pay("alice", &order, "tok_visa").await.unwrap(), paid);
    assert_confirmed(&shop, &paid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_payment_leaves_the_order_to_be_paid_another_way() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let declined = shop.pay("alice", &order, "tok_declined").await;
    assert_eq!(fact(&declined, "decline"), "insufficient_funds");
    assert_eq!(reason(declined), "PAYMENT_DECLINED");
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!(
        (after.state(), after.payment_state()),
        (OrderState::AwaitingPayment, OrderPaymentState::Unpaid)
    );
    assert_eq!(after.decline, "insufficient_funds");

    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_confirmed(&shop, &paid);
    assert_ne!(paid.payment_id, after.payment_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_1_answers_lost_after_the_charge_end_in_one_charge_and_a_confirmed_order() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.lose("authorize", 2);
    shop.warehouse.trouble.lose("commit_reservation", 2);
    shop.bank.trouble.lose("capture", 2);
    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_confirmed(&shop, &paid);
    assert_eq!(shop.bank.payments().len(), 1);
    assert_eq!(shop.bank.trouble.calls("capture"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_1_an_unknown_payment_is_asked_under_its_own_id_until_it_is_known() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let paying = shop.pay("alice", &order, "tok_unknown");
    let finding_out = async {
        crate::shop::eventually("it is asked again", async || {
            (shop.bank.trouble.calls("authorize") >= 3).then_some(())
        })
        .await;
        shop.bank.find_out();
    };
    let (paid, ()) = tokio::join!(paying, finding_out);
    assert_confirmed(&shop, &paid.unwrap());
    assert_eq!(shop.bank.payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_payments_at_once_one_takes_the_money_and_all_are_told() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let answers = futures::future::join_all((0..8).map(|_| shop.pay("alice", &order, "tok_visa"))).await;
    let versions: HashSet<i64> = answers.iter().map(|answer| answer.as_ref().unwrap().version).collect();
    assert_eq!(versions.len(), 1);
    assert_confirmed(&shop, answers[0].as_ref().unwrap());
    assert_eq!(shop.bank.payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_4_a_hold_that_ended_before_the_commit_costs_the_buyer_nothing() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.warehouse.expire(&order.reservation_id);
    shop.bank.trouble.lose("void", 2);
    shop.warehouse.trouble.lose("release_reservation", 2);
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_EXPIRED");
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!((after.state(), after.payment_state()), (OrderState::Expired, OrderPaymentState::Voided));
    assert_eq!(shop.bank.kept(), 0);
    assert_eq!(shop.bank.payments()[0].state(), PaymentState::Voided);
    assert_eq!(shop.told(&order).await, ["order.placed", "order.expired"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_not_to_be_had_after_the_commit_gives_the_stock_back() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.refuse_captures();
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "PAYMENT_DECLINED");
    let after = shop.reaches(&order, OrderState::Cancelled).await;
    assert_eq!(
        (after.payment_state(), after.stock_state()),
        (OrderPaymentState::Voided, OrderStockState::Returned)
    );
    assert_eq!((shop.warehouse.returns(), shop.bank.kept()), (1, 0));
    assert_eq!(shop.bank.payments()[0].state(), PaymentState::Voided);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_costs_nothing_is_confirmed_without_a_payment() {
    let shop = Shop::open().await;
    shop.warehouse.sells("GIFT", 0, "EUR");
    let order = shop.create("alice", "k1", crate::shop::want(&[("GIFT", "", 1)])).await.unwrap();
    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_eq!(paid.state(), OrderState::Confirmed);
    assert!(shop.bank.payments().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_pays_or_sees_an_order_of_somebody_else() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("bob", &order, "tok_visa").await), "ORDER_NOT_FOUND");
    assert_eq!(reason(shop.get("bob", "buyer", &order).await), "ORDER_NOT_FOUND");
    assert_eq!(reason(shop.cancel("bob", &order).await), "ORDER_NOT_FOUND");
    assert_eq!(shop.get("carol", "staff", &order).await.unwrap().order_id, order.order_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sees_everybodys_orders_and_shops_himself_does_nothing_to_theirs() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    let unpaid = shop.tee("k2").await;
    for roles in ["buyer auditor", "buyer staff"] {
        assert_eq!(shop.get("eve", roles, &order).await.unwrap().order_id, order.order_id);
        let id = unpaid.order_id.clone();
        let card = payment_method::Method::Card(CardToken { token: "tok_visa".into() });
        let method = Some(PaymentMethod { method: Some(card) });
        let pay = shop.request("eve", roles, PayOrderRequest { order_id: id.clone(), method });
        assert_eq!(reason(shop.orders.clone().pay_order(pay).await), "ORDER_NOT_FOUND", "{roles}");
        let cancel = CancelOrderRequest { order_id: id, reason: String::new() };
        let cancel = shop.request("eve", roles, cancel);
        assert_eq!(reason(shop.orders.clone().cancel_order(cancel).await), "ORDER_NOT_FOUND", "{roles}");
        let back = RequestReturnRequest {
            order_id: order.order_id.clone(),
            return_id: crate::parcels::new_id(),
            lines: vec![LineItem { sku_id: "TEE".into(), quantity: 1, ..LineItem::default() }],
            reason: "too small".into(),
        };
        let back = shop.request("eve", roles, back);
        assert_eq!(reason(shop.orders.clone().request_return(back).await), "ORDER_NOT_FOUND", "{roles}");
    }
    assert_eq!(shop.get("alice", "buyer", &unpaid).await.unwrap(), unpaid);
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().returns.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_tried_to_be_paid_so_often_and_no_more() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    }
    let refused = shop.pay("alice", &order, "tok_visa").await;
    assert_eq!(fact(&refused, "limit"), MAX_ATTEMPTS.to_string());
    assert_eq!(reason(refused), "PAYMENT_ATTEMPTS_EXCEEDED");
    assert_eq!(shop.bank.payments().len(), MAX_ATTEMPTS as usize);
    // It is as unpaid as before: it may be cancelled, and ends by itself.
    assert_eq!(shop.cancel("alice", &order).await.unwrap().state(), OrderState::Cancelled);
}

/// An order whose stock is committed and whose capture is about to be asked for, while somebody else does something to the payment.
async fn pay_while(shop: &Shop, order: &Order, meanwhile: impl FnOnce(&Shop)) {
    shop.bank.trouble.close("capture");
    let other = async {
        eventually("the capture is asked for", async || {
            (shop.bank.trouble.calls("capture") > 0).then_some(())
        })
        .await;
        meanwhile(shop);
        shop.bank.trouble.open("capture");
    };
    let _ = tokio::join!(shop.pay("alice", order, "tok_visa"), other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_somebody_else_has_captured_confirms_the_order_when_it_is_all_of_it() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    pay_while(&shop, &order, |shop| shop.bank.capture_by_hand()).await;
    shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!(shop.bank.kept(), 1_999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_somebody_else_has_captured_in_part_confirms_nothing() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    pay_while(&shop, &order, |shop| shop.bank.capture_part_by_hand(999)).await;
    shop.reaches(&order, OrderState::ManualReview).await;
    let why = &shop.reviews().await[0].reason;
    assert_eq!(why, "CAPTURE was refused: the payment keeps 999 of 1999 EUR (minor units)");
    // A person cannot confirm it either.
    let confirmed = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Confirm).await;
    assert_eq!(reason(confirmed), "REVIEW_IMPOSSIBLE");
    let undone = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Cancel).await.unwrap();
    assert_eq!((undone.state(), shop.bank.kept()), (OrderState::Cancelled, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_was_captured_and_given_back_before_its_answer_confirms_nothing() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.undo_captures();
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_STATE");
    let parked = shop.reaches(&order, OrderState::ManualReview).await;
    assert_ne!(parked.payment_state(), OrderPaymentState::Paid);
    let undone = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Cancel).await.unwrap();
    assert_eq!((undone.state(), shop.bank.refunds()), (OrderState::Cancelled, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_has_given_back_is_given_back() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.bank.refund_by_hand();
    assert_eq!(shop.cancel("alice", &order).await.unwrap().state(), OrderState::Cancelled);
    assert_eq!((shop.bank.kept(), shop.bank.refunds(), shop.warehouse.returns()), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_with_a_nul_is_refused_as_the_callers_mistake_and_changes_nothing() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let session = payment_method::Method::Alipay(Alipay { session: "a\0b".into() });
    assert_eq!(reason(shop.pay_by("alice", &order, session).await), "INVALID_ARGUMENT");
    assert_eq!(reason(shop.cancel_because("alice", &order, "a\0b").await), "INVALID_ARGUMENT");
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), order);
}
