//! The feed: a snapshot, then changes; a token resumes without a gap.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockLevel, WatchStockRequest, WatchStockResponse};
use tonic::Request;
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, reason};

fn everything_of_flash(resume_token: &str) -> WatchStockRequest {
    WatchStockRequest { sku_ids: vec![], campaign_id: FLASH.into(), resume_token: resume_token.into() }
}

async fn next(stream: &mut BoxStream<'_, WatchStockResponse>) -> WatchStockResponse {
    tokio::time::timeout(Duration::from_secs(10), stream.next())
        .await
        .expect("a message in time")
        .expect("a message")
}

fn levels(message: &WatchStockResponse) -> &[StockLevel] {
    match message.update.as_ref().unwrap() {
        Update::Snapshot(snapshot) => &snapshot.levels,
        Update::Delta(delta) => &delta.levels,
        Update::Heartbeat(_) => &[],
    }
}

#[tokio::test]
async fn a_watch_begins_with_a_snapshot_and_goes_on_with_changes() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let mut watch = shop.watch(everything_of_flash("")).await.unwrap();
    let snapshot = next(&mut watch).await;
    assert!(matches!(snapshot.update, Some(Update::Snapshot(_))));
    assert_eq!(levels(&snapshot)[0].free, 5);

    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 2)]).await.unwrap();
    let delta = next(&mut watch).await;
    assert!(matches!(delta.update, Some(Update::Delta(_))));
    assert_eq!((levels(&delta)[0].free, levels(&delta)[0].held), (3, 2));
    assert!(delta.sequence > snapshot.sequence);
}

#[tokio::test]
async fn a_token_resumes_with_what_was_missed() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let token = next(&mut shop.watch(everything_of_flash("")).await.unwrap()).await.resume_token;
    for _ in 0..3 {
        shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    }
    let mut resumed = shop.watch(everything_of_flash(&token)).await.unwrap();
    let missed = next(&mut resumed).await;
    assert!(matches!(missed.update, Some(Update::Delta(_))));
    assert_eq!(levels(&missed)[0].free, 2);
}

