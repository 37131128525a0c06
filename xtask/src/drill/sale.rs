//! What a drill sells: one open campaign of two SKUs. One outlasts the load, one runs out while the fault is on.

use std::time::Duration;

use anyhow::Context as _;
use stampede_kit::{self as kit, clock::Clock};
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::{Campaign, CampaignItem, CreateCampaignRequest, CreateSkuRequest, Sku};
use stampede_proto::timestamp;
use tonic::Request;

use super::plan::PER_BUYER_LIMIT;
use super::shop::Shop;
use crate::token::{self, Role};

pub const CAMPAIGN: &str = "drill";
/// By their place: lines name a SKU by it.
pub const PLENTY: usize = 0;
pub const SCARCE: usize = 1;
pub const SKUS: [&str; 2] = ["DRILL-PLENTY", "DRILL-SCARCE"];

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const OPEN_FOR: Duration = Duration::from_secs(2 * 3600);

/// Puts both SKUs on sale; units by the SKU's place.
pub async fn open(shop: &Shop, units: [i64; 2]) -> anyhow::Result<()> {
    let bearer = format!("Bearer {}", token::sign(shop.stack.folder(), "drill-staff", Role::Staff)?);
    let channel = shop.channels("client", 1)?.pop().context("one channel was asked for")?;
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let price = Some(Money { amount_minor: 999, currency: "EUR".to_owned() });
    for sku in SKUS {
        let sku =
            Sku { sku_id: sku.to_owned(), title: sku.to_owned(), price: price.clone(), ..Sku::default() };
        let wanted = CreateSkuRequest { sku: Some(sku), on_hand: 0 };
        catalog.create_sku(staff(wanted, &bearer)?).await.context("the SKU is refused")?;
    }
    let now = Clock::system().now();
    let item = |(sku, units): (&str, i64)| CampaignItem {
        sku_id: sku.to_owned(),
        price: price.clone(),
        units,
        per_buyer_limit: PER_BUYER_LIMIT,
        ..CampaignItem::default()
    };
    let campaign = Campaign {
        campaign_id: CAMPAIGN.to_owned(),
        title: "Drill".to_owned(),
        opens_at: Some(timestamp(now - Duration::from_secs(60))),
        closes_at: Some(timestamp(now + OPEN_FOR)),
        items: SKUS.into_iter().zip(units).map(item).collect(),
        ..Campaign::default()
    };
    let wanted = CreateCampaignRequest { campaign: Some(campaign) };
    let mut campaigns = CampaignServiceClient::new(channel);
    campaigns.create_campaign(staff(wanted, &bearer)?).await.context("the campaign is refused")?;
    Ok(())
}

fn staff<M>(message: M, bearer: &str) -> anyhow::Result<Request<M>> {
    let mut request = kit::client::request(message, ANSWER_WITHIN);
    request.metadata_mut().insert("authorization", bearer.parse().context("a token is ASCII")?);
    Ok(request)
}
