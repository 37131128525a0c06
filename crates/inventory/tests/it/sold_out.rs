//! The sold-out flag: it answers alone, and ends everywhere as soon as units come back anywhere.

use std::time::Duration;

use stampede_inventory::grpc::InventoryApi;
use stampede_inventory::{Inventory, SoldOut};
use stampede_kit::client::repeated;
use stampede_kit::testing;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{
    AdjustStockRequest, DeductStockRequest, ReleaseReservationRequest, ReservationLine, ReserveStockRequest,
    ReturnStockRequest,
};
use tonic::Request;
use uuid::Uuid;

use crate::gate::set_free;
use crate::process::Process;
use crate::shop::{FLASH, Shop, TEE, eventually, reason, reserve};

/// The flag does not end by itself while a test runs.
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// Nobody listens here.
const NO_NATS: &str = "nats://127.0.0.1:9";

/// Another process of the shop, whose flags last so long. It reads no feed.
async fn process(shop: &Shop, lasts: Duration, nats_url: &str) -> (InventoryApi, Inventory) {
    let sold_out = SoldOut { lasts, ..SoldOut::default() };
    let process = Process::start(shop.database.pool.clone(), &shop.gate, sold_out).await;
    process.talk(nats_url, &shop.stop).await;
    (process.api(&shop.stop), process.inventory)
}

async fn one(stock: &InventoryApi, hold_ms: u32) -> Result<Uuid, tonic::Status> {
    let id = Uuid::now_v7();
    reserve(stock, id, "bob", &[(TEE, FLASH, 1)], hold_ms).await.map(|_| id)
}

async fn restock(stock: &InventoryApi) {
    let request = AdjustStockRequest {
        sku_id: TEE.into(),
        campaign_id: FLASH.into(),
        delta: 1,
        reason: "found".into(),
        adjustment_id: Uuid::now_v7().to_string(),
    };
    stock.adjust_stock(Request::new(request)).await.unwrap();
}

async fn sells_again(stock: &InventoryApi, hold_ms: u32) -> Uuid {
    let mut sold = None;
    eventually("it sells again", async || {
        sold = one(stock, hold_ms).await.ok();
        sold.is_some()
    })
    .await;
    sold.unwrap()
}

/// Sold out here, without Redis being asked: it would say that there is plenty.
async fn is_flagged(shop: &Shop, stock: &InventoryApi) {
    assert_eq!(reason(one(stock, 0).await), "OUT_OF_STOCK");
    set_free(shop, 100).await;
    assert_eq!(reason(one(stock, 0).await), "OUT_OF_STOCK");
    set_free(shop, 0).await;
}

#[tokio::test]
async fn units_that_come_back_at_one_process_are_sold_by_the_others_whatever_brought_them_back() {
    let shop = Shop::open().await;
    shop.flash(1, 1_000).await;
    let (here, sweeper) = process(&shop, FOR_EVER, &testing::nats_url()).await;
    let (there, _) = process(&shop, FOR_EVER, &testing::nats_url()).await;
    one(&here, 0).await.unwrap();
    is_flagged(&shop, &there).await;
    // The first news may come before the other listens.
    eventually("a restock is heard of", async || {
        restock(&here).await;
        one(&there, 0).await.is_ok()
    })
    .await;
    while one(&here, 0).await.is_ok() {}

    is_flagged(&shop, &there).await;
    restock(&here).await;
    let held = sells_again(&there, 0).await;

    is_flagged(&shop, &there).await;
    let release = ReleaseReservationRequest { reservation_id: held.to_string(), keep: vec![] };
    here.release_reservation(Request::new(release)).await.unwrap();
    sells_again(&there, 1_000).await;

    is_flagged(&shop, &there).await;
    eventually("the hold is over", async || sweeper.sweep().await.unwrap() > 0).await;
    let sold = sells_again(&there, 0).await;

    is_flagged(&shop, &there).await;
    shop.commit(sold).await.unwrap();
    let back = ReturnStockRequest {
        reservation_id: sold.to_string(),
        return_id: Uuid::now_v7().to_string(),
        lines: vec![],
    };
    here.return_stock(Request::new(back)).await.unwrap();
    sells_again(&there, 0).await;
    is_flagged(&shop, &there).await;
}

