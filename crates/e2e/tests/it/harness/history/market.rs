//! What a history is played with: three SKUs on the shelf and in campaigns, one of which opens and closes meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use stampede_kit::clock::Clock;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::{Campaign, CampaignItem, CreateCampaignRequest, CreateSkuRequest, Sku};
use stampede_proto::timestamp;
use time::OffsetDateTime;
use xtask::token::Role;

use super::record::{Cell, Terms, micros};
use crate::harness::stage::{Stage, request};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
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

/// Puts everything on sale; on what terms.
pub async fn fill(stage: &Stage) -> BTreeMap<Cell, Terms> {
    let (channel, staff) = (stage.channel("inventory"), stage.bearer("sam", Role::Staff));
    let (mut catalog, mut campaigns) =
        (CatalogServiceClient::new(channel.clone()), CampaignServiceClient::new(channel));
    let mut all = BTreeMap::new();
    for (sku, on_hand) in SHELF {
        let sku = Sku { sku_id: sku.into(), title: sku.into(), price: price(), ..Sku::default() };
        let cell = Cell { campaign: String::new(), sku: sku.sku_id.clone() };
        let wanted = CreateSkuRequest { sku: Some(sku), on_hand };
        catalog.create_sku(request(&staff, wanted, ANSWER_WITHIN)).await.unwrap();
        all.insert(cell, Terms { opened_with: on_hand, per_buyer_limit: None, window: None });
    }
    let now = Clock::system().now();
    for planned in &CAMPAIGNS {
        let wanted = CreateCampaignRequest { campaign: Some(planned.at(now)) };
        campaigns.create_campaign(request(&staff, wanted, ANSWER_WITHIN)).await.unwrap();
        for (sku, units, limit) in planned.items {
            let (opens, closes) = planned.window(now);
            let terms = Terms {
                opened_with: *units,
                per_buyer_limit: Some(i64::from(*limit)),
                window: Some((micros(opens), micros(closes))),
            };
            all.insert(Cell { campaign: planned.id.into(), sku: (*sku).into() }, terms);
        }
    }
    all
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
