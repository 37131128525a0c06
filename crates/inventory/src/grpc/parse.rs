//! Requests to the house's own types. The stack has checked the contract's rules; what only a type knows is checked here,
//! with the path of the field.

use std::str::FromStr;

use stampede_proto::inventory::v1;
use stampede_types::card::{NO_CARD_NUMBER, has_card_number};
use stampede_types::{Money, Pool, Quantity};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{CellKey, Line, Window};
use crate::error::Violation;
use crate::store::campaigns::{Campaign, Item};

/// A page when the caller names no size.
const PAGE: usize = 50;
/// The largest page.
const MAX_PAGE: usize = 100;

pub fn text<T: FromStr<Err: ToString>>(field: &str, text: &str) -> Result<T, Violation> {
    text.parse().map_err(|error: T::Err| Violation::new(field, error.to_string()))
}

/// Text that people write and that is kept.
pub fn free_text(field: &str, text: String) -> Result<String, Violation> {
    if has_card_number(&text) { Err(Violation::new(field, NO_CARD_NUMBER)) } else { Ok(text) }
}

pub fn uuid(field: &str, text: &str) -> Result<Uuid, Violation> {
    Uuid::parse_str(text).map_err(|error| Violation::new(field, error))
}

pub fn cell(path: &str, sku_id: &str, campaign_id: &str) -> Result<CellKey, Violation> {
    let sku = text(&format!("{path}sku_id"), sku_id)?;
    let pool = Pool::from_campaign_id(campaign_id)
        .map_err(|error| Violation::new(format!("{path}campaign_id"), error))?;
    Ok(CellKey { pool, sku })
}

pub fn quantity(field: &str, units: u32) -> Result<i64, Violation> {
    Quantity::try_from(units).map(i64::from).map_err(|error| Violation::new(field, error))
}

pub fn lines(field: &str, lines: &[v1::ReservationLine]) -> Result<Vec<Line>, Violation> {
    let line = |(at, line): (usize, &v1::ReservationLine)| {
        Ok(Line {
            cell: cell(&format!("{field}[{at}]."), &line.sku_id, &line.campaign_id)?,
            quantity: quantity(&format!("{field}[{at}].quantity"), line.quantity)?,
        })
    };
    lines.iter().enumerate().map(line).collect()
}

pub fn money(field: &str, money: Option<stampede_proto::common::v1::Money>) -> Result<Money, Violation> {
    let money = money.ok_or_else(|| Violation::new(field, "is required"))?;
    let money = Money::try_from(money).map_err(|error| Violation::new(format!("{field}.currency"), error))?;
    if money.amount_minor() < 0 {
        return Err(Violation::new(format!("{field}.amount_minor"), "must not be negative"));
    }
    Ok(money)
}

pub fn page_size(size: u32) -> usize {
    match usize::try_from(size).unwrap_or(MAX_PAGE) {
        0 => PAGE,
        size => size.min(MAX_PAGE),
    }
}

pub fn campaign(wire: v1::Campaign) -> Result<Campaign, Violation> {
    let opens_at = instant("campaign.opens_at", wire.opens_at)?;
    let closes_at = instant("campaign.closes_at", wire.closes_at)?;
    if opens_at >= closes_at {
        return Err(Violation::new("campaign.closes_at", "must be after opens_at"));
    }
    let mut items: Vec<Item> = Vec::with_capacity(wire.items.len());
    for (at, item) in wire.items.into_iter().enumerate() {
        let path = format!("campaign.items[{at}]");
        let item = self::item(&path, item)?;
        if items.iter().any(|known| known.sku == item.sku) {
            return Err(Violation::new(format!("{path}.sku_id"), "is in the campaign already"));
        }
        items.push(item);
    }
    let id = text("campaign.campaign_id", &wire.campaign_id)?;
    let title = free_text("campaign.title", wire.title)?;
    Ok(Campaign { id, title, window: Window { opens_at, closes_at }, items })
}

fn item(path: &str, item: v1::CampaignItem) -> Result<Item, Violation> {
    if item.units < 1 {
        return Err(Violation::new(format!("{path}.units"), "must be 1 or more"));
    }
    if item.per_buyer_limit < 1 {
        return Err(Violation::new(format!("{path}.per_buyer_limit"), "must be 1 or more"));
    }
    Ok(Item {
        sku: text(&format!("{path}.sku_id"), &item.sku_id)?,
        price: money(&format!("{path}.price"), item.price)?,
        units: item.units,
        per_buyer_limit: item.per_buyer_limit.into(),
    })
}

pub fn instant(field: &str, at: Option<prost_types::Timestamp>) -> Result<OffsetDateTime, Violation> {
    let at = at.ok_or_else(|| Violation::new(field, "is required"))?;
    stampede_proto::time(&at).ok_or_else(|| Violation::new(field, "is outside the calendar"))
}
