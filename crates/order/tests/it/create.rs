//! CreateOrder: priced here, held there, written once.

use std::time::Duration;

use futures::future::join_all;
use stampede_kit as kit;
use stampede_proto::common::v1::{ErrorReason, Money};
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::{ListOrdersRequest, OrderState, OrderStockState};

use crate::parcels::new_id;
use crate::shop::{Shop, eventually, fact, reason, want};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_priced_by_the_server_held_written_and_told() {
    let shop = Shop::open().await;
    let order = shop.create("alice", "k1", want(&[("TEE", "FLASH", 1), ("MUG", "", 3)])).await.unwrap();
    assert_eq!((order.state(), order.stock_state()), (OrderState::AwaitingPayment, OrderStockState::Held));
    assert_eq!(order.total, Some(Money { amount_minor: 999 + 3 * 500, currency: "EUR".into() }));
    assert_eq!(
        order.lines.iter().map(|line| line.title.as_str()).collect::<Vec<_>>(),
        ["The TEE", "The MUG"]
    );
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Pending));
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), order);
    assert_eq!(shop.told(&order).await, ["order.placed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_the_same_key_gives_the_same_order_however_many_ask_at_once() {
    let shop = Shop::open().await;
    let answers = join_all((0..20).map(|_| shop.create("alice", "k1", want(&[("TEE", "", 1)])))).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    assert_eq!((shop.count("orders").await, shop.count("outbox").await), (1, 1));
    assert_eq!(shop.warehouse.floor.lock().unwrap().holds.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_who_says_it_is_a_repetition_says_so_to_the_warehouse() {
    let shop = Shop::open().await;
    let mut again = shop.request("alice", "buyer", want(&[("TEE", "", 1)]));
    again.metadata_mut().insert("idempotency-key", "k1".parse().unwrap());
    shop.orders.clone().create_order(kit::client::repeated(again)).await.unwrap();
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock again"), 1);
    shop.tee("k2").await;
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock again"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_of_many_orders_share_a_few_streams() {
    const ORDERS: usize = 60;
    let shop = Shop::open().await;
    let trouble = &shop.warehouse.trouble;
    let keys: Vec<String> = (0..ORDERS).map(|n| format!("k{n}")).collect();
    let answers = join_all(keys.iter().map(|key| shop.create("alice", key, want(&[("TEE", "", 1)])))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(shop.warehouse.floor.lock().unwrap().holds.len(), ORDERS);
    assert!((1..=4).contains(&trouble.calls("reserve_stream")), "{}", trouble.calls("reserve_stream"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_opened_refuses_and_the_next_order_opens_another() {
    let shop = Shop::open().await;
    shop.warehouse.trouble.refuse("reserve_stream", ErrorReason::Unavailable);
    assert_eq!(reason(shop.create("alice", "k1", want(&[("TEE", "", 1)])).await), "UNAVAILABLE");
    shop.warehouse.trouble.mend("reserve_stream");
    shop.tee("k1").await;
    assert_eq!(shop.warehouse.trouble.calls("reserve_stream"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_answers_nothing_is_given_up_and_the_next_order_opens_another() {
    let shop = Shop::open().await;
    let trouble = shop.warehouse.trouble.clone();
    let four = async |word: &str| {
        let keys: Vec<String> = (0..4).map(|n| format!("{word}{n}")).collect();
        join_all(keys.iter().map(|key| shop.create("alice", key, want(&[("TEE", "", 1)])))).await
    };
    trouble.close("reserve_stock");
    for answer in four("silent").await {
        assert_eq!(reason(answer), "UNAVAILABLE");
    }
    assert_eq!(trouble.calls("reserve_stream"), 4);
    let mut round = 0;
    eventually("each lane has another stream", async || {
        round += 1;
        four(&format!("{round}/")).await;
        (trouble.calls("reserve_stream") >= 8).then_some(())
    })
    .await;
    trouble.open("reserve_stock");
    eventually("all are answered", async || {
        round += 1;
        four(&format!("{round}/")).await.iter().all(Result::is_ok).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_on_the_stream_says_all_that_a_call_says() {
    let shop = Shop::open().await;
    shop.warehouse.run_out("MUG");
    let refused = shop.create("alice", "k1", want(&[("TEE", "", 1), ("MUG", "", 1)])).await;
    assert_eq!(fact(&refused, "sku_id"), "MUG");
    assert_eq!(reason(refused), "OUT_OF_STOCK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_the_same_key_with_another_body_is_refused_and_another_buyers_key_is_another() {
    let shop = Shop::open().await;
    let first = shop.tee("k1").await;
    let mut other = want(&[("TEE", "", 1)]);
    other.expected_total = first.total.clone();
    for body in [want(&[("TEE", "", 2)]), want(&[("GHOST", "", 1)]), other] {
        assert_eq!(reason(shop.create("alice", "k1", body).await), "IDEMPOTENCY_KEY_REUSED");
    }
    let bobs = shop.create("bob", "k1", want(&[("TEE", "", 1)])).await.unwrap();
    assert_ne!(bobs.order_id, first.order_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_its_order_though_the_price_has_changed_and_all_is_sold() {
    let shop = Shop::open().await;
    let mut body = want(&[("TEE", "", 1)]);
    body.expected_total = Some(Money { amount_minor: 1_999, currency: "EUR".into() });
    let first = shop.create("alice", "k1", body.clone()).await.unwrap();
    shop.warehouse.sells("TEE", 2_999, "EUR");
    shop.warehouse.sell_out();
    // Until the old price is forgotten the reservation answers; after it, the refusal finds the order. Both are asked.
    assert_eq!(shop.create("alice", "k1", body.clone()).await.unwrap(), first);
    eventually("the new price is asked", async || {
        let mut fresh = want(&[("TEE", "", 1)]);
        fresh.expected_total.clone_from(&body.expected_total);
        (reason(shop.create("alice", "fresh", fresh).await) == "PRICE_CHANGED").then_some(())
    })
    .await;
    assert_eq!(shop.create("alice", "k1", body).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_a_key_meets_its_order_though_midnight_has_passed_since_its_stock_was_held() {
    let shop = Shop::open().await;
    shop.warehouse.floor.lock().unwrap().made_ago = Duration::from_hours(23);
    let order = shop.tee("k1").await;
    shop.warehouse.floor.lock().unwrap().made_ago = Duration::ZERO;
    assert_eq!(shop.tee("k1").await, order, "by its hold");
    // Refused before the hold is asked for.
    assert_eq!(reason(shop.create("alice", "k1", want(&[("NOPE", "", 1)])).await), "IDEMPOTENCY_KEY_REUSED");
    let cancelled = shop.cancel("alice", &order).await.unwrap();
    assert_eq!(shop.tee("k1").await, cancelled, "by the hold that has ended");
    assert_eq!((shop.count("orders").await, shop.warehouse.floor.lock().unwrap().holds.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_older_than_the_column_of_its_lines_is_read_shipped_and_listed_like_any_other() {
    let shop = Shop::open().await;
    let order = shop.create("alice", "k1", want(&[("TEE", "FLASH", 1), ("MUG", "", 3)])).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO order_line (order_id, line_no, sku_id, campaign_id, quantity, title, unit_price_minor, discount_minor,
                                 total_minor)
         SELECT order_id, line_no, line->>'sku_id', coalesce(line->>'campaign_id', ''), (line->>'quantity')::integer,
                line->>'title', (line->>'unit_price_minor')::bigint, (line->>'discount_minor')::bigint,
                (line->>'total_minor')::bigint
         FROM orders CROSS JOIN LATERAL jsonb_array_elements(lines) WITH ORDINALITY AS of_order (line, line_no);
         UPDATE orders SET lines = NULL",
    )
    .execute(&shop.database.pool)
    .await
    .unwrap();
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), order);
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.reaches(&order, OrderState::Confirmed).await;
    let shipped = shop.ship(&order, &new_id(), &[("MUG", "", 2)]).await.unwrap();
    assert_eq!((shipped.lines.clone(), shipped.shipments.len()), (order.lines.clone(), 1));
    let listed = shop.list("alice", "buyer", ListOrdersRequest::default()).await.unwrap();
    assert_eq!(listed.orders[0].lines, order.lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_inventory_refuses_is_passed_on_and_nothing_is_written() {
    let shop = Shop::open().await;
    shop.warehouse.sell_out();
    let answer = shop.create("alice", "k1", want(&[("TEE", "", 1)])).await;
    assert_eq!(fact(&answer, "sku_id"), "TEE");
    assert_eq!(reason(answer), "OUT_OF_STOCK");
    assert_eq!((shop.count("orders").await, shop.count("outbox").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_priced_is_refused_with_its_line_before_anything_is_held() {
    let shop = Shop::open().await;
    for (lines, word) in [
        (vec![("TEE", "", 1), ("GHOST", "", 1)], "SKU_NOT_FOUND"),
        (vec![("MUG", "FLASH", 1)], "POOL_NOT_FOUND"),
        (vec![("TEE", "NOWHERE", 1)], "CAMPAIGN_NOT_FOUND"),
        (vec![("TEE", "shelf", 1)], "CAMPAIGN_NOT_FOUND"),
        (vec![("TEE", "", 1), ("HAT", "", 1)], "CURRENCY_MIXED"),
    ] {
        assert_eq!(reason(shop.create("alice", "k1", want(&lines)).await), word);
    }
    let status = shop.create("alice", "k1", want(&[("TEE", "", 1), ("GHOST", "", 1)])).await.unwrap_err();
    let fields = tonic_types::StatusExt::get_details_bad_request(&status).unwrap().field_violations;
    assert_eq!(fields[0].field, "lines[1].sku_id");
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_total_than_the_one_expected_is_refused_with_the_present_one() {
    let shop = Shop::open().await;
    let mut body = want(&[("TEE", "", 2)]);
    body.expected_total = Some(Money { amount_minor: 1, currency: "EUR".into() });
    let answer = shop.create("alice", "k1", body).await;
    assert_eq!(fact(&answer, "total_minor"), "3998");
    assert_eq!(reason(answer), "PRICE_CHANGED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_17_a_hold_whose_answer_was_lost_is_taken_up_by_the_next_try() {
    let shop = Shop::open().await;
    shop.warehouse.trouble.lose("reserve_stock", 1);
    let lost = shop.create("alice", "k1", want(&[("TEE", "", 1)])).await;
    assert_eq!(reason(lost), "UNAVAILABLE");
    let order = shop.tee("k1").await;
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Pending));
    assert_eq!(shop.warehouse.floor.lock().unwrap().holds.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_a_key_whose_tries_died_with_their_holds_makes_another_hold_and_its_order() {
    let shop = Shop::open().await;
    let held = || -> Vec<String> { shop.warehouse.floor.lock().unwrap().holds.keys().cloned().collect() };
    for dead in 0..3 {
        // The dead ones say that they are, and the answer of the next one is lost.
        shop.warehouse.trouble.lose("reserve_stock", 1);
        assert_eq!(reason(shop.create("alice", "k1", want(&[("TEE", "", 1)])).await), "UNAVAILABLE");
        assert_eq!(held().len(), dead + 1);
        held().iter().for_each(|hold| shop.warehouse.expire(hold));
    }
    let dead = held();
    let order = shop.tee("k1").await;
    assert!(!dead.contains(&order.reservation_id));
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Pending));
    // From then on its key is this order's.
    assert_eq!(shop.tee("k1").await, order);
    let other = shop.create("alice", "k1", want(&[("TEE", "", 2)])).await;
    assert_eq!(reason(other), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(shop.pay("alice", &order, "tok_visa").await.unwrap().state(), OrderState::Confirmed);
    assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Committed));
    assert_eq!((shop.count("orders").await, shop.count("outbox").await), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_a_dead_tries_hold_that_leaves_no_time_to_pay_is_released_for_the_next() {
    let shop = Shop::open().await;
    shop.warehouse.trouble.lose("reserve_stock", 1);
    assert!(shop.create("alice", "k1", want(&[("TEE", "", 1)])).await.is_err());
    // It lasts a minute more, which is within the grace after the time to pay.
    let soon = kit::clock::Clock::system().now() + std::time::Duration::from_mins(1);
    let first = {
        let mut floor = shop.warehouse.floor.lock().unwrap();
        let (id, hold) = floor.holds.iter_mut().next().unwrap();
        hold.expires_at = Some(stampede_proto::timestamp(soon));
        id.clone()
    };
    let order = shop.tee("k1").await;
    assert_ne!(order.reservation_id, first);
    assert_eq!(shop.warehouse.hold(&first), Some(ReservationState::Released));
    assert_eq!(shop.pay("alice", &order, "tok_visa").await.unwrap().state(), OrderState::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_a_repeated_request_takes_no_stock_from_its_order_that_is_being_paid_at_the_last_moment()
{
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.close("authorize");
    let repeating = async {
        eventually("it is being paid", async || (shop.bank.trouble.calls("authorize") > 0).then_some(()))
            .await;
        shop.time_is_over(&order).await;
        let soon = kit::clock::Clock::system().now() + std::time::Duration::from_mins(1);
        for hold in shop.warehouse.floor.lock().unwrap().holds.values_mut() {
            hold.expires_at = Some(stampede_proto::timestamp(soon));
        }
        assert_eq!(shop.tee("k1").await.order_id, order.order_id);
        assert_eq!(shop.warehouse.hold(&order.reservation_id), Some(ReservationState::Pending));
        shop.bank.trouble.open("authorize");
    };
    let (paid, ()) = tokio::join!(shop.pay("alice", &order, "tok_visa"), repeating);
    assert_eq!(paid.unwrap().state(), OrderState::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_12_a_key_of_an_order_that_has_ended_makes_no_other_one() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let cancelled = shop.cancel("alice", &order).await.unwrap();
    assert_eq!(shop.tee("k1").await, cancelled);
    assert_eq!((shop.count("orders").await, shop.warehouse.floor.lock().unwrap().holds.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lines_of_one_sku_are_two_lines() {
    let shop = Shop::open().await;
    let order = shop.create("alice", "k1", want(&[("TEE", "", 1), ("TEE", "", 2)])).await.unwrap();
    assert_eq!(order.lines.len(), 2);
    assert_eq!(order.total.unwrap().amount_minor, 3 * 1_999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_written_whole_and_priced_with_few_questions() {
    let shop = Shop::open().await;
    let keys: Vec<String> = (0..300).map(|key| format!("k{key}")).collect();
    let orders =
        join_all(keys.iter().map(|key| shop.create("alice", key, want(&[("TEE", "FLASH", 1)])))).await;
    assert!(orders.iter().all(Result::is_ok));
    let written = (shop.count("orders").await, shop.count("outbox").await);
    assert_eq!(written, (300, 300));
    // One SKU and one campaign, asked again only when a second has passed.
    assert!(shop.warehouse.trouble.calls("batch_get_skus") < 30);
    assert!(shop.warehouse.trouble.calls("get_campaign") < 30);
}
