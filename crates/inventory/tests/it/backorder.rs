//! Selling beyond what is on hand: only where somebody said so, and only as far.

use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{AdjustStockRequest, SetBackorderRequest, StockLevel};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, metadata, reason};

async fn set(shop: &Shop, campaign: &str, backorder: i64) -> Result<StockLevel, Status> {
    let request = SetBackorderRequest { sku_id: TEE.into(), campaign_id: campaign.into(), backorder };
    shop.stock.set_backorder(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn adjust(shop: &Shop, delta: i64) -> Result<StockLevel, Status> {
    let request = AdjustStockRequest {
        sku_id: TEE.into(),
        campaign_id: FLASH.into(),
        delta,
        reason: "count".into(),
        adjustment_id: Uuid::now_v7().to_string(),
    };
    shop.stock.adjust_stock(Request::new(request)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn without_it_nothing_is_sold_beyond_what_is_on_hand() {
    let shop = Shop::open().await;
    shop.flash(3, 10).await;
    let level = shop.level(TEE, FLASH).await;
    assert_eq!((level.backorder, level.free), (0, 3));
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 4)).await), "OUT_OF_STOCK");
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 3)).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "bob", &[(TEE, FLASH, 1)]).await), "OUT_OF_STOCK");
    // Not even somebody who writes past every rule can.
    let past = sqlx::query("UPDATE stock SET committed = committed + 1").execute(&shop.database.pool).await;
    assert!(past.unwrap_err().to_string().contains("stock_never_oversold"));
}

#[tokio::test]
async fn a_pool_sells_as_far_beyond_as_it_says_and_no_unit_more() {
    let shop = Shop::open().await;
    shop.flash(2, 10).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 2)).await.unwrap();
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");

    let level = set(&shop, FLASH, 3).await.unwrap();
    assert_eq!((level.on_hand, level.backorder, level.free, level.committed), (2, 3, 3, 2));
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3));
    assert_eq!(set(&shop, FLASH, 3).await.unwrap(), level, "the same again changes nothing");

    let held = Uuid::now_v7();
    shop.reserve(held, "bob", &[(TEE, FLASH, 3)]).await.unwrap();
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "eve", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
    shop.commit(held).await.unwrap();
    shop.reconcile().await;
    assert_eq!(shop.level(TEE, FLASH).await.free, 0);
    assert_eq!(shop.level(TEE, "").await.backorder, 0, "the shelf said nothing");

    // What arrives covers what was promised first.
    assert_eq!(adjust(&shop, 4).await.unwrap().free, 4);
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(4));
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn lowering_it_below_what_is_promised_is_refused_and_to_it_is_not() {
    let shop = Shop::open().await;
    shop.flash(1, 10).await;
    set(&shop, FLASH, 5).await.unwrap();
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 3)]).await.unwrap();
    let before = shop.books().await;

    let refused = set(&shop, FLASH, 1).await.unwrap_err();
    assert_eq!(metadata(&refused, "promised").as_deref(), Some("2"));
    assert_eq!(reason::<()>(Err(refused)), "BACKORDER_PROMISED");
    let loss = adjust(&shop, -4).await.unwrap_err();
    assert_eq!(metadata(&loss, "free").as_deref(), Some("1"), "one is on hand");
    assert_eq!(reason::<()>(Err(loss)), "STOCK_BELOW_HELD");
    assert_eq!(shop.books().await, before);

    assert_eq!(set(&shop, FLASH, 2).await.unwrap().free, 0);
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(0));
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
    shop.movements_make_the_levels().await;
}
