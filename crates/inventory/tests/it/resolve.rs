//! Reservations end once: committed, released or expired; what comes back can be sold again.

use std::sync::Arc;

use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{ReservationLine, ReservationState, ReturnStockRequest, StockLevel};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, eventually, metadata, reason, reserve};

#[tokio::test]
async fn edge_case_21_an_expired_hold_cannot_be_committed_and_gives_its_units_and_limit_back() {
    let shop = Shop::open().await;
    shop.flash(1, 1).await;
    let id = Uuid::now_v7();
    reserve(&shop.stock, id, "alice", &[(TEE, FLASH, 1)], 1).await.unwrap();
    eventually("the hold has expired", async || {
        shop.reservation(id).await.unwrap().state() == ReservationState::Expired
    })
    .await;

    let lost = shop.commit(id).await.unwrap_err();
    assert_eq!(metadata(&lost, "state").as_deref(), Some("EXPIRED"));
    assert_eq!(reason::<()>(Err(lost)), "RESERVATION_RESOLVED");
    assert_eq!(shop.level(TEE, FLASH).await.held, 1, "nobody has swept yet");
    assert_eq!(shop.inventory.sweep().await.unwrap(), 1);
    assert_eq!(shop.level(TEE, FLASH).await.free, 1);
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(1));
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert!(shop.events().await.contains(&"inventory.expired".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committing_releasing_and_expiring_at_once_has_one_winner() {
    let shop = Arc::new(Shop::open().await);
    shop.flash(40, 40).await;
    let ids: Vec<_> = (0..40).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        reserve(&shop.stock, *id, "alice", &[(TEE, FLASH, 1)], 40).await.unwrap();
    }
    let races = ids.iter().map(|id| {
        let (id, shop) = (*id, shop.clone());
        tokio::spawn(async move {
            let (committed, _, _) = tokio::join!(shop.commit(id), shop.release(id), shop.inventory.sweep());
            committed.is_ok()
        })
    });
    let committed =
        futures::future::join_all(races).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    eventually("all are resolved", async || {
        shop.inventory.sweep().await.unwrap();
        shop.level(TEE, FLASH).await.held == 0
    })
    .await;
    let level = shop.level(TEE, FLASH).await;
    assert_eq!(level.committed, i64::try_from(committed).unwrap());
    let ends: i64 =
        sqlx::query_scalar("SELECT sum(members) FROM movement WHERE kind IN ('COMMIT', 'RELEASE', 'EXPIRE')")
            .fetch_one(&shop.database.pool)
            .await
            .unwrap();
    assert_eq!(ends, 40);
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(level.free));
}

#[tokio::test]
async fn the_loser_learns_who_won_and_the_winner_may_ask_again() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let (sold, gone) = (Uuid::now_v7(), Uuid::now_v7());
    shop.reserve(sold, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    shop.reserve(gone, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    shop.commit(sold).await.unwrap();
    shop.release(gone).await.unwrap();

    assert_eq!(shop.commit(sold).await.unwrap().state(), ReservationState::Committed);
    assert_eq!(shop.release(gone).await.unwrap().state(), ReservationState::Released);
    assert_eq!(metadata(&shop.release(sold).await.unwrap_err(), "state").as_deref(), Some("COMMITTED"));
    assert_eq!(metadata(&shop.commit(gone).await.unwrap_err(), "state").as_deref(), Some("RELEASED"));
    assert_eq!(reason(shop.reserve(gone, "alice", &[(TEE, FLASH, 1)]).await), "RESERVATION_RESOLVED");
    assert_eq!(reason(shop.commit(Uuid::now_v7()).await), "RESERVATION_NOT_FOUND");
    assert_eq!(reason(shop.reservation(Uuid::now_v7()).await), "RESERVATION_NOT_FOUND");
}

#[tokio::test]
async fn a_reservation_that_arrives_after_its_release_is_refused() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let id = Uuid::now_v7();
    assert_eq!(shop.release(id).await.unwrap().state(), ReservationState::Released);
    assert_eq!(reason(shop.reserve(id, "alice", &[(TEE, FLASH, 1)]).await), "RESERVATION_RESOLVED");
    assert_eq!((shop.level(TEE, FLASH).await.free, shop.gate_free(TEE, FLASH).await), (5, Some(5)));
}