#[tokio::test]
async fn without_nats_the_flag_ends_by_its_time_to_live() {
    let shop = Shop::open().await;
    shop.flash(1, 1_000).await;
    let (here, _) = process(&shop, FOR_EVER, NO_NATS).await;
    let (there, _) = process(&shop, Duration::from_millis(200), NO_NATS).await;
    let held = one(&here, 0).await.unwrap();
    assert_eq!(reason(one(&there, 0).await), "OUT_OF_STOCK");
    let release = ReleaseReservationRequest { reservation_id: held.to_string(), keep: vec![] };
    here.release_reservation(Request::new(release)).await.unwrap();
    sells_again(&there, 0).await;
}

#[tokio::test]
async fn a_repeated_request_meets_what_another_process_accepted_and_not_the_flag() {
    let shop = Shop::open().await;
    shop.flash(2, 1_000).await;
    let (here, _) = process(&shop, FOR_EVER, NO_NATS).await;
    let (there, _) = process(&shop, FOR_EVER, NO_NATS).await;
    let (held, sold) = (Uuid::now_v7(), Uuid::now_v7());
    let reserved = here.reserve_stock(reserving(held)).await.unwrap().into_inner();
    let deducted = here.deduct_stock(deducting(sold)).await.unwrap().into_inner();
    is_flagged(&shop, &there).await;

    assert_eq!(reason(there.reserve_stock(reserving(held)).await), "OUT_OF_STOCK", "it does not know better");
    assert_eq!(there.reserve_stock(repeated(reserving(held))).await.unwrap().into_inner(), reserved);
    assert_eq!(there.deduct_stock(repeated(deducting(sold))).await.unwrap().into_inner(), deducted);
    assert_eq!(reason(there.reserve_stock(repeated(reserving(Uuid::now_v7()))).await), "OUT_OF_STOCK");
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(0));
}

fn reserving(id: Uuid) -> Request<ReserveStockRequest> {
    let line = ReservationLine { sku_id: TEE.into(), campaign_id: FLASH.into(), quantity: 1 };
    Request::new(ReserveStockRequest {
        reservation_id: id.to_string(),
        buyer_id: "bob".into(),
        lines: vec![line],
        hold_ms: 0,
    })
}

fn deducting(id: Uuid) -> Request<DeductStockRequest> {
    Request::new(DeductStockRequest {
        sku_id: TEE.into(),
        campaign_id: FLASH.into(),
        buyer_id: "bob".into(),
        quantity: 1,
        deduction_id: id.to_string(),
    })
}

/// Commits of buyer `slow` wait until somebody lets go of this lock.
const COMMITS: &str = "SELECT pg_advisory_lock(42)";

#[tokio::test]
async fn a_repeated_request_is_not_refused_while_its_first_try_is_committing() {
    let shop = Shop::open().await;
    shop.flash(2, 1_000).await;
    for statement in [
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON reservation DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.buyer_id = 'slow') EXECUTE FUNCTION wait()",
    ] {
        sqlx::query(statement).execute(&shop.database.pool).await.unwrap();
    }
    let mut holder = shop.database.pool.acquire().await.unwrap();
    sqlx::query(COMMITS).execute(&mut *holder).await.unwrap();
    let id = Uuid::now_v7();
    let wanted = move || DeductStockRequest {
        sku_id: TEE.into(),
        campaign_id: FLASH.into(),
        buyer_id: "slow".into(),
        quantity: 1,
        deduction_id: id.to_string(),
    };
    let there = shop.neighbour().await;
    let first = tokio::spawn(async move { there.deduct_stock(Request::new(wanted())).await });
    eventually("the first try is committing", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&shop.database.pool).await.unwrap() > 0
    })
    .await;
    // A gate that was loaded meanwhile knows nothing of it.
    let tokens = format!("{}:{{pool:{FLASH}}}:tokens:{TEE}", shop.prefix);
    redis::cmd("DEL").arg(tokens).exec_async(&mut shop.redis.clone()).await.unwrap();
    set_free(&shop, 0).await;

    let mut again = Box::pin(shop.stock.deduct_stock(repeated(Request::new(wanted()))));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut again).await;
    assert!(early.is_err(), "nobody can know yet: {early:?}");
    drop(holder.close().await);
    let again = again.await.unwrap().into_inner();
    assert_eq!(again, first.await.unwrap().unwrap().into_inner());
}
