//! Bad input, one table: each has its reason and its field, and the ledger is as it was. Field rules are asked as the stack
//! asks them, before the handler.

use futures::StreamExt as _;
use prost::Message;
use stampede_inventory::grpc::InventoryApi;
use stampede_proto::inventory::v1::campaign_service_server::CampaignService as _;
use stampede_proto::inventory::v1::catalog_service_server::CatalogService as _;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{
    AdjustStockRequest, CommitReservationRequest, CreateCampaignRequest, CreateSkuRequest,
    DeductStockRequest, ExtendReservationRequest, ReleaseReservationRequest, ReservationLine,
    ReserveStockRequest, ReturnStockRequest, SetBackorderRequest, Sku, WatchStockRequest,
};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::process::contract;
use crate::shop::{FLASH, Shop, TEE, campaign, eur, metadata, reason};

const OVER: &str = "over";
/// The quantity above the cap.
const TOO_MANY: u32 = 1_001;

/// What a caller hears: the reason, and the field or the fact that names what is wrong.
type Heard = (String, String);

/// Asks the stack's rules, then the handler.
async fn hear<M: Message, T: std::fmt::Debug>(
    method: &str,
    message: M,
    call: impl AsyncFnOnce(Request<M>) -> Result<T, Status>,
) -> Heard {
    let rules = contract().rules_of(&format!("/stampede.inventory.v1.{method}")).unwrap();
    if let Some(broken) = rules.check(&message.encode_to_vec()).into_iter().next() {
        return ("INVALID_ARGUMENT".into(), broken.path);
    }
    let status = call(Request::new(message)).await.expect_err("bad input is refused");
    let field = status.get_details_bad_request().map(|bad| bad.field_violations[0].field.clone());
    let fact = ["field", "campaign_id", "reservation_id"].iter().find_map(|key| metadata(&status, key));
    (reason::<()>(Err(status)), field.or(fact).unwrap_or_default())
}

fn line(sku_id: &str, campaign_id: &str, quantity: u32) -> ReservationLine {
    ReservationLine { sku_id: sku_id.into(), campaign_id: campaign_id.into(), quantity }
}

async fn reserve(shop: &Shop, id: Uuid, buyer: &str, lines: Vec<ReservationLine>) -> Heard {
    let reservation_id = id.to_string();
    let request = ReserveStockRequest { reservation_id, buyer_id: buyer.into(), lines, hold_ms: 0 };
    hear("InventoryService/ReserveStock", request, async |r| shop.stock.reserve_stock(r).await).await
}

async fn deduct(shop: &Shop, sku: &str, campaign: &str, quantity: u32) -> Heard {
    let request = DeductStockRequest {
        sku_id: sku.into(),
        campaign_id: campaign.into(),
        buyer_id: "alice".into(),
        quantity,
        deduction_id: Uuid::now_v7().to_string(),
    };
    hear("InventoryService/DeductStock", request, async |r| shop.stock.deduct_stock(r).await).await
}

async fn adjust(shop: &Shop, delta: i64, reason: &str, adjustment_id: &str) -> Heard {
    let (sku_id, campaign_id) = (TEE.to_owned(), FLASH.to_owned());
    let (reason, adjustment_id) = (reason.to_owned(), adjustment_id.to_owned());
    let request = AdjustStockRequest { sku_id, campaign_id, delta, reason, adjustment_id };
    hear("InventoryService/AdjustStock", request, async |r| shop.stock.adjust_stock(r).await).await
}

async fn back(shop: &Shop, id: Uuid, return_id: &str, lines: Vec<ReservationLine>) -> Heard {
    let request = ReturnStockRequest { reservation_id: id.to_string(), return_id: return_id.into(), lines };
    hear("InventoryService/ReturnStock", request, async |r| shop.stock.return_stock(r).await).await
}

/// Five TEEs in an open campaign, two of them held, a campaign that is over, and a cap on the shelf.
async fn shop() -> (Shop, Uuid) {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    shop.sku("cap", 1).await;
    shop.create_campaign(campaign(OVER, -120, -60, &[(TEE, 5, 5)])).await.unwrap();
    let held = Uuid::now_v7();
    shop.reserve(held, "alice", &[(TEE, FLASH, 2)]).await.unwrap();
    (shop, held)
}

