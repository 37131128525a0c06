//! A shop of a test's own: its database, its keys in Redis, its background tasks.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use prost::Message as _;
use sqlx::PgPool;
use stampede_inventory::grpc::{CampaignApi, CatalogApi, InventoryApi};
use stampede_inventory::{Gate, GateSettings, Inventory, MIGRATIONS, Reconciler, SoldOut};
use stampede_kit::clock::Clock;
use stampede_kit::refusal::reason_of;
use stampede_kit::testing::{self, TestDatabase};
use stampede_proto::common::v1::Money;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::stock_move::Move;
use stampede_proto::event::v1::{Event, StockMove};
use stampede_proto::inventory::v1::campaign_service_server::CampaignService as _;
use stampede_proto::inventory::v1::catalog_service_server::CatalogService as _;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{
    Campaign, CampaignItem, CommitReservationRequest, CreateCampaignRequest, CreateSkuRequest,
    DeductStockRequest, DeductStockResponse, GetReservationRequest, GetStockRequest,
    ReleaseReservationRequest, Reservation, ReservationLine, ReserveStockRequest, Sku, StockLevel,
    WatchStockRequest, WatchStockResponse,
};
use stampede_proto::timestamp;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::process::{Process, contract};
use crate::redis_nodes::{Raw, RedisNodes};

pub const TEE: &str = "tee";
pub const FLASH: &str = "flash";

pub struct Shop {
    pub stock: InventoryApi,
    pub catalog: CatalogApi,
    pub campaigns: CampaignApi,
    pub inventory: Inventory,
    pub redis: Raw,
    pub prefix: String,
    pub gate: GateSettings,
    pub at_gate: Gate,
    pub stop: CancellationToken,
    pub database: TestDatabase,
}

impl Shop {
    /// With a Redis; no background task but the feed.
    pub async fn open() -> Self {
        Self::with_redis(&testing::redis_url()).await
    }

    pub async fn with_redis(redis_url: &str) -> Self {
        Self::with_gate(GateSettings::new(redis_url, prefix()), Raw::shared().await).await
    }

    pub async fn on_nodes(nodes: &RedisNodes) -> Self {
        let shop = Self::with_gate(GateSettings::new(nodes.url(), prefix()), nodes.raw().await).await;
        // The first call may come before the connections to all nodes stand.
        eventually("the gate knows its nodes", async || shop.at_gate.run_id().await.is_some()).await;
        shop
    }

    pub async fn with_gate(gate: GateSettings, redis: Raw) -> Self {
        let database = testing::database(&MIGRATIONS).await;
        let stop = CancellationToken::new();
        let process = Process::start(database.pool.clone(), &gate, SoldOut::default()).await;
        let (inventory, at_gate) = (process.inventory.clone(), process.gate.clone());
        process.follow(&stop);
        Self {
            stock: InventoryApi::new(inventory.clone(), Clock::system(), stop.clone(), &contract()),
            catalog: CatalogApi::new(inventory.clone(), stop.clone(), &contract()),
            campaigns: CampaignApi::new(inventory.clone()),
            inventory,
            redis,
            prefix: gate.prefix.clone(),
            gate,
            at_gate,
            stop,
            database,
        }
    }

    /// A second process on the same stores.
    pub async fn neighbour(&self) -> InventoryApi {
        self.neighbour_over(self.database.pool.clone()).await
    }

    /// A second process with connections of its own.
    pub async fn neighbour_over(&self, db: PgPool) -> InventoryApi {
        let process = Process::start(db, &self.gate, SoldOut::default()).await;
        process.follow(&self.stop);
        process.api(&self.stop)
    }

    /// Another process, which runs no task by itself.
    pub async fn process(&self) -> Process {
        let db = self.database.pool.clone();
        Process::start(db, &self.gate, SoldOut::default()).await
    }

    pub async fn sku(&self, sku_id: &str, on_hand: i64) -> Sku {
        let sku =
            Sku { sku_id: sku_id.into(), title: sku_id.to_uppercase(), price: eur(1_999), created_at: None };
        let request = CreateSkuRequest { sku: Some(sku), on_hand };
        self.catalog.create_sku(Request::new(request)).await.unwrap().into_inner()
    }

