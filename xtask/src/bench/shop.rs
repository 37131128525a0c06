//! The shop that is measured: inventory alone, in release, on servers of its own, with empty stores at the start. Sales are opened
//! through the service itself, as staff would. It never measures.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use sqlx::PgPool;
use stampede_kit::{self as kit, Contract, clock::Clock};
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::{
    Campaign, CampaignItem, CreateCampaignRequest, CreateSkuRequest, DeductStockRequest, Sku,
};
use stampede_proto::timestamp;
use time::Duration;
use tonic::metadata::MetadataValue;
use uuid::Uuid;

use crate::generator::deductions::Ask;
use crate::home;
use crate::measure::CLIENT;
use crate::processes::Measured;
use crate::servers::Kind;
use crate::stack::{Layout, Stack};
use crate::terminal::Step;
use crate::token::{self, Role};

/// The service that is measured, and a second process of it.
pub const SERVICE: &str = "inventory";
pub const SECOND: &str = "inventory-2";
const READY_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
const CURRENCY: &str = "EUR";
/// How the names of the load's buyers begin; a number of nine digits follows.
const CROWD: &str = "buyer-";
/// The pool of what is not in a campaign.
const SHELF: &str = "shelf";

/// Where it keeps itself, apart from what other commands keep.
pub fn folder() -> PathBuf {
    home::dev().join("bench")
}

/// A running shop.
pub struct Shop {
    pub stack: Stack,
    pub tls: kit::tls::Client,
    campaigns: CampaignServiceClient<kit::client::Channel>,
    catalog: CatalogServiceClient<kit::client::Channel>,
    inventory: InventoryServiceClient<kit::client::Channel>,
    pub db: PgPool,
    /// Buyers of a sale, unless it says otherwise.
    pub buyers: u64,
    /// Sales so far: each has names of its own.
    sales: u32,
}

/// SKUs on sale in one pool.
#[derive(Debug, Clone)]
pub struct Sale {
    /// Empty on the shelf.
    pub campaign: String,
    pub skus: Vec<String>,
    buyers: u64,
}

impl Sale {
    /// SKUs that are on the shelf already.
    pub fn of_shelf(skus: Vec<String>, buyers: u64) -> Sale {
        Sale { campaign: String::new(), skus, buyers }
    }

    /// The pool's name in the stores.
    pub fn pool(&self) -> &str {
        if self.campaign.is_empty() { SHELF } else { &self.campaign }
    }

    /// The same, asked for by another crowd.
    pub fn with_buyers(self, buyers: u64) -> Sale {
        Sale { buyers, ..self }
    }

    /// What the load asks for.
    pub fn asks(&self) -> Vec<Ask> {
        let ask = |sku: &String| Ask {
            sku: sku.clone(),
            campaign: self.campaign.clone(),
            crowd: CROWD.into(),
            buyers: self.buyers,
        };
        self.skus.iter().map(ask).collect()
    }
}

impl Shop {
    /// Starts it with empty stores.
    pub fn open(binaries: PathBuf, buyers: u64, step: &Step) -> anyhow::Result<Shop> {
        Self::with(binaries, buyers, Vec::new(), step)
    }

