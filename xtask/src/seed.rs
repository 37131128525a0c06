//! `seed`: a small catalogue and one open flash campaign, through the gateway's REST as staff would do it and in no
//! other way. Done twice it changes nothing.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use stampede_kit::clock::Clock;
use time::Duration;
use time::format_description::well_known::Rfc3339;

use crate::cli::block_on;
use crate::smoke::rest::{Api, Refused};
use crate::terminal::Step;
use crate::token::{self, Role};
use crate::up;

/// What the flash campaign sells, one to a buyer.
pub const FLASH_SKU: &str = "phone-15-black";
const FLASH_PREFIX: &str = "flash-";
const FLASH_UNITS: i64 = 1_000;
const FLASH_PRICE_MINOR: i64 = 39_900;
const FLASH_LASTS: Duration = Duration::days(30);
/// SKU, title, price in minor units of EUR, units on the shelf.
const CATALOGUE: [(&str, &str, i64, i64); 8] = [
    (FLASH_SKU, "Phone 15, black, 128 GB", 79_900, 200),
    ("phone-15-white", "Phone 15, white, 128 GB", 79_900, 200),
    ("headphones-pro", "Headphones Pro", 24_900, 500),
    ("earbuds-mini", "Earbuds Mini", 7_900, 1_000),
    ("watch-4", "Watch 4", 19_900, 300),
    ("charger-65w", "Charger 65 W", 3_900, 2_000),
    ("cable-usb-c-2m", "Cable USB-C, 2 m", 1_290, 5_000),
    ("case-phone-15", "Case for Phone 15", 2_490, 3_000),
];
const CURRENCY: &str = "EUR";

pub fn run() -> anyhow::Result<()> {
    let stack = up::running()?;
    let staff = token::sign(stack.folder(), "seed", Role::Staff)?;
    let api = Api::new(stack.gateway()?, staff)?;
    let step = Step::begin("Demo catalogue and flash campaign");
    let done = block_on(put(&api))?;
    step.done(done);
    Ok(())
}

/// Puts what is missing; says what there is now.
pub async fn put(api: &Api) -> anyhow::Result<String> {
    for (sku, title, price, units) in CATALOGUE {
        let body = json!({
            "sku": { "skuId": sku, "title": title, "price": { "amountMinor": price.to_string(), "currency": CURRENCY } },
            "onHand": units.to_string(),
        });
        match api.post("/v1/skus", &body).await? {
            Ok(_) => {}
            // Staff may have changed it since: what is there is kept.
            Err(Refused { reason, .. }) if reason == "SKU_EXISTS" => {}
            Err(refused) => bail!("the gateway refuses the SKU {sku}: {refused}"),
        }
    }
    let campaign = match open_campaign(api).await? {
        Some(id) => id,
        None => create_campaign(api).await?,
    };
    Ok(format!("{} SKUs; the campaign {campaign} sells {FLASH_SKU}", CATALOGUE.len()))
}

/// The open flash campaign, if there is one; other campaigns may sell the same SKU.
pub async fn open_campaign(api: &Api) -> anyhow::Result<Option<String>> {
    let answer = api.get("/v1/campaigns?state=CAMPAIGN_STATE_OPEN&pageSize=100").await?;
    let listed =
        answer.map_err(|refused| anyhow::anyhow!("the gateway refuses to list campaigns: {refused}"))?;
    let sells = |campaign: &&Value| {
        let ours = campaign["campaignId"].as_str().is_some_and(|id| id.starts_with(FLASH_PREFIX));
        let items = campaign["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        ours && items.iter().any(|item| item["skuId"] == FLASH_SKU)
    };
    let found = listed["campaigns"].as_array().map(Vec::as_slice).unwrap_or_default().iter().find(sells);
    Ok(found.and_then(|campaign| campaign["campaignId"].as_str()).map(str::to_owned))
}

async fn create_campaign(api: &Api) -> anyhow::Result<String> {
    let now = Clock::system().now();
    let opens = now.replace_nanosecond(0).context("zero is a nanosecond")? - Duration::minutes(1);
    // A campaign that has closed keeps its name, so the next one has another.
    let id = format!("{FLASH_PREFIX}{}", now.date());
    let body = json!({ "campaign": {
        "campaignId": id,
        "title": "Flash sale: half the price, one each",
        "opensAt": opens.format(&Rfc3339)?,
        "closesAt": (opens + FLASH_LASTS).format(&Rfc3339)?,
        "items": [{
            "skuId": FLASH_SKU,
            "price": { "amountMinor": FLASH_PRICE_MINOR.to_string(), "currency": CURRENCY },
            "units": FLASH_UNITS.to_string(),
            "perBuyerLimit": 1,
        }],
    }});
    match api.post("/v1/campaigns", &body).await? {
        Ok(_) => Ok(id),
        Err(refused) => bail!("the gateway refuses the campaign {id}: {refused}"),
    }
}
