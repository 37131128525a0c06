//! Reserving: never more than there is, never more than the limit, all lines or none, the same id once.

use std::sync::Arc;

use stampede_proto::inventory::v1::ReservationState;
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, campaign, metadata, reason, reserve};

const BUYERS: usize = 400;
const UNITS: i64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_buyers_on_fifty_units_buy_fifty() {
    let shop = Arc::new(Shop::open().await);
    shop.flash(UNITS, 1).await;

    let buyers = (0..BUYERS).map(|n| {
        let shop = shop.clone();
        tokio::spawn(
            async move { shop.reserve(Uuid::now_v7(), &format!("buyer-{n}"), &[(TEE, FLASH, 1)]).await },
        )
    });
    let answers = futures::future::join_all(buyers).await;

    let (held, refused): (Vec<_>, Vec<_>) = answers.into_iter().map(Result::unwrap).partition(Result::is_ok);
    assert_eq!(held.len(), 50);
    assert!(refused.into_iter().all(|refusal| reason(refusal) == "OUT_OF_STOCK"));
    let level = shop.level(TEE, FLASH).await;
    assert_eq!((level.on_hand, level.held, level.free), (UNITS, UNITS, 0));
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(0));
    assert_eq!(shop.events().await.iter().filter(|subject| *subject == "inventory.held").count(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_the_same_stores_never_oversell() {
    let shop = Arc::new(Shop::open().await);
    shop.flash(UNITS, 2).await;
    let neighbour = Arc::new(shop.neighbour().await);

    let buyers = (0..BUYERS).map(|n| {
        let (shop, neighbour) = (shop.clone(), neighbour.clone());
        tokio::spawn(async move {
            let stock = if n % 2 == 0 { &shop.stock } else { &*neighbour };
            reserve(stock, Uuid::now_v7(), &format!("buyer-{}", n % 100), &[(TEE, FLASH, 1)], 0).await.is_ok()
        })
    });
    let held =
        futures::future::join_all(buyers).await.into_iter().filter(|held| *held.as_ref().unwrap()).count();

    assert_eq!(held, 50);
    let over: i64 = sqlx::query_scalar("SELECT count(*) FROM buyer_quota WHERE used > 2")
        .fetch_one(&shop.database.pool)
        .await
        .unwrap();
    assert_eq!(over, 0);
    assert_eq!(shop.level(TEE, FLASH).await.held, UNITS);
}

#[tokio::test]
async fn the_same_id_is_the_same_reservation_even_when_nothing_is_left() {
    let shop = Shop::open().await;
    shop.flash(1, 1).await;
    let id = Uuid::now_v7();
    let first = shop.reserve(id, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "bob", &[(TEE, FLASH, 1)]).await), "OUT_OF_STOCK");

    assert_eq!(shop.reserve(id, "alice", &[(TEE, FLASH, 1)]).await.unwrap(), first);
    shop.commit(id).await.unwrap();
    let again = shop.reserve(id, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(again.state(), ReservationState::Committed);
    shop.reconcile().await;
    let level = shop.level(TEE, FLASH).await;
    assert_eq!((level.held, level.committed), (0, 1));
}

#[tokio::test]
async fn the_same_id_at_the_same_time_is_held_once() {
    let shop = Arc::new(Shop::open().await);
    shop.flash(10, 10).await;
    let id = Uuid::now_v7();
    let tries = (0..20).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.reserve(id, "alice", &[(TEE, FLASH, 2)]).await.unwrap() })
    });
    let answers: Vec<_> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(shop.level(TEE, FLASH).await.held, 2);
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(8));
}

#[tokio::test]
async fn the_same_id_for_something_else_is_a_conflict() {
    let shop = Shop::open().await;
    shop.sku("cap", 10).await;
    shop.flash(10, 5).await;
    let id = Uuid::now_v7();
    shop.reserve(id, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    for (buyer, line) in [("bob", (TEE, FLASH, 1)), ("alice", (TEE, FLASH, 2)), ("alice", ("cap", "", 1))] {
        assert_eq!(reason(shop.reserve(id, buyer, &[line]).await), "RESERVATION_CONFLICT");
    }
    assert_eq!(reason(shop.deduct(id, "alice", (TEE, FLASH, 1)).await), "RESERVATION_CONFLICT");
    assert_eq!((shop.level(TEE, FLASH).await.held, shop.level("cap", "").await.held), (1, 0));
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(9));
}