    /// An open campaign of TEE, which is created with an empty shelf.
    pub async fn flash(&self, units: i64, per_buyer_limit: u32) -> Campaign {
        self.sku(TEE, 0).await;
        let campaign = campaign(FLASH, -60, 3_600, &[(TEE, units, per_buyer_limit)]);
        self.create_campaign(campaign).await.unwrap()
    }

    pub async fn create_campaign(&self, campaign: Campaign) -> Result<Campaign, Status> {
        let request = CreateCampaignRequest { campaign: Some(campaign) };
        self.campaigns.create_campaign(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn reserve(&self, id: Uuid, buyer: &str, lines: &[Asked<'_>]) -> Result<Reservation, Status> {
        reserve(&self.stock, id, buyer, lines, 0).await
    }

    pub async fn deduct(
        &self,
        id: Uuid,
        buyer: &str,
        asked: Asked<'_>,
    ) -> Result<DeductStockResponse, Status> {
        let (sku, campaign, quantity) = asked;
        let request = DeductStockRequest {
            sku_id: sku.into(),
            campaign_id: campaign.into(),
            buyer_id: buyer.into(),
            quantity,
            deduction_id: id.to_string(),
        };
        self.stock.deduct_stock(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn commit(&self, id: Uuid) -> Result<Reservation, Status> {
        let request = CommitReservationRequest { reservation_id: id.to_string(), lines: Vec::new() };
        self.stock.commit_reservation(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn release(&self, id: Uuid) -> Result<Reservation, Status> {
        let request = ReleaseReservationRequest { reservation_id: id.to_string(), keep: Vec::new() };
        self.stock.release_reservation(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn reservation(&self, id: Uuid) -> Result<Reservation, Status> {
        let request = GetReservationRequest { reservation_id: id.to_string() };
        self.stock.get_reservation(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn level(&self, sku: &str, campaign: &str) -> StockLevel {
        let request = GetStockRequest { sku_id: sku.into() };
        let levels = self.stock.get_stock(Request::new(request)).await.unwrap().into_inner().levels;
        levels.into_iter().find(|level| level.campaign_id == campaign).unwrap()
    }

    pub async fn watch(
        &self,
        request: WatchStockRequest,
    ) -> Result<BoxStream<'_, WatchStockResponse>, Status> {
        let stream = self.stock.watch_stock(Request::new(request)).await?.into_inner();
        Ok(stream.map(Result::unwrap).boxed())
    }

    /// Free units as Redis has them.
    pub async fn gate_free(&self, sku: &str, campaign: &str) -> Option<i64> {
        let pool = if campaign.is_empty() { "shelf" } else { campaign };
        let key = format!("{}:{{pool:{pool}}}:counters:{sku}", self.prefix);
        redis::cmd("HGET").arg(key).arg("free").query_async(&mut self.redis.clone()).await.unwrap()
    }

    /// Forgets everything this shop has in Redis.
    pub async fn flush(&self) {
        for key in self.keys().await {
            redis::cmd("DEL").arg(key).exec_async(&mut self.redis.clone()).await.unwrap();
        }
    }

    pub async fn keys(&self) -> Vec<String> {
        let pattern = format!("{}:*", self.prefix);
        redis::cmd("KEYS").arg(pattern).query_async(&mut self.redis.clone()).await.unwrap()
    }

    /// Compares gate and ledger until they agree.
    pub async fn reconcile(&self) {
        let mut reconciler = Reconciler::default();
        eventually("gate and ledger agree", async || {
            reconciler.round(&self.inventory).await.unwrap() == Some(0)
        })
        .await;
    }

    /// Levels, movements and quotas, to tell whether anything was changed.
    pub async fn books(&self) -> Vec<String> {
        let read = "SELECT s::text FROM (SELECT pool, sku_id, on_hand, held, committed, backorder, version FROM stock) s
                    UNION ALL SELECT m::text FROM movement m UNION ALL SELECT q::text FROM buyer_quota q ORDER BY 1";
        sqlx::query_scalar(read).fetch_all(&self.database.pool).await.unwrap()
    }

    /// Every level is the sum of its movements.
    pub async fn movements_make_the_levels(&self) {
        let read = "SELECT s::text FROM stock s
                    LEFT JOIN (SELECT pool, sku_id, sum(on_hand_delta) AS on_hand, sum(held_delta) AS held,
                                      sum(committed_delta) AS committed, sum(backorder_delta) AS backorder
                               FROM movement GROUP BY pool, sku_id) m USING (pool, sku_id)
                    WHERE (s.on_hand, s.held, s.committed, s.backorder)
                          IS DISTINCT FROM (m.on_hand, m.held, m.committed, m.backorder)";
        let wrong: Vec<String> = sqlx::query_scalar(read).fetch_all(&self.database.pool).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    /// Subjects of the events in the outbox, oldest first; each move of a transaction by its own name.
    pub async fn events(&self) -> Vec<String> {
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT subject, payload FROM outbox ORDER BY position")
                .fetch_all(&self.database.pool)
                .await
                .unwrap();
        let names = rows.into_iter().map(|(subject, payload)| {
            let event = Event::decode(payload.as_slice()).unwrap();
            match event.fact {
                Some(Fact::StockMoved(moved)) => moved.moves.iter().map(name_of).collect(),
                _ => vec![subject],
            }
        });
        names.collect::<Vec<_>>().concat()
    }
}

fn name_of(moved: &StockMove) -> String {
    let name = match moved.r#move.as_ref().unwrap() {
        Move::Held(_) => "held",
        Move::Deducted(_) => "deducted",
        Move::Committed(_) => "committed",
        Move::Released(_) => "released",
        Move::Expired(_) => "expired",
    };
    format!("inventory.{name}")
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Begins the keys of one shop.
pub fn prefix() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

/// SKU, campaign, quantity.
pub type Asked<'a> = (&'a str, &'a str, u32);

pub async fn reserve(
    stock: &InventoryApi,
    id: Uuid,
    buyer: &str,
    lines: &[Asked<'_>],
    hold_ms: u32,
) -> Result<Reservation, Status> {
    let line = |(sku, campaign, quantity): &Asked<'_>| ReservationLine {
        sku_id: (*sku).into(),
        campaign_id: (*campaign).into(),
        quantity: *quantity,
    };
    let request = ReserveStockRequest {
        reservation_id: id.to_string(),
        buyer_id: buyer.into(),
        lines: lines.iter().map(line).collect(),
        hold_ms,
    };
    stock.reserve_stock(Request::new(request)).await.map(tonic::Response::into_inner)
}

/// `items`: SKU, units, limit.
pub fn campaign(id: &str, opens_in_s: i64, closes_in_s: i64, items: &[(&str, i64, u32)]) -> Campaign {
    let now = OffsetDateTime::now_utc();
    let item = |(sku, units, per_buyer_limit): &(&str, i64, u32)| CampaignItem {
        sku_id: (*sku).into(),
        price: eur(999),
        units: *units,
        per_buyer_limit: *per_buyer_limit,
        free: 0,
    };
    Campaign {
        campaign_id: id.into(),
        title: id.into(),
        opens_at: Some(timestamp(now + time::Duration::seconds(opens_in_s))),
        closes_at: Some(timestamp(now + time::Duration::seconds(closes_in_s))),
        items: items.iter().map(item).collect(),
        state: 0,
    }
}

pub fn eur(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "EUR".into() })
}

pub fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    let status = result.expect_err("a refusal");
    reason_of(&status).unwrap_or_else(|| panic!("{status} has no reason"))
}

pub fn metadata(status: &Status, key: &str) -> Option<String> {
    use tonic_types::StatusExt as _;
    status.get_details_error_info()?.metadata.get(key).cloned()
}

/// Polls until it is so, or fails after ten seconds.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < until, "not so within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
