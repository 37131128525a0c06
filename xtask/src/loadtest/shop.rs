//! The shop under load: a stack of its own, with a campaign for each run.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use serde_json::json;
use stampede_kit::{self as kit, Contract};
use stampede_pki::Issuer;
use stampede_proto::order::v1::{CreateOrderRequest, LineItem};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::books::{self, Books};
use super::gate::Gate;
use super::orders::Promotion;
use crate::home;
use crate::smoke::rest::Api;
use crate::stack::{Layout, Stack};
use crate::terminal::Step;
use crate::token::{self, Role};

/// Where it keeps itself, apart from what `up` keeps.
pub fn folder() -> PathBuf {
    home::dev().join("load")
}

/// A running shop.
pub struct Shop {
    stack: Stack,
}

/// One campaign with one SKU.
pub struct Sale {
    campaign: String,
    sku: String,
}

impl Sale {
    /// One unit, as REST takes it.
    pub fn json_order(&self) -> Bytes {
        let order = json!({ "lines": [{ "skuId": self.sku, "campaignId": self.campaign, "quantity": 1 }] });
        Bytes::from(order.to_string())
    }

    /// One unit, as gRPC takes it.
    pub fn order(&self) -> CreateOrderRequest {
        let line = LineItem { sku_id: self.sku.clone(), campaign_id: self.campaign.clone(), quantity: 1 };
        CreateOrderRequest { lines: vec![line], ..CreateOrderRequest::default() }
    }
}

impl Shop {
    /// Starts it, with the release binaries and empty stores: what an earlier run sold would expire during this one.
    pub fn open(step: &Step) -> anyhow::Result<Self> {
        Self::with(home::binaries(true), step)
    }

    /// The same with the binaries of this folder.
    pub fn with(binaries: PathBuf, step: &Step) -> anyhow::Result<Self> {
        crate::stack::wipe(&folder())?;
        let layout = Layout { binaries, ..Layout::private(&folder()) };
        let mut stack = Stack::open(layout, step)?;
        stack.start_all(step)?;
        Ok(Self { stack })
    }

    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// For a run that breaks something.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    pub fn gateway(&self) -> anyhow::Result<String> {
        self.stack.gateway()
    }

    pub fn gateway_address(&self) -> anyhow::Result<String> {
        Ok(self.stack.address("gateway")?.to_string())
    }

    pub fn issuer(&self) -> &Issuer {
        self.stack.folder().issuer()
    }

    /// Connections to the order service as the outside client `client`.
    pub fn order_channels(&self, count: usize) -> anyhow::Result<Vec<kit::client::Channel>> {
        let tls = self.client_tls()?;
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let address = self.stack.address("order")?.to_string();
        Ok((0..count).map(|_| kit::client::connect(&tls, "order", &address, contract.clone())).collect())
    }

    /// The certificate of the outside client `client`.
    pub fn client_tls(&self) -> anyhow::Result<kit::tls::Client> {
        let folder = self.stack.folder();
        let (cert, key) = (folder.cert_path("client"), folder.key_path("client"));
        kit::tls::Client::read(&cert, &key, &folder.ca_path())
    }

    /// A service's database.
    pub async fn database(&self, service: &str) -> anyhow::Result<sqlx::PgPool> {
        let url = self.stack.servers().database_url(service);
        sqlx::PgPool::connect(&url).await.with_context(|| format!("{service}'s database"))
    }

    /// SKUs of this run on the shelf, made through REST by a member of staff.
    pub async fn shelf(&self, run: Uuid, skus: u64, units: i64) -> anyhow::Result<Vec<String>> {
        let staff = Api::new(self.gateway()?, token::sign(self.stack.folder(), "load-staff", Role::Staff)?)?;
        let mut names = Vec::new();
        for n in 0..skus {
            let name = format!("LOAD-{run}-{n}");
            let price = json!({ "amountMinor": "999", "currency": "EUR" });
            let sku = json!({
                "sku": { "skuId": name, "title": "Load test", "price": price }, "onHand": units.to_string(),
            });
            staff.post("/v1/skus", &sku).await?.map_err(|no| anyhow!("the SKU is refused: {no}"))?;
            names.push(name);
        }
        Ok(names)
    }

    /// A promotion that every order has, made through REST by a member of staff.
    pub async fn promotion(&self, promotion: Promotion) -> anyhow::Result<()> {
        let mut terms = json!({ "promotionId": "load", "title": "load", "action": { "percentOffBp": 1000 } });
        match promotion {
            Promotion::None => return Ok(()),
            Promotion::Open => {}
            Promotion::Counted => terms["useLimit"] = json!("1000000000"),
        }
        let staff = Api::new(self.gateway()?, token::sign(self.stack.folder(), "load-staff", Role::Staff)?)?;
        let made = staff.post("/v1/promotions", &json!({ "promotion": terms })).await?;
        made.map(|_| ()).map_err(|no| anyhow!("the promotion is refused: {no}"))
    }

    /// A SKU and an open campaign of this run, made through REST by a member of staff.
    pub async fn campaign(&self, run: Uuid, units: i64, per_buyer_limit: u32) -> anyhow::Result<Sale> {
        let sale = Sale { campaign: format!("load-{run}"), sku: format!("LOAD-{run}") };
        let staff = Api::new(self.gateway()?, token::sign(self.stack.folder(), "load-staff", Role::Staff)?)?;
        let price = json!({ "amountMinor": "999", "currency": "EUR" });
        let sku =
            json!({ "sku": { "skuId": sale.sku, "title": "Load test", "price": price }, "onHand": "0" });
        staff.post("/v1/skus", &sku).await?.map_err(|no| anyhow!("the SKU is refused: {no}"))?;
        let now = kit::clock::Clock::system().now();
        let campaign = json!({ "campaign": {
            "campaignId": sale.campaign,
            "title": "Load test",
            "opensAt": (now - time::Duration::minutes(1)).format(&Rfc3339)?,
            "closesAt": (now + time::Duration::hours(2)).format(&Rfc3339)?,
            "items": [{ "skuId": sale.sku, "price": price, "units": units.to_string(), "perBuyerLimit": per_buyer_limit }],
        }});
        staff
            .post("/v1/campaigns", &campaign)
            .await?
            .map_err(|no| anyhow!("the campaign is refused: {no}"))?;
        Ok(sale)
    }

    /// What the stores say after the run.
    pub async fn books(&self, sale: &Sale) -> anyhow::Result<Books> {
        let servers = self.stack.servers();
        let (inventory, order) = (self.database("inventory").await?, self.database("order").await?);
        let mut gate = Gate::connect(&servers.redis_url()).await?;
        books::read(&inventory, &order, &mut gate, &sale.campaign, &sale.sku).await
    }

    /// Stops everything; the data stays for a look until the next run.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.stack.stop_all()?;
        crate::servers::stop(&folder()).map(|_| ())
    }
}