#[tokio::test]
async fn all_lines_are_held_or_none_over_pools_too() {
    let shop = Shop::open().await;
    shop.sku("cap", 5).await;
    shop.sku("mug", 1).await;
    shop.flash(5, 5).await;
    let refused =
        shop.reserve(Uuid::now_v7(), "alice", &[("cap", "", 2), (TEE, FLASH, 2), ("mug", "", 2)]).await;
    assert_eq!(reason(refused), "OUT_OF_STOCK");
    let mut free = Vec::new();
    for (sku, campaign) in [("cap", ""), ("mug", ""), (TEE, FLASH)] {
        free.push((shop.level(sku, campaign).await.free, shop.gate_free(sku, campaign).await.unwrap()));
    }
    assert_eq!(free, [(5, 5), (1, 1), (5, 5)]);

    let held = shop
        .reserve(Uuid::now_v7(), "alice", &[("cap", "", 2), (TEE, FLASH, 2), ("mug", "", 1)])
        .await
        .unwrap();
    assert_eq!(held.lines.len(), 3);
    assert_eq!((shop.level("cap", "").await.held, shop.level(TEE, FLASH).await.held), (2, 2));
}

#[tokio::test]
async fn edge_case_13_lines_of_one_sku_and_pool_are_summed_before_the_check() {
    let shop = Shop::open().await;
    shop.flash(10, 3).await;
    let twice = |quantity| [(TEE, FLASH, quantity), (TEE, FLASH, quantity)];
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &twice(2)).await), "BUYER_LIMIT");
    assert_eq!(shop.reserve(Uuid::now_v7(), "alice", &twice(1)).await.unwrap().lines[0].quantity, 2);
}

#[tokio::test]
async fn edge_case_23_a_buyers_limit_follows_the_reservations() {
    let shop = Shop::open().await;
    shop.flash(10, 1).await;
    let first = Uuid::now_v7();
    shop.reserve(first, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await), "BUYER_LIMIT");
    shop.release(first).await.unwrap();
    let second = Uuid::now_v7();
    shop.reserve(second, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    shop.commit(second).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await), "BUYER_LIMIT");
    assert!(shop.reserve(Uuid::now_v7(), "bob", &[(TEE, FLASH, 1)]).await.is_ok());
}

#[tokio::test]
async fn before_and_after_the_window_nothing_is_deducted() {
    let shop = Shop::open().await;
    shop.sku(TEE, 0).await;
    shop.create_campaign(campaign("early", 60, 120, &[(TEE, 5, 1)])).await.unwrap();
    shop.create_campaign(campaign("late", -120, -60, &[(TEE, 5, 1)])).await.unwrap();
    assert_eq!(
        reason(shop.reserve(Uuid::now_v7(), "alice", &[(TEE, "early", 1)]).await),
        "CAMPAIGN_NOT_OPEN"
    );
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &[(TEE, "late", 1)]).await), "CAMPAIGN_CLOSED");
    for id in ["early", "late"] {
        assert_eq!((shop.level(TEE, id).await.free, shop.gate_free(TEE, id).await), (5, Some(5)));
    }
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let shop = Shop::open().await;
    shop.sku("cap", 5).await;
    shop.flash(5, 1).await;
    let ask = async |line| shop.reserve(Uuid::now_v7(), "alice", &[("cap", "", 1), line]).await;
    let unknown = ask(("nope", "", 1)).await.unwrap_err();
    assert_eq!(metadata(&unknown, "field").as_deref(), Some("lines[1].sku_id"));
    assert_eq!(reason::<()>(Err(unknown)), "SKU_NOT_FOUND");
    assert_eq!(reason(ask(("cap", "nope", 1)).await), "CAMPAIGN_NOT_FOUND");
    assert_eq!(reason(ask(("cap", FLASH, 1)).await), "POOL_NOT_FOUND");
}

#[tokio::test]
async fn what_no_type_accepts_is_refused_with_its_field() {
    use tonic_types::StatusExt as _;
    let shop = Shop::open().await;
    shop.flash(5, 1).await;
    for (line, field) in [
        ((TEE, FLASH, 0), "lines[0].quantity"),
        ((TEE, FLASH, 1_001), "lines[0].quantity"),
        (("no spaces", FLASH, 1), "lines[0].sku_id"),
        ((TEE, "shelf", 1), "lines[0].campaign_id"),
    ] {
        let refused = shop.reserve(Uuid::now_v7(), "alice", &[line]).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "a\u{0}b", &[(TEE, FLASH, 1)]).await), "INVALID_ARGUMENT");
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &[]).await), "INVALID_ARGUMENT");
}
