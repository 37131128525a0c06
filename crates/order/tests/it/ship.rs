//! ShipOrder and DeliverOrder: in parts or whole, each unit once, and never beside a cancel that won.

use futures::future::join_all;
use stampede_proto::order::v1::{
    Order, OrderFulfilmentState, OrderPaymentState, OrderState, ShipOrderRequest,
};

use crate::parcels::{items, new_id};
use crate::shop::{Shop, eventually, fact, reason};

fn states(order: &Order) -> (OrderState, OrderFulfilmentState) {
    (order.state(), order.fulfilment_state())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_leaves_in_two_parts_and_is_delivered_when_both_have_arrived() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 3), ("MUG", "", 1)]).await;
    let (first, second) = (new_id(), new_id());

    let part = shop.ship(&order, &first, &[("TEE", "", 2)]).await.unwrap();
    assert_eq!(states(&part), (OrderState::Fulfilling, OrderFulfilmentState::PartiallyShipped));
    let early = shop.deliver(&order, &first).await.unwrap();
    assert_eq!(states(&early), (OrderState::Fulfilling, OrderFulfilmentState::PartiallyShipped));

    let rest = shop.ship(&order, &second, &[]).await.unwrap();
    assert_eq!(states(&rest), (OrderState::Shipped, OrderFulfilmentState::Shipped));
    assert_eq!(rest.shipments[1].lines, items(&[("TEE", "", 1), ("MUG", "", 1)]));
    assert!(rest.shipments[0].delivered_at.is_some() && rest.shipments[1].delivered_at.is_none());

    let delivered = shop.deliver(&order, &second).await.unwrap();
    assert_eq!(states(&delivered), (OrderState::Delivered, OrderFulfilmentState::Delivered));
    assert_eq!(shop.deliver(&order, &second).await.unwrap(), delivered);
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), delivered);
    assert_eq!(
        shop.told(&order).await[2..],
        ["order.shipped", "order.delivered", "order.shipped", "order.delivered"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_shipment_id_is_one_shipment_and_another_body_under_it_is_refused() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    let other = shop.bought("k2", &[("TEE", "", 2)]).await;
    let id = new_id();
    let again = join_all((0..6).map(|_| shop.ship(&order, &id, &[("TEE", "", 1)]))).await;
    for answer in again {
        assert_eq!(answer.unwrap().shipments.len(), 1);
    }
    assert_eq!(reason(shop.ship(&order, &id, &[("TEE", "", 2)]).await), "SHIPMENT_CONFLICT");
    assert_eq!(reason(shop.ship(&other, &id, &[("TEE", "", 1)]).await), "SHIPMENT_CONFLICT");
    assert_eq!(shop.told(&order).await.len(), 3);
    assert_eq!(shop.count("shipment").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_hands_ship_no_more_units_than_were_ordered() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 3)]).await;
    let ids: Vec<String> = (0..8).map(|_| new_id()).collect();
    let answers = join_all(ids.iter().map(|id| shop.ship(&order, id, &[("TEE", "", 1)]))).await;
    let (sent, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(sent.len(), 3);
    for answer in refused {
        assert_eq!((fact(&answer, "state"), reason(answer)), ("SHIPPED".into(), "ORDER_STATE".into()));
    }
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::Shipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shipped_is_refused_with_its_reason_and_changes_nothing() {
    let shop = Shop::open().await;
    let unpaid = shop.tee("k0").await;
    let refused = shop.ship(&unpaid, &new_id(), &[]).await;
    assert_eq!((fact(&refused, "state"), reason(refused)), ("AWAITING_PAYMENT".into(), "ORDER_STATE".into()));

    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    let ship = async |lines: &[(&str, &str, u32)]| shop.ship(&order, &new_id(), lines).await;
    assert_eq!(reason(ship(&[("MUG", "", 1)]).await), "ORDER_LINE_NOT_FOUND");
    assert_eq!(reason(ship(&[("TEE", "FLASH", 1)]).await), "ORDER_LINE_NOT_FOUND");
    assert_eq!(reason(ship(&[("TEE", "", 0)]).await), "INVALID_ARGUMENT");
    let many = ship(&[("TEE", "", 1), ("TEE", "", 2)]).await;
    assert_eq!((fact(&many, "left"), reason(many)), ("1".into(), "QUANTITY_EXCEEDED".into()));
    assert_eq!(reason(shop.deliver(&order, &new_id()).await), "SHIPMENT_NOT_FOUND");
    let nobody = Order { order_id: new_id(), ..Order::default() };
    assert_eq!(reason(shop.ship(&nobody, &new_id(), &[]).await), "ORDER_NOT_FOUND");
    for role in ["buyer", "auditor"] {
        let message =
            ShipOrderRequest { order_id: order.order_id.clone(), shipment_id: new_id(), lines: Vec::new() };
        assert_eq!(reason(shop.ship_as(role, message).await), "PERMISSION_DENIED", "{role}");
    }
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), order);
    assert_eq!(shop.count("shipment").await, 0);
}