    /// The same with settings beyond the usual, as (service, key, value).
    pub fn with(
        binaries: PathBuf,
        buyers: u64,
        settings: Vec<(&'static str, &'static str, String)>,
        step: &Step,
    ) -> anyhow::Result<Shop> {
        crate::stack::wipe(&folder())?;
        let layout =
            Layout { binaries, instances: vec![(SERVICE, 2)], settings, ..Layout::private(&folder()) };
        let stack = Stack::open(layout, step)?;
        let folder = stack.folder();
        let (cert, key) = (folder.cert_path("client"), folder.key_path("client"));
        let tls = kit::tls::Client::read(&cert, &key, &folder.ca_path())?;
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let address = stack.address(SERVICE)?.to_string();
        let channel = kit::client::connect(&tls, SERVICE, &address, contract);
        let db =
            PgPool::connect_lazy(&stack.servers().database_url(SERVICE)).context("inventory's database")?;
        let mut shop = Shop {
            stack,
            tls,
            campaigns: CampaignServiceClient::new(channel.clone()),
            inventory: InventoryServiceClient::new(channel.clone()),
            catalog: CatalogServiceClient::new(channel),
            db,
            buyers,
            sales: 0,
        };
        step.at(format!("starting {SERVICE}"));
        shop.start(SERVICE)?;
        Ok(shop)
    }

    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.stack.address(SERVICE)
    }

    pub fn database_url(&self) -> String {
        self.stack.servers().database_url(SERVICE)
    }

    /// Starts a process of the service and waits for it.
    pub fn start(&mut self, name: &str) -> anyhow::Result<()> {
        self.stack.start(name)?;
        self.stack.wait_ready(name, READY_WITHIN)
    }

    /// Every process whose cost is told, the load generator (this one) included.
    pub fn measured(&self) -> Vec<Measured> {
        let servers = self.stack.servers();
        let kinds =
            Kind::ALL.into_iter().filter_map(|kind| Some(Measured::new(kind.name(), servers.pid(kind)?.pid)));
        // A second process counts with the first.
        let own = [SERVICE, SECOND].into_iter().filter_map(|name| {
            Some(Measured::new(SERVICE, self.stack.pid(name).filter(|pid| pid.is_alive())?.pid))
        });
        own.chain(kinds).chain([Measured::own(CLIENT)]).collect()
    }

    /// An open campaign with so many SKUs.
    pub async fn campaign(&mut self, skus: usize, units: i64, limit: u32) -> anyhow::Result<Sale> {
        let mut sale = self.named(skus);
        sale.campaign = format!("bench-{}", self.sales);
        for sku in &sale.skus {
            self.create_sku(sku, 0).await?;
        }
        let now = Clock::system().now();
        let item = |sku: &String| CampaignItem {
            sku_id: sku.clone(),
            price: Some(price()),
            units,
            per_buyer_limit: limit,
            ..CampaignItem::default()
        };
        let campaign = Campaign {
            campaign_id: sale.campaign.clone(),
            title: "Bench".into(),
            opens_at: Some(timestamp(now - Duration::minutes(1))),
            closes_at: Some(timestamp(now + Duration::hours(6))),
            items: sale.skus.iter().map(item).collect(),
            ..Campaign::default()
        };
        let request = self.request(CreateCampaignRequest { campaign: Some(campaign) })?;
        self.campaigns.clone().create_campaign(request).await.context("the campaign is refused")?;
        Ok(sale)
    }

    /// SKUs on the shelf.
    pub async fn shelf(&mut self, skus: usize, units: i64) -> anyhow::Result<Sale> {
        let sale = self.named(skus);
        for sku in &sale.skus {
            self.create_sku(sku, units).await?;
        }
        Ok(sale)
    }

    fn named(&mut self, skus: usize) -> Sale {
        self.sales += 1;
        let skus = (0..skus).map(|sku| format!("sku-{}-{sku}", self.sales)).collect();
        Sale { campaign: String::new(), skus, buyers: self.buyers }
    }

    async fn create_sku(&self, sku: &str, units: i64) -> anyhow::Result<()> {
        let sku =
            Sku { sku_id: sku.to_owned(), title: "Bench".into(), price: Some(price()), ..Sku::default() };
        let request = self.request(CreateSkuRequest { sku: Some(sku), on_hand: units })?;
        self.catalog.clone().create_sku(request).await.context("the SKU is refused")?;
        Ok(())
    }

    /// One unit for one buyer of the load's; the reason when it is refused.
    pub async fn deduct(&self, sale: &Sale, buyer: u64) -> anyhow::Result<Option<String>> {
        let request = DeductStockRequest {
            sku_id: sale.skus.first().cloned().unwrap_or_default(),
            campaign_id: sale.campaign.clone(),
            buyer_id: format!("{CROWD}{buyer:09}"),
            quantity: 1,
            deduction_id: Uuid::now_v7().to_string(),
        };
        match self.inventory.clone().deduct_stock(self.request(request)?).await {
            Ok(_) => Ok(None),
            Err(status) => match kit::refusal::reason_of(&status) {
                Some(reason) => Ok(Some(reason)),
                None => Err(status.into()),
            },
        }
    }

    fn request<M>(&self, message: M) -> anyhow::Result<tonic::Request<M>> {
        let token = token::sign(self.stack.folder(), "bench-staff", Role::Staff)?;
        let mut request = kit::client::request(message, ANSWER_WITHIN);
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).context("a token is ASCII")?;
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }

    /// Stops everything; the data stays for a look until the next run.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.stack.stop_all()?;
        crate::servers::stop(&folder()).map(|_| ())
    }
}

fn price() -> Money {
    Money { amount_minor: 999, currency: CURRENCY.to_owned() }
}