#[tokio::test]
async fn a_reader_that_stopped_gets_the_newest_level_only() {
    let shop = Shop::open().await;
    shop.flash(50, 50).await;
    let mut watch = shop.watch(everything_of_flash("")).await.unwrap();
    next(&mut watch).await;
    for _ in 0..20 {
        shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(levels(&next(&mut watch).await)[0].free, 30);
}

#[tokio::test]
async fn a_token_of_another_feed_or_a_made_up_one_is_refused() {
    let (shop, other) = (Shop::open().await, Shop::open().await);
    shop.flash(5, 5).await;
    other.flash(5, 5).await;
    let foreign = next(&mut other.watch(everything_of_flash("")).await.unwrap()).await.resume_token;
    for token in [foreign.as_str(), "made-up", &"0".repeat(128)] {
        let refused = shop.watch(everything_of_flash(token)).await.map(|_| ());
        assert_eq!(reason(refused), "RESUME_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_watch_names_what_it_watches() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let ask = async |sku_ids: &[&str], campaign_id: &str| {
        let request = WatchStockRequest {
            sku_ids: sku_ids.iter().map(ToString::to_string).collect(),
            campaign_id: campaign_id.into(),
            resume_token: String::new(),
        };
        shop.watch(request).await.map(|_| ())
    };
    assert_eq!(reason(ask(&[], "").await), "INVALID_ARGUMENT");
    assert_eq!(reason(ask(&["nope"], "").await), "SKU_NOT_FOUND");
    assert_eq!(reason(ask(&[], "nope").await), "CAMPAIGN_NOT_FOUND");
}

#[tokio::test]
async fn a_drain_ends_the_stream() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let mut watch = shop.watch(everything_of_flash("")).await.unwrap();
    next(&mut watch).await;
    shop.stop.cancel();
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_token_of_the_same_feed_from_ahead_of_its_ledger_is_refused() {
    let (shop, ahead) = (Shop::open().await, Shop::open().await);
    shop.flash(5, 5).await;
    ahead.flash(5, 5).await;
    ahead.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    let token = next(&mut ahead.watch(everything_of_flash("")).await.unwrap()).await.resume_token;
    let identity: (Uuid, Uuid) =
        sqlx::query_as("SELECT feed_id, secret FROM feed").fetch_one(&ahead.database.pool).await.unwrap();
    sqlx::query("UPDATE feed SET feed_id = $1, secret = $2")
        .bind(identity.0)
        .bind(identity.1)
        .execute(&shop.database.pool)
        .await
        .unwrap();
    // The same feed, on a ledger that has not got so far: one that was restored from a backup.
    let restored = shop.neighbour().await;
    let refused = restored.watch_stock(Request::new(everything_of_flash(&token))).await.map(|_| ());
    assert_eq!(reason(refused), "RESUME_TOKEN_INVALID");
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    restored.watch_stock(Request::new(everything_of_flash(&token))).await.map(|_| ()).unwrap();
}

#[tokio::test]
async fn a_token_is_taken_up_by_a_process_that_is_behind_the_one_that_gave_it() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let behind = shop.process().await;
    let behind = behind.api(&shop.stop);
    // It stands where its first watcher found it, and looks no further by itself.
    let _first = behind.watch_stock(Request::new(everything_of_flash(""))).await.unwrap();
    let mut watch = shop.watch(everything_of_flash("")).await.unwrap();
    next(&mut watch).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    let told = next(&mut watch).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();

    let resumed = behind.watch_stock(Request::new(everything_of_flash(&told.resume_token))).await.unwrap();
    let mut resumed = resumed.into_inner().map(Result::unwrap).boxed();
    let missed = next(&mut resumed).await;
    assert!(matches!(missed.update, Some(Update::Delta(_))));
    assert_eq!(levels(&missed)[0].free, 3);
    assert!(missed.sequence > told.sequence);
}

#[tokio::test]
async fn a_change_that_commits_late_is_told_after_newer_ones() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let both = WatchStockRequest { sku_ids: vec![TEE.into()], ..everything_of_flash("") };
    let mut watch = shop.watch(WatchStockRequest { campaign_id: String::new(), ..both }).await.unwrap();
    assert_eq!(levels(&next(&mut watch).await).len(), 2);
    let mut late = shop.database.pool.begin().await.unwrap();
    restock(&mut late, &[TEE.to_owned()]).await;
    for free in [4, 3] {
        shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
        let delta = next(&mut watch).await;
        assert_eq!(levels(&delta).iter().map(|l| l.free).collect::<Vec<_>>(), [free], "{delta:?}");
    }
    late.commit().await.unwrap();
    let delta = next(&mut watch).await;
    assert_eq!((levels(&delta)[0].campaign_id.as_str(), levels(&delta)[0].on_hand), ("", 1));
}

#[tokio::test]
async fn when_more_changes_than_is_told_cell_by_cell_everybody_still_hears_of_theirs() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let skus: Vec<String> = (0..10_000).map(|n| format!("sku-{n}")).collect();
    let pool = &shop.database.pool;
    sqlx::query("INSERT INTO sku SELECT (jsonb_populate_record(s, jsonb_build_object('sku_id', id))).* FROM sku s, unnest($1::text[]) id WHERE s.sku_id = 'tee'")
        .bind(&skus).execute(pool).await.unwrap();
    sqlx::query("INSERT INTO stock (pool, sku_id, on_hand, version) SELECT 'shelf', id, 0, 0 FROM unnest($1::text[]) id")
        .bind(&skus).execute(pool).await.unwrap();
    let of_one = |sku: &str| WatchStockRequest { sku_ids: vec![sku.into()], ..WatchStockRequest::default() };
    let mut watch = shop.watch(of_one("sku-77")).await.unwrap();
    next(&mut watch).await;
    let mut tx = pool.begin().await.unwrap();
    restock(&mut tx, &skus).await;
    tx.commit().await.unwrap();
    let delta = next(&mut watch).await;
    assert_eq!((levels(&delta).len(), levels(&delta)[0].on_hand), (1, 1));
}

/// One unit more on the shelf of each, as the ledger would write it.
async fn restock(conn: &mut sqlx::PgConnection, skus: &[String]) {
    sqlx::query(
        "WITH moved AS (
             INSERT INTO movement (sequence, pool, sku_id, kind, on_hand_delta)
             SELECT nextval('movement_sequence'), 'shelf', id, 'ADJUST', 1 FROM unnest($1::text[]) id
             RETURNING sku_id, sequence
         )
         UPDATE stock s SET on_hand = on_hand + 1, version = sequence, changed_in = pg_current_xact_id()
         FROM moved WHERE s.pool = 'shelf' AND s.sku_id = moved.sku_id",
    )
    .bind(skus)
    .execute(conn)
    .await
    .unwrap();
}
