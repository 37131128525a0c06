//! What orders are placed for: three SKUs on the shelf, one of them scarce, a campaign with a limit a buyer, and the model's promotions.

use std::collections::BTreeMap;
use std::time::Duration;

use stampede_kit::clock::Clock;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::{Campaign, CampaignItem, CreateCampaignRequest, CreateSkuRequest, Sku};
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::promotion_action::Action;
use stampede_proto::order::v1::promotion_condition::Condition;
use stampede_proto::order::v1::promotion_service_client::PromotionServiceClient;
use stampede_proto::order::v1::{
    BuyXGetY, CreatePromotionRequest, Promotion, PromotionAction, PromotionCondition, QuotePriceRequest,
};
use stampede_proto::timestamp;
use xtask::token::Role;

use super::model::till::{self, Gives, PROMOTIONS, unit_price};
use super::record::{cell, lines};
use crate::harness::eventually;
use crate::harness::history::record::{Cell, Terms, Units, micros};
use crate::harness::stage::{Stage, request};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What there is; of caps too little.
pub const SHELF: [(&str, i64); 3] = [("tee", 100_000), ("mug", 100_000), ("cap", 12)];
pub const CAMPAIGN: &str = "flash";
/// Of the campaign's one SKU.
pub const UNITS: i64 = 40;
const PER_BUYER: u32 = 6;
const OPEN_FOR: time::Duration = time::Duration::hours(12);

/// Puts everything on sale; on what terms.
pub async fn fill(stage: &Stage) -> BTreeMap<Cell, Terms> {
    let staff = stage.bearer("sam", Role::Staff);
    let channel = stage.channel("inventory");
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let mut terms = BTreeMap::new();
    for (sku, on_hand) in SHELF {
        let cell = cell(sku, "");
        let sku =
            Sku { sku_id: sku.into(), title: sku.into(), price: eur(unit_price(&cell)), ..Sku::default() };
        let wanted = CreateSkuRequest { sku: Some(sku), on_hand };
        catalog.create_sku(request(&staff, wanted, ANSWER_WITHIN)).await.unwrap();
        terms.insert(cell, Terms { opened_with: on_hand, per_buyer_limit: None, window: None });
    }
    let opens = Clock::system().now() - time::Duration::minutes(1);
    let hot = cell("tee", CAMPAIGN);
    let item = CampaignItem {
        sku_id: hot.sku.clone(),
        price: eur(unit_price(&hot)),
        units: UNITS,
        per_buyer_limit: PER_BUYER,
        ..CampaignItem::default()
    };
    let campaign = Campaign {
        campaign_id: CAMPAIGN.into(),
        title: CAMPAIGN.into(),
        opens_at: Some(timestamp(opens)),
        closes_at: Some(timestamp(opens + OPEN_FOR)),
        items: vec![item],
        ..Campaign::default()
    };
    let wanted = CreateCampaignRequest { campaign: Some(campaign) };
    CampaignServiceClient::new(channel)
        .create_campaign(request(&staff, wanted, ANSWER_WITHIN))
        .await
        .unwrap();
    let window = Some((micros(opens), micros(opens + OPEN_FOR)));
    terms.insert(hot, Terms { opened_with: UNITS, per_buyer_limit: Some(i64::from(PER_BUYER)), window });
    let mut promotions = PromotionServiceClient::new(stage.channel("order"));
    for known in &PROMOTIONS {
        let wanted = CreatePromotionRequest { promotion: Some(promotion(known)) };
        promotions.create_promotion(request(&staff, wanted, ANSWER_WITHIN)).await.unwrap();
    }
    every_process_knows_them(stage).await;
    terms
}

/// What was made at one process is known to the others a moment later: the histories begin when it is.
async fn every_process_knows_them(stage: &Stage) {
    let buyer = stage.bearer("first", Role::Buyer);
    let third = PROMOTIONS.iter().find(|known| known.coupon.is_none()).map(|known| known.id);
    let three = Units::from([(cell("mug", ""), 3)]);
    for name in stage.names_of("order") {
        let mut orders = OrderServiceClient::new(stage.channel(&name));
        eventually(async || {
            let wanted = QuotePriceRequest { lines: lines(&three), coupons: Vec::new() };
            let quoted = orders.quote_price(request(&buyer, wanted, ANSWER_WITHIN)).await;
            let quoted = quoted.map_err(|status| format!("{status:?}"))?.into_inner();
            let known = quoted.promotions.iter().any(|used| Some(used.promotion_id.as_str()) == third);
            if known { Ok(()) } else { Err(format!("{name} does not know {third:?}")) }
        })
        .await;
    }
}

fn promotion(known: &till::Promotion) -> Promotion {
    let (action, about) = match known.gives {
        Gives::Percent(hundredths) => (Action::PercentOffBp(u32::try_from(hundredths).unwrap() * 100), None),
        Gives::Off(minor) => (Action::AmountOff(Money { amount_minor: minor, currency: "EUR".into() }), None),
        Gives::Third(sku) => {
            (Action::BuyXGetY(BuyXGetY { buy: 2, get: 1 }), Some(Condition::SkuId(sku.into())))
        }
    };
    let coupon = known.coupon.map(|coupon| Condition::Coupon(coupon.into()));
    let condition = |condition| PromotionCondition { condition: Some(condition) };
    Promotion {
        promotion_id: known.id.into(),
        title: known.id.into(),
        conditions: coupon.into_iter().chain(about).map(condition).collect(),
        action: Some(PromotionAction { action: Some(action) }),
        per_buyer_limit: known.per_buyer_limit.unwrap_or(0),
        use_limit: known.use_limit.unwrap_or(0),
        budget: known.budget.and_then(eur),
        ..Promotion::default()
    }
}

fn eur(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "EUR".into() })
}
