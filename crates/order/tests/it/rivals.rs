//! Two processes of the order service on one database: whoever takes up an order, each effect happens once.

use futures::future::{join, join_all};
use stampede_proto::order::v1::{
    CancelOrderRequest, Order, OrderPaymentState, OrderState, OrderStockState, PayOrderRequest,
};
use stampede_proto::payment::v1::{CardToken, PaymentMethod, payment_method};

use crate::shop::{Shop, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_fight_for_the_same_orders_pay_and_undo_each_once() {
    let shop = Shop::open().await;
    let rival = shop.neighbour().await;
    let mut orders = Vec::new();
    for key in 0..10 {
        orders.push(shop.tee(&format!("k{key}")).await);
    }
    // Answers are lost all the time, so that sagas change hands.
    for step in ["authorize", "capture", "refund"] {
        shop.bank.trouble.lose(step, 8);
    }
    for step in ["commit_reservation", "return_stock"] {
        shop.warehouse.trouble.lose(step, 8);
    }
    let pay = |order: &Order| {
        let method = payment_method::Method::Card(CardToken { token: "tok_visa".into() });
        let method = Some(PaymentMethod { method: Some(method) });
        let message = PayOrderRequest { order_id: order.order_id.clone(), method };
        let (mut rival, request) = (rival.clone(), shop.request("alice", "buyer", message));
        async move { rival.pay_order(request).await }
    };
    join(
        join_all(orders.iter().map(|order| shop.pay("alice", order, "tok_visa"))),
        join_all(orders.iter().map(pay)),
    )
    .await;
    for order in &orders {
        shop.reaches(order, OrderState::Confirmed).await;
    }
    assert_eq!((shop.bank.captures(), shop.bank.payments().len(), shop.bank.kept()), (10, 10, 19_990));

    let cancel = |order: &Order| {
        let message = CancelOrderRequest { order_id: order.order_id.clone(), reason: String::new() };
        let (mut rival, request) = (rival.clone(), shop.request("alice", "buyer", message));
        async move { rival.cancel_order(request).await }
    };
    join(
        join_all(orders.iter().map(|order| shop.cancel("alice", order))),
        join_all(orders.iter().map(cancel)),
    )
    .await;
    for order in &orders {
        let undone = shop.reaches(order, OrderState::Cancelled).await;
        assert_eq!(
            (undone.payment_state(), undone.stock_state()),
            (OrderPaymentState::Refunded, OrderStockState::Returned)
        );
        assert_eq!(shop.told(order).await, ["order.placed", "order.confirmed", "order.cancelled"]);
    }
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returns()), (10, 0, 10));
    eventually("no saga is left", async || (shop.count("saga").await == 0).then_some(())).await;
}