pub async fn give_back(
    shop: &Shop,
    id: Uuid,
    return_id: Uuid,
    quantity: Option<u32>,
) -> Result<Vec<StockLevel>, Status> {
    let line = |quantity| ReservationLine { sku_id: TEE.into(), campaign_id: FLASH.into(), quantity };
    let request = ReturnStockRequest {
        reservation_id: id.to_string(),
        return_id: return_id.to_string(),
        lines: quantity.map(line).into_iter().collect(),
    };
    shop.stock.return_stock(Request::new(request)).await.map(|response| response.into_inner().levels)
}

#[tokio::test]
async fn returned_units_come_back_once_and_free_the_limit() {
    let shop = Shop::open().await;
    shop.flash(3, 3).await;
    let (id, first) = (Uuid::now_v7(), Uuid::now_v7());
    shop.reserve(id, "alice", &[(TEE, FLASH, 3)]).await.unwrap();
    assert_eq!(reason(give_back(&shop, id, first, None).await), "RESERVATION_RESOLVED");
    shop.commit(id).await.unwrap();

    assert_eq!(give_back(&shop, id, first, Some(1)).await.unwrap()[0].free, 1);
    assert_eq!(give_back(&shop, id, first, Some(1)).await.unwrap()[0].free, 1);
    assert_eq!(reason(give_back(&shop, id, first, Some(2)).await), "RESERVATION_CONFLICT");
    assert_eq!(reason(give_back(&shop, id, Uuid::now_v7(), Some(3)).await), "INVALID_ARGUMENT");
    assert_eq!(give_back(&shop, id, Uuid::now_v7(), None).await.unwrap()[0].free, 3);
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3));
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 3)]).await.unwrap();
}

#[tokio::test]
async fn a_repeated_return_answers_the_same_cells_as_the_first() {
    let shop = Shop::open().await;
    shop.flash(3, 3).await;
    shop.sku("cap", 3).await;
    let (id, part, rest, nothing) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    shop.reserve(id, "alice", &[(TEE, FLASH, 2), ("cap", "", 1)]).await.unwrap();
    shop.commit(id).await.unwrap();
    let cells = async |return_id: Uuid, quantity: Option<u32>| -> Vec<String> {
        let levels = give_back(&shop, id, return_id, quantity).await.unwrap();
        levels.into_iter().map(|level| level.sku_id).collect()
    };
    for (return_id, quantity, named) in
        [(part, Some(1), vec![TEE]), (rest, None, vec!["cap", TEE]), (nothing, None, vec!["cap", TEE])]
    {
        assert_eq!(cells(return_id, quantity).await, named);
        assert_eq!(cells(return_id, quantity).await, named, "again");
    }
}

#[tokio::test]
async fn a_reservation_that_arrives_while_its_release_is_under_way_is_released() {
    let shop = Shop::open().await;
    shop.sku(TEE, 5).await;
    let id = Uuid::now_v7();
    let db = &shop.database.pool;
    let mut arriving = db.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE stock IN ACCESS EXCLUSIVE MODE").execute(&mut *arriving).await.unwrap();
    let releasing = shop.release(id);
    let arrival = async {
        // It has looked for the reservation's lines and found none.
        crate::shop::eventually("the release waits for the level", async || waits_for_stock(db).await).await;
        let hold = format!(
            "INSERT INTO reservation
                 (reservation_id, kind, buyer_id, state, expires_at, created_at, pools, skus, asked)
             VALUES ('{id}', 'HOLD', 'alice', 'PENDING', now() + interval '1 hour', now(), '{{shelf}}', '{{{TEE}}}', '{{2}}');
             UPDATE stock SET held = 2"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut *arriving).await.unwrap();
        arriving.commit().await.unwrap();
    };

    let (released, ()) = tokio::join!(releasing, arrival);

    assert_eq!(released.unwrap().state(), ReservationState::Released);
    assert_eq!(shop.level(TEE, "").await.held, 0);
}

async fn waits_for_stock(db: &sqlx::PgPool) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_database d ON d.oid = l.database
                        WHERE d.datname = current_database() AND c.relname = 'stock' AND l.mode = 'RowShareLock'
                          AND NOT l.granted)",
    )
    .fetch_one(db)
    .await
    .unwrap()
}
