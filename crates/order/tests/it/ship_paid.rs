//! Money that is taken as units leave: held when the order is confirmed, taken before each shipment, asked for again when it is refused.

use futures::future::join_all;
use stampede_order::domain::order::CaptureAt;
use stampede_proto::order::v1::*;

use crate::parcels::new_id;
use crate::shop::{Shop, eventually, fact, reason};

async fn shop() -> Shop {
    Shop::with(|config| config.capture_at = CaptureAt::Shipment).await
}

fn uncaptured(order: &Order) -> i64 {
    order.uncaptured.as_ref().unwrap().amount_minor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_money_of_each_shipment_is_taken_before_it_leaves() {
    let shop = shop().await;
    let order = shop.bought("k1", &[("TEE", "", 3), ("MUG", "", 1)]).await;
    assert_eq!(
        (order.state(), order.payment_state()),
        (OrderState::Confirmed, OrderPaymentState::Authorized)
    );
    assert_eq!((uncaptured(&order), shop.bank.kept()), (3 * 1_999 + 500, 0));
    let id = new_id();
    for _ in 0..2 {
        let part = shop.ship(&order, &id, &[("TEE", "", 2)]).await.unwrap();
        assert_eq!((part.state(), part.shipments.len()), (OrderState::Fulfilling, 1));
        assert_eq!((uncaptured(&part), shop.bank.kept()), (1_999 + 500, 2 * 1_999));
    }
    let rest = shop.ship(&order, &new_id(), &[]).await.unwrap();
    assert_eq!((rest.state(), rest.payment_state()), (OrderState::Shipped, OrderPaymentState::Paid));
    assert_eq!((uncaptured(&rest), shop.bank.kept()), (0, 3 * 1_999 + 500));
    assert_eq!(shop.bank.captures(), 2);
    assert_eq!(shop.told(&order).await[2..], ["order.shipped", "order.shipped"]);
    assert_eq!(shop.count("saga_shipment").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_3_a_second_shipment_whose_money_is_refused_stays_and_leaves_when_it_is_given() {
    let shop = shop().await;
    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    shop.ship(&order, &new_id(), &[("TEE", "", 1)]).await.unwrap();
    shop.bank.refuse_captures();
    let second = new_id();
    let refused = shop.ship(&order, &second, &[]).await;
    assert_eq!(
        (fact(&refused, "decline"), reason(refused)),
        ("hold_expired".into(), "PAYMENT_DECLINED".into())
    );
    let stays = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!(stays.fulfilment_state(), OrderFulfilmentState::PartiallyShipped);
    assert_eq!((stays.shipments.len(), shop.bank.kept()), (1, 1_999));
    // Another shipment waits for this one; the same one is the same.
    assert_eq!(reason(shop.ship(&order, &new_id(), &[]).await), "ORDER_BUSY");
    assert_eq!(reason(shop.ship(&order, &second, &[("TEE", "", 1)]).await), "SHIPMENT_CONFLICT");
    assert_eq!(reason(shop.ship(&order, &second, &[]).await), "PAYMENT_DECLINED");
    shop.bank.allow_captures();
    eventually("what it was asked for", async || {
        let now = shop.get("alice", "buyer", &order).await.unwrap();
        (now.fulfilment_state() == OrderFulfilmentState::Shipped).then_some(())
    })
    .await;
    assert_eq!((shop.bank.kept(), shop.bank.captures()), (2 * 1_999, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_hands_that_ship_take_the_money_of_each_unit_once() {
    let shop = shop().await;
    let order = shop.bought("k1", &[("TEE", "", 3)]).await;
    let ids: Vec<String> = (0..6).map(|_| new_id()).collect();
    eventually("what it was asked for", async || {
        join_all(ids.iter().map(|id| shop.ship(&order, id, &[("TEE", "", 1)]))).await;
        let now = shop.get("alice", "buyer", &order).await.unwrap();
        (now.state() == OrderState::Shipped).then_some(())
    })
    .await;
    assert_eq!((shop.bank.kept(), shop.bank.captures()), (3 * 1_999, 3));
    assert_eq!(shop.count("shipment").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_takes_the_money_of_a_shipment_once() {
    let shop = shop().await;
    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    shop.bank.trouble.lose("capture", 2);
    let id = new_id();
    eventually("what it was asked for", async || {
        let sent = shop.ship(&order, &id, &[("TEE", "", 1)]).await;
        sent.is_ok().then_some(())
    })
    .await;
    assert_eq!((shop.bank.kept(), shop.bank.captures()), (1_999, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_which_nothing_has_left_is_cancelled_without_having_been_paid() {
    let shop = shop().await;
    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    let cancelled = shop.cancel("alice", &order).await.unwrap();
    assert_eq!(
        (cancelled.state(), cancelled.payment_state()),
        (OrderState::Cancelled, OrderPaymentState::Voided)
    );
    assert_eq!((uncaptured(&cancelled), shop.bank.captures(), shop.bank.refunds()), (0, 0, 0));
    assert_eq!(reason(shop.ship(&order, &new_id(), &[]).await), "ORDER_STATE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_left_can_be_sent_back_while_the_rest_is_not_paid() {
    let shop = shop().await;
    let order = shop.bought("k1", &[("TEE", "", 2), ("MUG", "", 1)]).await;
    let (first, back) = (new_id(), new_id());
    shop.ship(&order, &first, &[("TEE", "", 1)]).await.unwrap();
    shop.deliver(&order, &first).await.unwrap();
    shop.sent_back(&order, &back, &[("TEE", "", 1)], true).await;
    eventually("what it was asked for", async || (shop.bank.kept() == 0).then_some(())).await;
    let rest =
        eventually("what it was asked for", async || shop.ship(&order, &new_id(), &[]).await.ok()).await;
    assert_eq!((rest.state(), uncaptured(&rest)), (OrderState::Shipped, 0));
    assert_eq!(shop.bank.kept(), 1_999 + 500);
}
