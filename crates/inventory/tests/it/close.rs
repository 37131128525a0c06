//! A campaign that is closed sells no more, at once and everywhere, and what is left goes to the shelf.

use stampede_proto::inventory::v1::campaign_service_server::CampaignService as _;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{
    Campaign, CampaignState, CloseCampaignRequest, ReservationState, SetBackorderRequest,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, campaign, reason, reserve};

async fn close(shop: &Shop) -> Result<Campaign, Status> {
    let request = CloseCampaignRequest { campaign_id: FLASH.into() };
    shop.campaigns.close_campaign(Request::new(request)).await.map(Response::into_inner)
}

#[tokio::test]
async fn who_asks_after_the_close_hears_so_at_every_process() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let neighbour = shop.neighbour().await;
    let (sold, held) = (Uuid::now_v7(), Uuid::now_v7());
    shop.deduct(sold, "alice", (TEE, FLASH, 1)).await.unwrap();
    reserve(&neighbour, held, "bob", &[(TEE, FLASH, 1)], 0).await.unwrap();

    let closed = close(&shop).await.unwrap();
    assert_eq!((closed.state(), closed.items[0].free, closed.items[0].units), (CampaignState::Closed, 0, 5));
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "eve", (TEE, FLASH, 1)).await), "CAMPAIGN_CLOSED");
    let late = reserve(&neighbour, Uuid::now_v7(), "eve", &[(TEE, FLASH, 1)], 0).await;
    assert_eq!(reason(late), "CAMPAIGN_CLOSED");
    // The ledger says the same when the gate knows nothing.
    shop.flush().await;
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "eve", (TEE, FLASH, 1)).await), "CAMPAIGN_CLOSED");
    // What was promised stays so.
    assert!(shop.deduct(sold, "alice", (TEE, FLASH, 1)).await.is_ok());
    assert_eq!(shop.commit(held).await.unwrap().state(), ReservationState::Committed);
    shop.reconcile().await;
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn what_is_left_goes_to_the_shelf_once_and_what_comes_back_with_the_next_close() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let held = Uuid::now_v7();
    shop.reserve(held, "alice", &[(TEE, FLASH, 2)]).await.unwrap();
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "bob", (TEE, "", 1)).await), "OUT_OF_STOCK");
    let closed = close(&shop).await.unwrap();
    let (pool, shelf) = (shop.level(TEE, FLASH).await, shop.level(TEE, "").await);
    assert_eq!((pool.on_hand, pool.held, pool.free, shelf.on_hand), (2, 2, 0, 3));
    shop.deduct(Uuid::now_v7(), "bob", (TEE, "", 3)).await.unwrap();
    let before = shop.books().await;
    assert_eq!(close(&shop).await.unwrap(), closed, "the same again");
    assert_eq!(shop.books().await, before);

    shop.release(held).await.unwrap();
    assert_eq!(close(&shop).await.unwrap().closes_at, closed.closes_at);
    assert_eq!((shop.level(TEE, FLASH).await.on_hand, shop.level(TEE, "").await.free), (0, 2));
    shop.deduct(Uuid::now_v7(), "carol", (TEE, "", 2)).await.unwrap();
    shop.reconcile().await;
    shop.movements_make_the_levels().await;
    let closings = shop.events().await.into_iter().filter(|subject| subject == "inventory.campaign_closed");
    assert_eq!(closings.count(), 1);
}

#[tokio::test]
async fn a_closed_campaign_is_the_campaign_that_was_created() {
    let shop = Shop::open().await;
    shop.sku(TEE, 0).await;
    assert_eq!(reason(close(&shop).await), "CAMPAIGN_NOT_FOUND");
    let planned = campaign(FLASH, 600, 1_200, &[(TEE, 5, 1)]);
    shop.create_campaign(planned.clone()).await.unwrap();
    let closed = close(&shop).await.unwrap();
    assert_eq!(closed.state(), CampaignState::Closed, "before it ever opened");
    assert_eq!(closed.opens_at, closed.closes_at);
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await), "CAMPAIGN_CLOSED");
    assert_eq!(shop.create_campaign(planned.clone()).await.unwrap(), closed);
    let other = Campaign { closes_at: closed.closes_at, ..planned };
    assert_eq!(reason(shop.create_campaign(other).await), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_closed_pool_promises_nothing_more_beyond_its_stock() {
    let shop = Shop::open().await;
    shop.flash(1, 9).await;
    let request = SetBackorderRequest { sku_id: TEE.into(), campaign_id: FLASH.into(), backorder: 5 };
    shop.stock.set_backorder(Request::new(request)).await.unwrap();
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 3)).await.unwrap();
    close(&shop).await.unwrap();
    let level = shop.level(TEE, FLASH).await;
    assert_eq!((level.on_hand, level.committed, level.backorder, level.free), (1, 3, 2, 0));
    assert_eq!(shop.level(TEE, "").await.on_hand, 0);
    shop.movements_make_the_levels().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_in_the_middle_of_a_sale_keeps_every_unit() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.flash(200, 1).await;
    let buyers = (0..100).map(|n| {
        let shop = shop.clone();
        tokio::spawn(async move {
            if n == 40 {
                close(&shop).await.unwrap();
            }
            shop.deduct(Uuid::now_v7(), &format!("buyer-{n}"), (TEE, FLASH, 1)).await.is_ok()
        })
    });
    let sold =
        futures::future::join_all(buyers).await.into_iter().filter(|sold| *sold.as_ref().unwrap()).count();
    let sold = i64::try_from(sold).unwrap();
    let (pool, shelf) = (shop.level(TEE, FLASH).await, shop.level(TEE, "").await);
    assert_eq!((pool.committed, pool.on_hand + shelf.on_hand, pool.free), (sold, 200, 0));
    let closed_at = "SELECT count(*) FROM reservation r, campaign c WHERE r.created_at >= c.closes_at";
    let late: i64 = sqlx::query_scalar(closed_at).fetch_one(&shop.database.pool).await.unwrap();
    assert_eq!(late, 0, "nothing is sold past the close");
    shop.reconcile().await;
    shop.movements_make_the_levels().await;
}
