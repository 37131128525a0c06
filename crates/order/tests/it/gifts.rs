//! Gifts that are not to be had: the order goes as if they had never been offered, and nobody asks for stock in vain on their account.

use std::time::Duration;

use stampede_kit::clock::Clock;
use stampede_proto::inventory::v1::{Reservation, ReservationLine, ReservationState};
use stampede_proto::order::v1::promotion_action::Action;
use stampede_proto::order::v1::*;
use stampede_proto::timestamp;
use stampede_types::RequestId;

use crate::parcels::new_id;
use crate::promotions::{automatic, eur};
use crate::shop::{Shop, eventually, reason, want};

fn gift(id: &str, sku: &str) -> Promotion {
    automatic(id, Action::Gift(Gift { sku_id: sku.into() }))
}

/// What an order was placed with.
fn promotions(order: &Order) -> Vec<&str> {
    order.promotions.iter().map(|one| one.promotion_id.as_str()).collect()
}

/// An earlier try of Alice's with this key, which died when it held these.
fn died_with(shop: &Shop, key: &str, skus: &[&str]) -> String {
    let id = RequestId::of(&"alice".parse().unwrap(), &key.parse().unwrap()).first_reservation().to_string();
    let line =
        |sku: &&str| ReservationLine { sku_id: (*sku).into(), quantity: 1, ..ReservationLine::default() };
    let ends = Clock::system().now() + Duration::from_hours(1);
    let hold = Reservation {
        reservation_id: id.clone(),
        buyer_id: "alice".into(),
        state: ReservationState::Pending.into(),
        lines: skus.iter().map(line).collect(),
        expires_at: Some(timestamp(ends)),
        created_at: Some(timestamp(Clock::system().now())),
        ..Reservation::default()
    };
    shop.warehouse.floor.lock().unwrap().holds.insert(id.clone(), hold);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_that_has_run_out_leaves_its_place_to_the_next_of_its_group() {
    let shop = Shop::open().await;
    let group = |priority, promotion| Promotion { priority, stacking_group: "g".into(), ..promotion };
    shop.promote(group(1, gift("G", "MUG"))).await.unwrap();
    shop.promote(group(2, automatic("HALF", Action::PercentOffBp(5_000)))).await.unwrap();
    let with = shop.tee("k1").await;
    assert_eq!((with.total.clone(), promotions(&with)), (Some(eur(1_999)), vec!["G"]));
    shop.warehouse.run_out("MUG");
    let without = shop.tee("k2").await;
    assert_eq!((without.total.clone(), promotions(&without)), (Some(eur(1_000)), vec!["HALF"]));
    // Whoever holds us to the price hears that it is another one.
    let held_to = CreateOrderRequest { expected_total: Some(eur(1_999)), ..want(&[("TEE", "", 1)]) };
    assert_eq!(reason(shop.create("alice", "k3", held_to).await), "PRICE_CHANGED");
    assert_eq!((shop.uses("G").await, shop.uses("HALF").await), ((1, 0), (1, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_the_catalogue_does_not_know_any_more_takes_no_use_and_no_place() {
    let shop = Shop::open().await;
    let group = |priority, promotion| Promotion { priority, stacking_group: "g".into(), ..promotion };
    shop.promote(group(1, gift("G", "MUG"))).await.unwrap();
    shop.promote(group(2, automatic("HALF", Action::PercentOffBp(5_000)))).await.unwrap();
    shop.warehouse.floor.lock().unwrap().skus.remove("MUG");
    // What the catalogue said is believed for a second.
    let mut keys = 0..;
    let without = eventually("the gift is forgotten", async || {
        let order = shop.tee(&format!("k{}", keys.next().unwrap())).await;
        (promotions(&order) == ["HALF"]).then_some(order)
    })
    .await;
    assert_eq!((without.total, without.lines.len()), (Some(eur(1_000)), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sold_out_is_asked_for_once_though_there_is_a_gift() {
    let shop = Shop::open().await;
    shop.promote(gift("G", "MUG")).await.unwrap();
    shop.warehouse.run_out("TEE");
    let refused = shop.create("alice", "k1", want(&[("TEE", "", 1)])).await;
    assert_eq!(reason(refused), "OUT_OF_STOCK");
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_died_with_fewer_gifts_is_taken_up_with_what_it_holds() {
    let shop = Shop::open().await;
    shop.warehouse.sells("PIN", 250, "EUR");
    shop.promote(gift("M", "MUG")).await.unwrap();
    shop.promote(gift("P", "PIN")).await.unwrap();
    let hold = died_with(&shop, "k1", &["TEE", "PIN"]);
    let order = shop.tee("k1").await;
    assert_eq!((promotions(&order), order.reservation_id.as_str()), (vec!["P"], hold.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_died_with_a_gift_that_is_gone_is_not_taken_for_another_request() {
    let shop = Shop::open().await;
    let hold = died_with(&shop, "k1", &["TEE", "MUG"]);
    assert_eq!(reason(shop.create("alice", "k1", want(&[("TEE", "", 1)])).await), "ORDER_EXPIRED");
    let other = shop.create("alice", "k1", want(&[("MUG", "", 1)])).await;
    assert_eq!(reason(other), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(shop.count("orders").await, 0);
    // Its key is not burnt: what has ended is in nobody's way, whatever it held.
    shop.warehouse.expire(&hold);
    assert_ne!(shop.tee("k1").await.reservation_id, hold);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_has_uses_and_no_budget() {
    let shop = Shop::open().await;
    let endless = Promotion { budget: Some(eur(1)), ..gift("G", "MUG") };
    assert_eq!(reason(shop.promote(endless).await), "INVALID_ARGUMENT");
    shop.promote(Promotion { use_limit: 1, ..gift("G", "MUG") }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_25_everything_but_the_gift_sent_back_leaves_the_gift_bought() {
    let shop = Shop::open().await;
    shop.promote(gift("G", "MUG")).await.unwrap();
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    let back = shop.sent_back(&order, &new_id(), &[("TEE", "", 1)], true).await;
    assert_eq!(back.refund, Some(eur(1_999 - 500)));
    assert_eq!(shop.bank.kept(), 500);
}
