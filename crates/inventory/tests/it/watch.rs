//! The feed: a snapshot, then changes; a token resumes without a gap.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockLevel, WatchStockRequest, WatchStockResponse};
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