/// Every row has been asked, and nothing was changed by any.
async fn unchanged(shop: &Shop, before: &[String], heard: Vec<(Heard, &str, &str)>) {
    for (at, ((reason, field), wanted, at_field)) in heard.into_iter().enumerate() {
        assert_eq!((reason.as_str(), field.as_str()), (wanted, at_field), "row {at}");
    }
    assert_eq!(shop.books().await, before);
}

#[tokio::test]
async fn what_does_not_exist_is_not_open_or_is_no_quantity_is_not_held_or_sold() {
    let (shop, held) = shop().await;
    let before = shop.books().await;
    let id = Uuid::now_v7();
    let ask = async |lines| reserve(&shop, id, "bob", lines).await;
    let ok = || line(TEE, FLASH, 1);
    let taken = held.to_string();
    let heard = vec![
        (ask(vec![ok(), line("nope", FLASH, 1)]).await, "SKU_NOT_FOUND", "lines[1].sku_id"),
        (ask(vec![ok(), line(TEE, "nope", 1)]).await, "CAMPAIGN_NOT_FOUND", "lines[1].campaign_id"),
        (ask(vec![ok(), line("cap", FLASH, 1)]).await, "POOL_NOT_FOUND", FLASH),
        (ask(vec![ok(), line(TEE, OVER, 1)]).await, "CAMPAIGN_CLOSED", OVER),
        (ask(vec![ok(), line(TEE, FLASH, 0)]).await, "INVALID_ARGUMENT", "lines[1].quantity"),
        (ask(vec![ok(), line(TEE, FLASH, TOO_MANY)]).await, "INVALID_ARGUMENT", "lines[1].quantity"),
        (ask(vec![ok(), line("no id", FLASH, 1)]).await, "INVALID_ARGUMENT", "lines[1].sku_id"),
        (ask(vec![]).await, "INVALID_ARGUMENT", "lines"),
        (ask(vec![ok(); 101]).await, "INVALID_ARGUMENT", "lines"),
        (ask(vec![line(TEE, FLASH, 4)]).await, "OUT_OF_STOCK", FLASH),
        (reserve(&shop, held, "alice", vec![ok()]).await, "RESERVATION_CONFLICT", taken.as_str()),
        (
            reserve(&shop, held, "bob", vec![line(TEE, FLASH, 2)]).await,
            "RESERVATION_CONFLICT",
            taken.as_str(),
        ),
        (reserve(&shop, id, "", vec![ok()]).await, "INVALID_ARGUMENT", "buyer_id"),
        (deduct(&shop, "nope", "", 1).await, "SKU_NOT_FOUND", "sku_id"),
        (deduct(&shop, TEE, "nope", 1).await, "CAMPAIGN_NOT_FOUND", "campaign_id"),
        (deduct(&shop, "cap", FLASH, 1).await, "POOL_NOT_FOUND", FLASH),
        (deduct(&shop, TEE, OVER, 1).await, "CAMPAIGN_CLOSED", OVER),
        (deduct(&shop, TEE, FLASH, 0).await, "INVALID_ARGUMENT", "quantity"),
        (deduct(&shop, TEE, FLASH, TOO_MANY).await, "INVALID_ARGUMENT", "quantity"),
    ];
    unchanged(&shop, &before, heard).await;
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3), "nothing stayed at the gate");
}

