//! Where a history is played: three inventory processes on one Postgres, Redis and NATS, filled; and what is done with them when
//! the noise is over, until the books are read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use stampede_kit::clock::Clock;
use stampede_kit::{self as kit, Contract};
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::{Campaign, CampaignItem, CreateCampaignRequest, CreateSkuRequest, Sku};
use stampede_proto::timestamp;
use tempfile::TempDir;
use time::OffsetDateTime;
use tonic::Request;
use xtask::stack::{Layout, Stack};
use xtask::terminal::Step;
use xtask::token::{self, Role};

use super::record::{Cell, Terms, micros};

const READY_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Of one process, in a failure.
const LOG_LINES: usize = 20;
/// What the shelf is opened with.
const SHELF: [(&str, i64); 3] = [("tee", 40), ("cap", 30), ("mug", 20)];

/// A campaign of the stage: its items as SKU, units, limit; when it opens and closes, in milliseconds from now.
struct Planned {
    id: &'static str,
    items: &'static [(&'static str, i64, u32)],
    opens_in_ms: i64,
    closes_in_ms: i64,
}

const CAMPAIGNS: [Planned; 3] = [
    Planned { id: "hot", items: &[("tee", 12, 3)], opens_in_ms: -60_000, closes_in_ms: 3_600_000 },
    Planned {
        id: "flash",
        items: &[("tee", 30, 5), ("mug", 20, 4)],
        opens_in_ms: -60_000,
        closes_in_ms: 3_600_000,
    },
    // Opens and closes while everything is going on.
    Planned { id: "brief", items: &[("cap", 60, 8)], opens_in_ms: 2_500, closes_in_ms: 7_500 },
];

/// Killed and wiped when it is dropped.
pub struct Stage {
    pub stack: Arc<Mutex<Stack>>,
    pub names: Vec<String>,
    pub terms: BTreeMap<Cell, Terms>,
    folder: TempDir,
}

impl Stage {
    pub async fn open(count: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("stampede-").tempdir().unwrap();
        let layout = Layout { instances: vec![("inventory", count)], ..Layout::private(folder.path()) };
        let stack = Stack::open(layout, &Step::silent()).unwrap();
        let names: Vec<String> =
            stack.names().into_iter().filter(|name| name.starts_with("inventory")).collect();
        let mut stage = Self { stack: Arc::new(Mutex::new(stack)), names, terms: BTreeMap::new(), folder };
        {
            let mut stack = stage.stack.lock().unwrap();
            stage.names.iter().for_each(|name| stack.start(name).unwrap());
            stage.names.iter().for_each(|name| stack.wait_ready(name, READY_WITHIN).unwrap());
        }
        stage.fill().await;
        stage
    }

    pub async fn database(&self) -> PgPool {
        let url = self.stack.lock().unwrap().servers().database_url("inventory");
        PgPool::connect(&url).await.unwrap()
    }

    async fn fill(&mut self) {
        let (mut catalog, mut campaigns, staff) = {
            let stack = self.stack.lock().unwrap();
            let folder = stack.folder();
            let (cert, key) = (folder.cert_path("client"), folder.key_path("client"));
            let tls = kit::tls::Client::read(&cert, &key, &folder.ca_path()).unwrap();
            let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
            let address = stack.address("inventory").unwrap().to_string();
            let channel = kit::client::connect(&tls, "inventory", &address, contract);
            let staff = token::sign(folder, "sam", Role::Staff).unwrap();
            (CatalogServiceClient::new(channel.clone()), CampaignServiceClient::new(channel), staff)
        };
        for (sku, on_hand) in SHELF {
            let sku = Sku { sku_id: sku.into(), title: sku.into(), price: price(), ..Sku::default() };
            let cell = Cell { campaign: String::new(), sku: sku.sku_id.clone() };
            let request = CreateSkuRequest { sku: Some(sku), on_hand };
            catalog.create_sku(with(&staff, request)).await.unwrap();
            self.terms.insert(cell, Terms { opened_with: on_hand, per_buyer_limit: None, window: None });
        }
        let now = Clock::system().now();
        for planned in &CAMPAIGNS {
            let request = CreateCampaignRequest { campaign: Some(planned.at(now)) };
            campaigns.create_campaign(with(&staff, request)).await.unwrap();
            for (sku, units, limit) in planned.items {
                let (opens, closes) = planned.window(now);
                let terms = Terms {
                    opened_with: *units,
                    per_buyer_limit: Some(i64::from(*limit)),
                    window: Some((micros(opens), micros(closes))),
                };
                self.terms.insert(Cell { campaign: planned.id.into(), sku: (*sku).into() }, terms);
            }
        }
    }

    /// The errors of every process, for a failure.
    pub fn logs(&self) -> String {
        let stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = |name: &String| {
            let log = std::fs::read_to_string(stack.log(name)).unwrap_or_default();
            // A panic is no JSON.
            let is_error = |line: &&str| line.contains(r#""level":"ERROR""#) || !line.starts_with('{');
            let lines: Vec<&str> = log.lines().filter(is_error).take(LOG_LINES).collect();
            format!("---- errors of {name}\n{}\n", lines.join("\n"))
        };
        self.names.iter().map(errors).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        let mut stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.names {
            stack.kill9(name).ok();
        }
        xtask::stack::wipe(self.folder.path()).ok();
    }
}

impl Planned {
    fn window(&self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let at = |ms| now + time::Duration::milliseconds(ms);
        (at(self.opens_in_ms), at(self.closes_in_ms))
    }

    fn at(&self, now: OffsetDateTime) -> Campaign {
        let (opens, closes) = self.window(now);
        let item = |(sku, units, limit): &(&str, i64, u32)| CampaignItem {
            sku_id: (*sku).into(),
            price: price(),
            units: *units,
            per_buyer_limit: *limit,
            ..CampaignItem::default()
        };
        Campaign {
            campaign_id: self.id.into(),
            title: self.id.into(),
            opens_at: Some(timestamp(opens)),
            closes_at: Some(timestamp(closes)),
            items: self.items.iter().map(item).collect(),
            ..Campaign::default()
        }
    }
}

fn price() -> Option<Money> {
    Some(Money { amount_minor: 999, currency: "EUR".into() })
}

fn with<M>(token: &str, message: M) -> Request<M> {
    let mut request = kit::client::request(message, ANSWER_WITHIN);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}
