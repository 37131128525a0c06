//! Returns: asked for, decided on, received and refunded, each unit once and at what it really cost.

use futures::future::join_all;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::order::v1::*;
use uuid::Uuid;

use crate::parcels::{items, new_id};
use crate::shop::{Shop, eventually, fact, reason};

const TEE: i64 = 1_999;

fn refund(back: &OrderReturn) -> Option<i64> {
    back.refund.as_ref().map(|money| money.amount_minor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_comes_back_is_refunded_at_its_price_and_sold_again() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 3), ("MUG", "", 1)]).await;
    let id = new_id();
    let asked = shop.ask_back(&order, &id, &[("TEE", "", 1)]).await.unwrap();
    assert_eq!(
        (asked.state(), refund(&asked), asked.reason.as_str()),
        (ReturnState::Requested, None, "too small")
    );
    assert_eq!(asked.lines, items(&[("TEE", "", 1)]));
    let approved = shop.decide_return(&id, ReturnState::Approved, false).await.unwrap();
    assert_eq!(approved.state(), ReturnState::Approved);
    assert_eq!((shop.bank.refunds(), shop.warehouse.returned("TEE")), (0, 0));

    let received = shop.decide_return(&id, ReturnState::Received, true).await.unwrap();
    assert_eq!(
        (received.state(), refund(&received), received.restock),
        (ReturnState::Refunded, Some(TEE), true)
    );
    assert_eq!((shop.bank.refunds(), shop.bank.kept()), (1, 2 * TEE + 500));
    assert_eq!((shop.warehouse.returned("TEE"), shop.warehouse.returned("MUG")), (1, 0));
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!(
        (after.state(), after.payment_state()),
        (OrderState::Delivered, OrderPaymentState::PartiallyRefunded)
    );
    assert_eq!((after.refunded.unwrap().amount_minor, after.returns), (TEE, vec![received.clone()]));
    assert_eq!(shop.get_return("alice", "buyer", &id).await.unwrap(), received);
    assert_eq!(shop.get_return("sam", "staff", &id).await.unwrap(), received);
    assert_eq!(
        shop.told(&order).await[4..],
        ["return.requested", "return.resolved", "return.resolved", "return.refunded"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_sent_back_in_pieces_is_refunded_whole_and_never_more() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 2), ("MUG", "", 1), ("TEE", "", 1)]).await;
    let mut given = 0;
    for lines in [&[("TEE", "", 1)][..], &[("TEE", "", 2), ("MUG", "", 1)]] {
        let id = new_id();
        given += refund(&shop.sent_back(&order, &id, lines, true).await).unwrap();
    }
    assert_eq!(given, 3 * TEE + 500);
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!((after.payment_state(), shop.bank.kept()), (OrderPaymentState::Refunded, 0));
    assert_eq!((shop.warehouse.returned("TEE"), shop.warehouse.returned("MUG")), (3, 1));
    let more = shop.ask_back(&order, &new_id(), &[("MUG", "", 1)]).await;
    assert_eq!((fact(&more, "left"), reason(more)), ("0".into(), "QUANTITY_EXCEEDED".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_are_not_restocked_stay_out_of_sale() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    let id = new_id();
    assert_eq!(shop.sent_back(&order, &id, &[("TEE", "", 1)], false).await.state(), ReturnState::Refunded);
    assert_eq!((shop.bank.kept(), shop.warehouse.returns()), (0, 0));
    let other = shop.decide_return(&id, ReturnState::Received, true).await;
    assert_eq!(reason(other), "RETURN_CONFLICT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_many_hands_refund_and_restock_once() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 2)]).await;
    let id = new_id();
    shop.ask_back(&order, &id, &[("TEE", "", 1)]).await.unwrap();
    shop.decide_return(&id, ReturnState::Approved, false).await.unwrap();
    shop.bank.trouble.lose("refund", 2);
    shop.warehouse.trouble.lose("return_stock", 2);
    let answers = join_all((0..6).map(|_| shop.decide_return(&id, ReturnState::Received, true))).await;
    for answer in answers {
        assert_eq!(answer.unwrap().state(), ReturnState::Refunded);
    }
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returned("TEE")), (1, TEE, 1));
    assert_eq!(shop.told(&order).await.iter().filter(|subject| *subject == "return.refunded").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_return_id_is_one_return_and_another_body_under_it_is_refused() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 3)]).await;
    let other = shop.delivered("k2", &[("TEE", "", 3)]).await;
    let id = new_id();
    let again = join_all((0..6).map(|_| shop.ask_back(&order, &id, &[("TEE", "", 1)]))).await;
    for answer in again {
        assert_eq!(answer.unwrap().return_id, id);
    }
    assert_eq!(reason(shop.ask_back(&order, &id, &[("TEE", "", 2)]).await), "RETURN_CONFLICT");
    assert_eq!(reason(shop.ask_back(&other, &id, &[("TEE", "", 1)]).await), "RETURN_CONFLICT");
    assert_eq!(shop.count("order_return").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_returns_at_once_want_no_more_units_than_have_arrived() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 5)]).await;
    let shipment = new_id();
    shop.ship(&order, &shipment, &[("TEE", "", 3)]).await.unwrap();
    assert_eq!(reason(shop.ask_back(&order, &new_id(), &[("TEE", "", 1)]).await), "QUANTITY_EXCEEDED");
    shop.deliver(&order, &shipment).await.unwrap();
    let ids: Vec<String> = (0..8).map(|_| new_id()).collect();
    let answers = join_all(ids.iter().map(|id| shop.ask_back(&order, id, &[("TEE", "", 1)]))).await;
    let (asked, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(asked.len(), 3);
    for answer in refused {
        assert_eq!((fact(&answer, "left"), reason(answer)), ("0".into(), "QUANTITY_EXCEEDED".into()));
    }
    // What was rejected may be asked for again.
    shop.decide_return(&asked[0].as_ref().unwrap().return_id, ReturnState::Rejected, false).await.unwrap();
    shop.ask_back(&order, &new_id(), &[("TEE", "", 1)]).await.unwrap();
    assert_eq!(reason(shop.ask_back(&order, &new_id(), &[("TEE", "", 1)]).await), "QUANTITY_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_back_or_decided_is_refused_with_its_reason() {
    let shop = Shop::open().await;
    let unpaid = shop.tee("k0").await;
    let early = shop.ask_back(&unpaid, &new_id(), &[("TEE", "", 1)]).await;
    assert_eq!((fact(&early, "state"), reason(early)), ("AWAITING_PAYMENT".into(), "ORDER_STATE".into()));

    let order = shop.delivered("k1", &[("TEE", "", 2)]).await;
    let ask = async |lines: &[(&str, &str, u32)]| shop.ask_back(&order, &new_id(), lines).await;
    assert_eq!(reason(ask(&[("MUG", "", 1)]).await), "ORDER_LINE_NOT_FOUND");
    assert_eq!(reason(ask(&[("TEE", "", 3)]).await), "QUANTITY_EXCEEDED");
    assert_eq!(reason(ask(&[("TEE", "", 0)]).await), "INVALID_ARGUMENT");
    assert_eq!(reason(ask(&[]).await), "INVALID_ARGUMENT");
    let message = shop.return_request(&order, &new_id(), &[("TEE", "", 1)]);
    let foreign = shop.orders.clone().request_return(shop.request("bob", "buyer", message)).await;
    assert_eq!(reason(foreign), "ORDER_NOT_FOUND");

    let id = new_id();
    shop.ask_back(&order, &id, &[("TEE", "", 1)]).await.unwrap();
    assert_eq!(reason(shop.get_return("bob", "buyer", &id).await), "RETURN_NOT_FOUND");
    assert_eq!(reason(shop.decide_return(&new_id(), ReturnState::Approved, false).await), "RETURN_NOT_FOUND");
    assert_eq!(
        reason(shop.decide_return_as("buyer", &id, ReturnState::Approved, false).await),
        "PERMISSION_DENIED"
    );
    assert_eq!(
        reason(shop.decide_return_as("auditor", &id, ReturnState::Approved, false).await),
        "PERMISSION_DENIED"
    );
    for state in [ReturnState::Requested, ReturnState::Refunded, ReturnState::Unspecified] {
        assert_eq!(reason(shop.decide_return(&id, state, false).await), "INVALID_ARGUMENT");
    }
    let unapproved = shop.decide_return(&id, ReturnState::Received, true).await;
    assert_eq!(
        (fact(&unapproved, "state"), fact(&unapproved, "event")),
        ("REQUESTED".into(), "RECEIVE".into())
    );
    assert_eq!(reason(unapproved), "RETURN_STATE");
    shop.decide_return(&id, ReturnState::Rejected, false).await.unwrap();
    assert_eq!(
        shop.decide_return(&id, ReturnState::Rejected, false).await.unwrap().state(),
        ReturnState::Rejected
    );
    assert_eq!(reason(shop.decide_return(&id, ReturnState::Approved, false).await), "RETURN_STATE");
    assert_eq!((shop.bank.refunds(), shop.warehouse.returns()), (0, 0));
}

/// What was given back by a cancel is not given back by a return, nor the other way about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_6_a_cancelled_order_takes_no_return_and_a_returned_one_no_cancel() {
    let shop = Shop::open().await;
    let cancelled = shop.bought("k1", &[("TEE", "", 1)]).await;
    let (one, two) = tokio::join!(shop.cancel("alice", &cancelled), shop.cancel("alice", &cancelled));
    assert_eq!(one.unwrap(), two.unwrap());
    let late = shop.ask_back(&cancelled, &new_id(), &[("TEE", "", 1)]).await;
    assert_eq!((fact(&late, "state"), reason(late)), ("CANCELLED".into(), "ORDER_STATE".into()));

    let returned = shop.delivered("k2", &[("TEE", "", 1)]).await;
    shop.sent_back(&returned, &new_id(), &[("TEE", "", 1)], true).await;
    let refused = shop.cancel("alice", &returned).await;
    assert_eq!((fact(&refused, "state"), reason(refused)), ("DELIVERED".into(), "ORDER_STATE".into()));
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returned("TEE")), (2, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_return_keeps_its_order_from_being_completed_and_a_completed_one_takes_none() {
    let shop = Shop::with_return_period(std::time::Duration::from_secs(1)).await;
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    let id = new_id();
    shop.ask_back(&order, &id, &[("TEE", "", 1)]).await.unwrap();
    // The neighbour, delivered later, is completed while this one is not.
    let neighbour = shop.delivered("k2", &[("TEE", "", 1)]).await;
    shop.reaches(&neighbour, OrderState::Completed).await;
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::Delivered);
    shop.decide_return(&id, ReturnState::Rejected, false).await.unwrap();
    shop.reaches(&order, OrderState::Completed).await;
    let late = shop.ask_back(&order, &new_id(), &[("TEE", "", 1)]).await;
    assert_eq!((fact(&late, "state"), reason(late)), ("COMPLETED".into(), "ORDER_STATE".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_refund_is_under_way_the_rest_is_shipped_and_no_other_return_received() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 3)]).await;
    let shipment = new_id();
    shop.ship(&order, &shipment, &[("TEE", "", 2)]).await.unwrap();
    shop.deliver(&order, &shipment).await.unwrap();
    let (first, second) = (new_id(), new_id());
    for id in [&first, &second] {
        shop.ask_back(&order, id, &[("TEE", "", 1)]).await.unwrap();
        shop.decide_return(id, ReturnState::Approved, false).await.unwrap();
    }
    shop.bank.trouble.close("refund");
    let meanwhile = async {
        eventually("the refund is under way", async || (shop.bank.trouble.calls("refund") > 0).then_some(()))
            .await;
        let shipped = shop.ship(&order, &new_id(), &[]).await.unwrap();
        assert_eq!(shipped.state(), OrderState::Shipped);
        assert_eq!(reason(shop.decide_return(&second, ReturnState::Received, true).await), "ORDER_BUSY");
        // Deciding on another return moves the order's version and costs the refund nothing.
        shop.decide_return(&second, ReturnState::Rejected, false).await.unwrap();
        shop.bank.trouble.open("refund");
    };
    let (received, ()) = tokio::join!(shop.decide_return(&first, ReturnState::Received, true), meanwhile);
    assert_eq!(received.unwrap().state(), ReturnState::Refunded);
    assert_eq!((shop.bank.refunds(), shop.bank.trouble.calls("refund")), (1, 1));
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!((after.state(), after.shipments.len()), (OrderState::Shipped, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_waits_for_a_person_keeps_nothing_from_being_shipped() {
    let shop = Shop::open().await;
    let order = shop.bought("k1", &[("TEE", "", 2)]).await;
    let shipment = new_id();
    shop.ship(&order, &shipment, &[("TEE", "", 1)]).await.unwrap();
    shop.deliver(&order, &shipment).await.unwrap();
    shop.bank.trouble.refuse("refund", ErrorReason::PaymentConflict);
    shop.sent_back(&order, &new_id(), &[("TEE", "", 1)], true).await;
    assert_eq!(shop.reviews().await.len(), 1);
    assert_eq!(shop.ship(&order, &new_id(), &[]).await.unwrap().state(), OrderState::Shipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_is_refused_waits_for_a_person_and_the_order_stays_delivered() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    shop.bank.trouble.refuse("refund", ErrorReason::PaymentConflict);
    let back = shop.sent_back(&order, &new_id(), &[("TEE", "", 1)], true).await;
    assert_eq!(back.state(), ReturnState::Received);
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::Delivered);
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.needs_review"));
    let reviews = shop.reviews().await;
    assert_eq!(reviews[0].step, "RETURN_REFUND");
    let ways: Vec<_> = reviews[0].possible().collect();
    assert_eq!(ways, [ReviewResolution::Retry, ReviewResolution::StepDone]);
    let cancelled = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Cancel).await;
    assert!(cancelled.is_err(), "{cancelled:?}");
    // Somebody has talked to the bank and has it tried again.
    shop.bank.trouble.mend("refund");
    shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    eventually("the money is back", async || {
        let back = shop.get_return("alice", "buyer", &back.return_id).await.unwrap();
        (back.state() == ReturnState::Refunded).then_some(())
    })
    .await;
    assert_eq!((shop.bank.kept(), shop.warehouse.returned("TEE")), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_by_hand_of_a_return_is_not_asked_for_again() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    shop.bank.trouble.refuse("refund", ErrorReason::PaymentConflict);
    shop.warehouse.trouble.refuse("return_stock", ErrorReason::ReservationConflict);
    let back = shop.sent_back(&order, &new_id(), &[("TEE", "", 1)], true).await;
    let done = async || shop.resolve(&order, Uuid::now_v7(), ReviewResolution::StepDone).await.unwrap();
    done().await;
    eventually("the units wait for a person too", async || {
        let reviews = shop.reviews().await;
        reviews.first().filter(|review| review.step == "RESTOCK").map(|_| ())
    })
    .await;
    done().await;
    eventually("the return is closed", async || {
        let back = shop.get_return("alice", "buyer", &back.return_id).await.unwrap();
        (back.state() == ReturnState::Refunded).then_some(())
    })
    .await;
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!(after.payment_state(), OrderPaymentState::Refunded);
    assert_eq!((shop.bank.refunds(), shop.warehouse.returns(), shop.count("saga").await), (0, 0, 0));
}

#[tokio::test]
async fn more_than_arrived_cannot_be_written_as_returned_nor_more_than_was_paid_as_refunded() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 2)]).await;
    shop.ask_back(&order, &new_id(), &[("TEE", "", 1)]).await.unwrap();
    let refused = async |statement: &'static str| {
        let error = sqlx::query(statement).execute(&shop.database.pool).await.unwrap_err();
        error.as_database_error().and_then(|error| error.constraint().map(str::to_owned)).unwrap()
    };
    assert_eq!(refused("UPDATE line_count SET returned = 3").await, "line_returned_was_delivered");
    let more = "UPDATE orders SET refunded_minor = total_minor + 1";
    assert_eq!(refused(more).await, "orders_refunded_was_paid");
    let half = "UPDATE order_return SET state = 'RECEIVED'";
    assert_eq!(refused(half).await, "order_return_received_is_settled");
}