#[tokio::test]
async fn an_ending_that_makes_no_sense_ends_nothing() {
    let (shop, held) = shop().await;
    let sold = Uuid::now_v7();
    shop.deduct(sold, "alice", (TEE, FLASH, 1)).await.unwrap();
    let before = shop.books().await;
    let nobody = Uuid::now_v7();
    let commit = async |id: Uuid, lines| {
        let request = CommitReservationRequest { reservation_id: id.to_string(), lines };
        hear("InventoryService/CommitReservation", request, async |r| shop.stock.commit_reservation(r).await)
            .await
    };
    let keep = async |id: Uuid, keep| {
        let request = ReleaseReservationRequest { reservation_id: id.to_string(), keep };
        hear("InventoryService/ReleaseReservation", request, async |r| {
            shop.stock.release_reservation(r).await
        })
        .await
    };
    let extend = async |id: Uuid, expires_at| {
        let request = ExtendReservationRequest { reservation_id: id.to_string(), expires_at };
        hear("InventoryService/ExtendReservation", request, async |r| shop.stock.extend_reservation(r).await)
            .await
    };
    let far = Some(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 });
    let nowhere = Some(prost_types::Timestamp { seconds: 253_402_300_800, nanos: 0 });
    let (unknown, taken) = (nobody.to_string(), sold.to_string());
    let heard = vec![
        (commit(nobody, vec![]).await, "RESERVATION_NOT_FOUND", unknown.as_str()),
        (commit(held, vec![line(TEE, FLASH, 0)]).await, "INVALID_ARGUMENT", "lines[0].quantity"),
        (commit(held, vec![line(TEE, FLASH, 3)]).await, "INVALID_ARGUMENT", "lines[0].quantity"),
        (
            commit(held, vec![line(TEE, FLASH, 1), line("nope", "", 1)]).await,
            "INVALID_ARGUMENT",
            "lines[1].quantity",
        ),
        (keep(nobody, vec![line(TEE, FLASH, 1)]).await, "RESERVATION_NOT_FOUND", unknown.as_str()),
        (keep(held, vec![line(TEE, FLASH, 3)]).await, "INVALID_ARGUMENT", "keep[0].quantity"),
        (keep(sold, vec![]).await, "RESERVATION_RESOLVED", taken.as_str()),
        (extend(nobody, far).await, "RESERVATION_NOT_FOUND", unknown.as_str()),
        (extend(held, far).await, "EXPIRY_TOO_LATE", ""),
        (extend(held, nowhere).await, "INVALID_ARGUMENT", "expires_at"),
        (extend(held, None).await, "INVALID_ARGUMENT", "expires_at"),
        (extend(sold, far).await, "RESERVATION_RESOLVED", taken.as_str()),
        (back(&shop, nobody, &nobody.to_string(), vec![]).await, "RESERVATION_NOT_FOUND", unknown.as_str()),
        (back(&shop, sold, "no id", vec![]).await, "INVALID_ARGUMENT", "return_id"),
        (
            back(&shop, sold, &nobody.to_string(), vec![line(TEE, FLASH, 2)]).await,
            "INVALID_ARGUMENT",
            "lines[0].quantity",
        ),
    ];
    unchanged(&shop, &before, heard).await;
    assert_eq!(shop.reservation(held).await.unwrap().lines[0].quantity, 2);
}

