//! The processes and their three servers in a folder of their own; killed, restarted and looked into at will; gone with the
//! value.

use std::time::Duration;

use serde_json::json;
use stampede_kit::clock::Clock;
use stampede_pki::Claims;
use tempfile::TempDir;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use xtask::stack::{Layout, Stack};
use xtask::terminal::Step;

use super::buyer::Buyer;

/// What every shop sells from the shelf: 100 units at 19.99 EUR.
pub const SKU: &str = "TEE-BLACK-M";
/// The campaign of every shop: 10 units of the same at 9.99 EUR, two for each buyer.
pub const CAMPAIGN: &str = "flash";
/// Shelf price of a unit, in minor units.
pub const UNIT_PRICE: i64 = 1_999;

/// Long enough for a lease to run out and a saga to go on, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(45);
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running shop.
pub struct Shop {
    pub stack: Stack,
    pub http: reqwest::Client,
    folder: TempDir,
}

impl Shop {
    /// Opens a shop with the usual settings, its shelf and campaign filled.
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    /// Opens a shop with settings of the story's own, as (service, key, value). A later one wins.
    pub async fn with(settings: &[(&'static str, &'static str, &str)]) -> Self {
        Self::of(settings, &[]).await
    }

    /// Opens a shop with settings of its own and several processes of some services, as (service, count).
    pub async fn of(
        settings: &[(&'static str, &'static str, &str)],
        instances: &[(&'static str, usize)],
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("stampede-").tempdir().unwrap();
        let mut layout = Layout::private(folder.path());
        // A dead saga is taken up after a second instead of eight.
        layout.settings.push(("order", "saga.lease_ms", "1000".to_owned()));
        // And an attempt nobody works on after two and a half instead of six and a half.
        layout.settings.push(("payment", "psp.timeout_ms", "1000".to_owned()));
        layout.settings.extend(settings.iter().map(|(s, k, v)| (*s, *k, (*v).to_owned())));
        layout.instances = instances.to_vec();
        let step = Step::silent();
        let stack = Stack::open(layout, &step).unwrap();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        // A shop from here on, so that its drop ends whatever was started when one process does not start.
        let mut shop = Self { stack, http, folder };
        shop.stack.start_all(&step).unwrap();
        shop.fill().await;
        shop
    }

    async fn fill(&self) {
        let staff = self.user("sam", "staff");
        let price = |minor: i64| json!({ "amountMinor": minor.to_string(), "currency": "EUR" });
        let sku = json!({ "sku": { "skuId": SKU, "title": "Black tee", "price": price(UNIT_PRICE) }, "onHand": "100" });
        staff.post("/v1/skus", &sku).await.ok();
        let now = Clock::system().now();
        let campaign = json!({ "campaign": {
            "campaignId": CAMPAIGN,
            "title": "Flash",
            "opensAt": (now - time::Duration::hours(1)).format(&Rfc3339).unwrap(),
            "closesAt": (now + time::Duration::hours(1)).format(&Rfc3339).unwrap(),
            "items": [{ "skuId": SKU, "price": price(999), "units": "10", "perBuyerLimit": 2 }],
        }});
        staff.post("/v1/campaigns", &campaign).await.ok();
    }

    /// Somebody with a token of this shop's issuer.
    pub fn user(&self, name: &str, role: &str) -> Buyer {
        let token =
            self.stack.folder().issuer().issue(&Claims::new(name, [role]), Clock::system().now()).unwrap();
        Buyer::new(self.http.clone(), self.stack.gateway().unwrap(), Some(token))
    }

    pub fn buyer(&self, name: &str) -> Buyer {
        self.user(name, "buyer")
    }

    /// Somebody with this bearer token, or none.
    pub fn bearer(&self, token: Option<String>) -> Buyer {
        Buyer::new(self.http.clone(), self.stack.gateway().unwrap(), token)
    }

    /// Ends a service as `kill -9` does, and starts it again.
    pub fn kill_and_restart(&mut self, service: &str) {
        self.stack.kill9(service).unwrap();
        self.start(service);
    }

    pub fn start(&mut self, service: &str) {
        self.stack.start(service).unwrap();
        self.stack.wait_ready(service, READY_WITHIN).unwrap();
    }

    /// Restarts a service so that it aborts when it reaches `point`.
    pub fn arm(&mut self, service: &'static str, point: &str) {
        self.stack.stop(service).unwrap();
        self.stack.set(service, "crash_at", Some(point.to_owned()));
        self.start(service);
    }

    /// Waits until an armed service has died, then starts it unarmed.
    pub async fn revive(&mut self, service: &'static str) {
        let deadline = Instant::now() + PATIENCE;
        while self.stack.is_alive(service) {
            assert!(Instant::now() < deadline, "{service} never reached its crash point");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stack.set(service, "crash_at", None);
        self.start(service);
    }

    /// Where everything of it is kept.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub async fn database(&self, service: &str) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.stack.servers().database_url(service)).await.unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for service in &self.stack.names() {
                let log = std::fs::read_to_string(self.stack.log(service)).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln!("---- last lines of {service}");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        for service in self.stack.names() {
            self.stack.kill9(&service).ok();
        }
        xtask::stack::wipe(self.folder.path()).ok();
    }
}

/// Asks until the answer is yes; the last answer explains a no.
pub async fn eventually<T, F: AsyncFnMut() -> Result<T, String>>(ask: F) -> T {
    within(PATIENCE, ask).await
}

/// The same for what takes its time.
pub async fn within<T, F: AsyncFnMut() -> Result<T, String>>(patience: Duration, mut ask: F) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(why) if Instant::now() >= deadline => panic!("it never came true: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
