//! Promotions as terms, and what they take off a basket. Every promotion counts from the prices before promotions, so neither
//! the order in which they are looked at nor another promotion changes what one of them gives; together they never take more off
//! a line than it costs. No time is read here: whether a promotion is open is asked of the instant that is passed in.

mod action;
mod evaluate;
mod kept;
mod spread;
#[cfg(test)]
mod tests;
pub mod uses;

use std::collections::BTreeMap;
use std::sync::Arc;

use stampede_types::{CampaignId, Money, Pool, SkuId};
use time::OffsetDateTime;

pub use evaluate::{Basket, Candidate, Declined, Outcome, Why, evaluate};
pub use kept::total_of_kept;

use super::order::Line;

/// The most coupons of one order.
pub const MAX_COUPONS: usize = 10;
/// The most lines of one order, gifts among them: what inventory holds at once.
pub const MAX_LINES: usize = 100;

/// A code a buyer brings. Letters are compared without their case, as people type them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coupon(Arc<str>);

/// Not 1 to 64 printable ASCII characters without spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a coupon is 1 to 64 letters, digits and signs without spaces")]
pub struct InvalidCoupon;

impl Coupon {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Coupon {
    type Err = InvalidCoupon;

    fn from_str(text: &str) -> Result<Self, InvalidCoupon> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_ascii_uppercase().into())) } else { Err(InvalidCoupon) }
    }
}

/// The terms of one promotion. They never change: an order keeps a copy of those it was placed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    pub id: Arc<str>,
    pub title: String,
    /// Smaller comes first; equal ones by id.
    pub priority: u32,
    /// At most one promotion of a group applies, the first that takes anything off; empty stacks with all.
    pub stacking_group: String,
    pub conditions: Conditions,
    pub action: Action,
    /// Not before this.
    pub opens_at: Option<OffsetDateTime>,
    /// Not from this on.
    pub closes_at: Option<OffsetDateTime>,
    /// Uses for one buyer.
    pub per_buyer_limit: Option<u32>,
    /// Uses by everybody.
    pub use_limit: Option<i64>,
    /// All it may give away.
    pub budget: Option<Money>,
}

/// All of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Of the whole order, before promotions.
    pub minimum_subtotal: Option<Money>,
    /// Each is in the order; the action is about their lines only.
    pub skus: Vec<SkuId>,
    /// From each something is bought; the action is about those lines only.
    pub campaigns: Vec<CampaignId>,
    /// The buyer brought this code. Without one a promotion applies by itself.
    pub coupon: Option<Coupon>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hundredths of a percent of the lines it is about, 0 to 10,000, rounded down to a minor unit of them all together.
    PercentOff(u32),
    /// Off the lines it is about together, never more than they cost.
    AmountOff(Money),
    /// Of every `buy + get` units it is about, the cheapest `get` cost nothing.
    BuyXGetY { buy: u32, get: u32 },
    /// The order's shipping costs nothing.
    FreeShipping,
    /// One unit of this from the shelf, for nothing.
    Gift(SkuId),
    /// What a unit costs, where that is less.
    FlashPrice(Money),
}

/// A promotion an order was placed with and what it gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub terms: Arc<Promotion>,
    /// Off the lines, or off shipping.
    pub discount: Money,
    /// What its gift would have cost; nothing for every other action, and for a gift priced in another currency.
    pub gift_worth: Money,
}

impl Promotion {
    /// Whether the action is about this line.
    fn covers(&self, line: &Line) -> bool {
        let conditions = &self.conditions;
        let campaign = match &line.pool {
            Pool::Shelf => None,
            Pool::Campaign(campaign) => Some(campaign),
        };
        (conditions.skus.is_empty() || conditions.skus.contains(&line.sku))
            && (conditions.campaigns.is_empty()
                || campaign.is_some_and(|campaign| conditions.campaigns.contains(campaign)))
    }

    /// Whether its uses are counted in its own row: it has an end that all orders share.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.use_limit.is_some() || self.budget.is_some()
    }

    /// Whether taking a use of it may have to wait for another order's.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.is_counted() || self.per_buyer_limit.is_some()
    }

    fn rank(&self) -> (u32, &str) {
        (self.priority, &self.id)
    }
}

/// The lines of an order that are gifts, by place, each with the promotion it came with. They were never priced, they count for no
/// condition, and they are the last ones, in the order of their promotions.
#[must_use]
pub fn gifts<'a>(lines: &[Line], applied: &'a [Applied]) -> BTreeMap<usize, &'a Applied> {
    let mut places = (0..lines.len()).rev().peekable();
    let mut gifts = BTreeMap::new();
    for (applied, sku) in
        applied.iter().rev().filter_map(|applied| Some((applied, applied.terms.action.gift()?)))
    {
        // One that was not given left no line.
        let is_it = |at: &usize| lines[*at].sku == *sku && lines[*at].unit_price.amount_minor() == 0;
        if let Some(at) = places.next_if(is_it) {
            gifts.insert(at, applied);
        }
    }
    gifts
}

impl Action {
    /// What it gives besides a price.
    #[must_use]
    pub const fn gift(&self) -> Option<&SkuId> {
        match self {
            Action::Gift(sku) => Some(sku),
            Action::PercentOff(_)
            | Action::AmountOff(_)
            | Action::BuyXGetY { .. }
            | Action::FreeShipping
            | Action::FlashPrice(_) => None,
        }
    }
}