#[tokio::test]
async fn staff_cannot_break_levels_campaigns_or_skus_either() {
    let (shop, _) = shop().await;
    let known = Uuid::now_v7().to_string();
    let request = AdjustStockRequest {
        sku_id: TEE.into(),
        campaign_id: FLASH.into(),
        delta: 1,
        reason: "count".into(),
        adjustment_id: known.clone(),
    };
    shop.stock.adjust_stock(Request::new(request)).await.unwrap();
    let before = shop.books().await;
    let id = Uuid::now_v7().to_string();
    let backorder = async |campaign_id: &str, backorder| {
        let request = SetBackorderRequest { sku_id: TEE.into(), campaign_id: campaign_id.into(), backorder };
        hear("InventoryService/SetBackorder", request, async |r| shop.stock.set_backorder(r).await).await
    };
    let sku = async |sku_id: &str, price, on_hand| {
        let sku = Some(Sku { sku_id: sku_id.into(), title: "T".into(), price, created_at: None });
        let request = CreateSkuRequest { sku, on_hand };
        hear("CatalogService/CreateSku", request, async |r| shop.catalog.create_sku(r).await).await
    };
    let open = async |items: &[(&str, i64, u32)]| {
        let request = CreateCampaignRequest { campaign: Some(campaign("new", 0, 60, items)) };
        hear("CampaignService/CreateCampaign", request, async |r| shop.campaigns.create_campaign(r).await)
            .await
    };
    let heard = vec![
        (adjust(&shop, 0, "count", &id).await, "INVALID_ARGUMENT", "delta"),
        (adjust(&shop, 1_000_000_001, "count", &id).await, "INVALID_ARGUMENT", "delta"),
        (adjust(&shop, 1, "", &id).await, "INVALID_ARGUMENT", "reason"),
        (adjust(&shop, 1, "count", "no id").await, "INVALID_ARGUMENT", "adjustment_id"),
        (adjust(&shop, 2, "count", &known).await, "ADJUSTMENT_CONFLICT", ""),
        (adjust(&shop, -5, "count", &id).await, "STOCK_BELOW_HELD", FLASH),
        (backorder(FLASH, -1).await, "INVALID_ARGUMENT", "backorder"),
        (backorder(FLASH, 1_000_000_001).await, "INVALID_ARGUMENT", "backorder"),
        (backorder("nope", 1).await, "CAMPAIGN_NOT_FOUND", "campaign_id"),
        (sku("new", eur(-1), 1).await, "INVALID_ARGUMENT", "sku.price.amount_minor"),
        (sku("new", None, 1).await, "INVALID_ARGUMENT", "sku.price"),
        (sku("new", eur(1), -1).await, "INVALID_ARGUMENT", "on_hand"),
        (sku(TEE, eur(1), 1).await, "SKU_EXISTS", ""),
        (open(&[(TEE, -1, 1)]).await, "INVALID_ARGUMENT", "campaign.items[0].units"),
        (open(&[(TEE, 1, 0)]).await, "INVALID_ARGUMENT", "campaign.items[0].per_buyer_limit"),
        (open(&[("nope", 1, 1)]).await, "SKU_NOT_FOUND", "campaign.items[0].sku_id"),
    ];
    unchanged(&shop, &before, heard).await;
}

#[tokio::test]
async fn a_resume_token_of_another_feed_or_of_the_future_is_refused() {
    let (shop, _) = shop().await;
    let watch = |resume_token: &str| WatchStockRequest {
        sku_ids: vec![],
        campaign_id: FLASH.into(),
        resume_token: resume_token.into(),
    };
    let first = async |stock: &InventoryApi| {
        let stream = stock.watch_stock(Request::new(watch(""))).await.unwrap();
        stream.into_inner().next().await.unwrap().unwrap().resume_token
    };
    let other = Shop::open().await;
    other.flash(5, 5).await;
    let foreign = first(&other.stock).await;
    // The same feed, further on: as if this ledger had been put back to an earlier day.
    let (feed_id, secret): (Uuid, Uuid) =
        sqlx::query_as("SELECT feed_id, secret FROM feed").fetch_one(&shop.database.pool).await.unwrap();
    let same = sqlx::query("UPDATE feed SET feed_id = $1, secret = $2").bind(feed_id).bind(secret);
    same.execute(&other.database.pool).await.unwrap();
    for _ in 0..5 {
        let (id, lines) = (Uuid::now_v7(), [(TEE, FLASH, 1)]);
        other.reserve(id, "alice", &lines).await.unwrap();
        other.release(id).await.unwrap();
    }
    let future = first(&other.neighbour().await).await;
    let ask = async |resume_token: &str| {
        let request = watch(resume_token);
        hear("InventoryService/WatchStock", request, async |r| shop.watch(r.into_inner()).await.map(drop))
            .await
    };
    let before = shop.books().await;
    let heard = vec![
        (ask(&foreign).await, "RESUME_TOKEN_INVALID", ""),
        (ask(&future).await, "RESUME_TOKEN_INVALID", ""),
        (ask("made up").await, "RESUME_TOKEN_INVALID", ""),
        (ask(&"0".repeat(513)).await, "INVALID_ARGUMENT", "resume_token"),
    ];
    unchanged(&shop, &before, heard).await;
}
