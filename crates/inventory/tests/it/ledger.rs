//! The ledger: a poisoned request fails alone, movements rebuild the levels, adjustments never take what is promised.

use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{AdjustStockRequest, StockLevel};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, reason, reserve};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_request_fails_alone_and_its_neighbours_succeed() {
    let shop = Arc::new(Shop::open().await);
    shop.flash(100, 100).await;
    for statement in [
        "CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.buyer_id = 'poison' THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER poison BEFORE INSERT ON reservation FOR EACH ROW EXECUTE FUNCTION refuse_poison()",
    ] {
        sqlx::query(statement).execute(&shop.database.pool).await.unwrap();
    }
    let buyers = (0..40).map(|n| {
        let shop = shop.clone();
        let buyer = if n == 20 { "poison" } else { "alice" };
        tokio::spawn(async move { (buyer, shop.reserve(Uuid::now_v7(), buyer, &[(TEE, FLASH, 1)]).await) })
    });
    for (buyer, answer) in futures::future::join_all(buyers).await.into_iter().map(Result::unwrap) {
        match buyer {
            "poison" => assert_eq!(reason(answer), "INTERNAL"),
            _ => assert!(answer.is_ok(), "{answer:?}"),
        }
    }
    assert_eq!(shop.level(TEE, FLASH).await.held, 39);
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(60), "the poisoned unit is back");
}

#[tokio::test]
async fn the_movements_add_up_to_every_level() {
    let shop = Shop::open().await;
    shop.sku("cap", 7).await;
    shop.flash(9, 9).await;
    let (sold, gone) = (Uuid::now_v7(), Uuid::now_v7());
    shop.reserve(sold, "alice", &[(TEE, FLASH, 2), ("cap", "", 3)]).await.unwrap();
    shop.reserve(gone, "alice", &[(TEE, FLASH, 2)]).await.unwrap();
    shop.commit(sold).await.unwrap();
    shop.release(gone).await.unwrap();
    shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await.unwrap();
    adjust(&shop, Uuid::now_v7(), "cap", "", -2).await.unwrap();

    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM stock s JOIN (
             SELECT pool, sku_id, sum(on_hand_delta) AS on_hand, sum(held_delta) AS held,
                    sum(committed_delta) AS committed, max(sequence) AS version
             FROM movement GROUP BY pool, sku_id
         ) m USING (pool, sku_id)
         WHERE (s.on_hand, s.held, s.committed, s.version) IS DISTINCT FROM (m.on_hand, m.held, m.committed, m.version)",
    )
    .fetch_one(&shop.database.pool)
    .await
    .unwrap();
    assert_eq!(wrong, 0);
    let facts = ["held", "held", "committed", "released", "deducted", "adjusted"]
        .map(|fact| format!("inventory.{fact}"));
    assert!(shop.events().await.ends_with(&facts), "{:?}", shop.events().await);
}

async fn adjust(shop: &Shop, id: Uuid, sku: &str, campaign: &str, delta: i64) -> Result<StockLevel, Status> {
    let request = AdjustStockRequest {
        sku_id: sku.into(),
        campaign_id: campaign.into(),
        delta,
        reason: "count".into(),
        adjustment_id: id.to_string(),
    };
    shop.stock.adjust_stock(Request::new(request)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn an_adjustment_happens_once_reopens_the_sale_and_never_takes_what_is_promised() {
    let shop = Shop::open().await;
    shop.flash(1, 9).await;
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "bob", &[(TEE, FLASH, 1)]).await), "OUT_OF_STOCK");

    let id = Uuid::now_v7();
    let restocked = adjust(&shop, id, TEE, FLASH, 2).await.unwrap();
    assert_eq!((restocked.on_hand, restocked.free), (3, 2));
    shop.reserve(Uuid::now_v7(), "bob", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(adjust(&shop, id, TEE, FLASH, 2).await.unwrap(), restocked, "the stored answer");
    assert_eq!(reason(adjust(&shop, id, TEE, FLASH, 3).await), "ADJUSTMENT_CONFLICT");
    assert_eq!(reason(adjust(&shop, Uuid::now_v7(), TEE, FLASH, -2).await), "STOCK_BELOW_HELD");
    assert_eq!(reason(adjust(&shop, Uuid::now_v7(), "nope", "", 1).await), "SKU_NOT_FOUND");
    assert_eq!(shop.level(TEE, FLASH).await.on_hand, 3);
}

#[tokio::test]
async fn the_checks_stand_behind_the_code() {
    let shop = Shop::open().await;
    shop.flash(1, 1).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    for (table, change, constraint) in [
        ("stock", "held = 1", "stock_never_oversold"),
        ("stock", "held = -1", "stock_held_not_negative"),
        ("stock", "committed = -1", "stock_committed_not_negative"),
        ("buyer_quota", "used = max + 1", "buyer_quota_within_limit"),
        ("buyer_quota", "used = -1", "buyer_quota_not_negative"),
        ("reservation", "state = 'PENDING', expires_at = now()", "reservation_resolved_at"),
        ("reservation", "resolved_at = NULL", "reservation_resolved_at"),
        ("reservation", "quantities = '{2}'", "reservation_quantities_at_most_asked"),
        ("reservation", "returned = '{2}'", "reservation_returned_at_most_all"),
    ] {
        let statement = sqlx::AssertSqlSafe(format!("UPDATE {table} SET {change}"));
        let refused = sqlx::query(statement).execute(&shop.database.pool).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().constraint(), Some(constraint), "{change}");
    }
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_a_clear_unavailable_for_the_whole_batch_and_no_oversell() {
    let shop = Shop::open().await;
    shop.flash(30, 30).await;
    // The service's own connections have such a limit too; those of a test have none.
    let options = PgConnectOptions::from_str(shop.database.url.expose()).unwrap();
    let impatient = options.options([("lock_timeout", "300ms")]);
    let stock = Arc::new(shop.neighbour_over(PgPool::connect_with(impatient).await.unwrap()).await);
    reserve(&stock, Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)], 0).await.unwrap();

    let mut holding = shop.database.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM stock FOR UPDATE").execute(&mut *holding).await.unwrap();
    let buyers = (0..20).map(|_| {
        let stock = stock.clone();
        tokio::spawn(async move { reserve(&stock, Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)], 0).await })
    });
    for answer in futures::future::join_all(buyers).await {
        assert_eq!(reason(answer.unwrap()), "UNAVAILABLE");
    }
    holding.rollback().await.unwrap();
    reserve(&stock, Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)], 0).await.unwrap();
    assert_eq!((shop.level(TEE, FLASH).await.held, shop.gate_free(TEE, FLASH).await), (2, Some(28)));
}