/// Edge case 24.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_24_a_cancel_and_a_shipment_at_once_have_one_winner_and_the_other_is_told() {
    let shop = Shop::open().await;
    for round in 0..12 {
        let order = shop.bought(&format!("k{round}"), &[("TEE", "", 2)]).await;
        let id = new_id();
        let (shipped, cancelled) =
            tokio::join!(shop.ship(&order, &id, &[("TEE", "", 1)]), shop.cancel("alice", &order));
        let after = shop.get("alice", "buyer", &order).await.unwrap();
        match (&shipped, &cancelled) {
            (Ok(_), Err(_)) => {
                assert_eq!(fact(&cancelled, "state"), "FULFILLING");
                assert_eq!(reason(cancelled), "ORDER_STATE");
                assert_eq!((after.state(), after.shipments.len()), (OrderState::Fulfilling, 1));
                assert_eq!(after.payment_state(), OrderPaymentState::Paid);
            }
            (Err(_), Ok(_)) => {
                let state = fact(&shipped, "state");
                assert!(["CANCELLING", "CANCELLED"].contains(&state.as_str()), "{state}");
                assert_eq!(reason(shipped), "ORDER_STATE");
                assert_eq!((after.state(), after.shipments.len()), (OrderState::Cancelled, 0));
                assert_eq!(after.payment_state(), OrderPaymentState::Refunded);
            }
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => panic!("{shipped:?} and {cancelled:?}"),
        }
    }
}

/// Edge case 24, one after the other, whoever is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_24_nothing_is_shipped_of_an_order_whose_refund_is_under_way() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 1)]).await;
    shop.bank.trouble.close("refund");
    let shipping = async {
        eventually("the refund is under way", async || (shop.bank.trouble.calls("refund") > 0).then_some(()))
            .await;
        let refused = shop.ship(&order, &new_id(), &[]).await;
        shop.bank.trouble.open("refund");
        refused
    };
    let (cancelled, refused) = tokio::join!(shop.cancel("alice", &order), shipping);
    assert_eq!(cancelled.unwrap().state(), OrderState::Cancelled);
    assert_eq!((fact(&refused, "state"), reason(refused)), ("CANCELLING".into(), "ORDER_STATE".into()));
}

#[tokio::test]
async fn more_than_was_ordered_cannot_be_written_as_shipped_nor_more_than_was_shipped_as_arrived() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    shop.ship(&order, &new_id(), &[("TEE", "", 1)]).await.unwrap();
    let refused = async |statement: &'static str| {
        let error = sqlx::query(statement).execute(&shop.database.pool).await.unwrap_err();
        error.as_database_error().and_then(|error| error.constraint().map(str::to_owned)).unwrap()
    };
    assert_eq!(refused("UPDATE line_count SET shipped = 3").await, "line_shipped_was_ordered");
    assert_eq!(refused("UPDATE line_count SET delivered = 2").await, "line_delivered_was_shipped");
    assert_eq!(refused("UPDATE shipment SET quantities = '{0}'").await, "shipment_quantities_positive");
}
