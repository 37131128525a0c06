//! Which promotions apply to a basket and what they take off it. The result depends on what is passed in and on nothing else,
//! least of all on its order.

use std::collections::HashSet;
use std::sync::Arc;

use stampede_types::{Currency, Money, SkuId};
use time::OffsetDateTime;

use super::action::off_lines;
use super::{Action, Applied, Coupon, MAX_LINES, Promotion};
use crate::domain::order::Line;

/// What somebody wants to buy, priced before promotions.
#[derive(Debug, Clone, Copy)]
pub struct Basket<'a> {
    pub lines: &'a [Line],
    pub coupons: &'a [Coupon],
    /// What shipping costs before promotions.
    pub shipping: Money,
    /// `None` for a basket whose promotions were open when it was bought.
    pub at: Option<OffsetDateTime>,
}

/// A promotion that might apply, with what is left of it for this buyer.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub terms: Arc<Promotion>,
    /// `None` without a limit.
    pub uses_left: Option<i64>,
    /// Minor units; `None` without a budget.
    pub budget_left: Option<i64>,
}

/// Why a promotion did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NotOpen,
    Closed,
    /// A condition does not hold, or there is nothing to take anything off.
    Unmet,
    UsedUp,
    /// Another of its group came first.
    Outranked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    pub id: Arc<str>,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Minor units off each line, by place.
    pub off: Vec<i64>,
    /// What is left to pay for shipping.
    pub shipping: Money,
    pub gifts: Vec<SkuId>,
    /// By priority.
    pub applied: Vec<Applied>,
    pub declined: Vec<Declined>,
}

/// What one promotion would give by itself.
struct Gain {
    off: Vec<i64>,
    shipping: i64,
    gift: Option<SkuId>,
}

/// Applies the candidates by priority. Lines are in one currency.
#[must_use]
pub fn evaluate(basket: Basket<'_>, candidates: &[Candidate]) -> Outcome {
    let mut ranked: Vec<&Candidate> = candidates.iter().collect();
    ranked.sort_by(|a, b| a.terms.rank().cmp(&b.terms.rank()));
    ranked.dedup_by(|a, b| a.terms.id == b.terms.id);
    let mut left: Vec<i64> = basket.lines.iter().map(|line| line.total.amount_minor()).collect();
    let mut groups: HashSet<&str> = HashSet::new();
    let mut outcome = Outcome {
        off: vec![0; left.len()],
        shipping: basket.shipping,
        gifts: Vec::new(),
        applied: Vec::new(),
        declined: Vec::new(),
    };
    for candidate in ranked {
        let terms = &candidate.terms;
        let group = terms.stacking_group.as_str();
        let gain = if groups.contains(group) {
            Err(Why::Outranked)
        } else {
            gain(&basket, candidate).and_then(|gain| room(&gain, &left, &outcome).map(|()| gain))
        };
        match gain {
            Ok(gain) => {
                if !group.is_empty() {
                    groups.insert(group);
                }
                let discount = take(gain, &mut left, &mut outcome);
                let discount = Money::new(discount, basket.shipping.currency());
                let gift_worth = Money::zero(basket.shipping.currency());
                outcome.applied.push(Applied { terms: terms.clone(), discount, gift_worth });
            }
            Err(why) => outcome.declined.push(Declined { id: terms.id.clone(), why }),
        }
    }
    outcome
}

/// What the promotion gives by itself, or why it gives nothing.
fn gain(basket: &Basket<'_>, candidate: &Candidate) -> Result<Gain, Why> {
    let terms = &candidate.terms;
    if let Some(at) = basket.at {
        if terms.opens_at.is_some_and(|opens| at < opens) {
            return Err(Why::NotOpen);
        }
        if terms.closes_at.is_some_and(|closes| at >= closes) {
            return Err(Why::Closed);
        }
    }
    if !holds(basket, terms) {
        return Err(Why::Unmet);
    }
    let off = off_lines(terms, basket.lines);
    let (shipping, gift) = match &terms.action {
        Action::FreeShipping => (basket.shipping.amount_minor(), None),
        Action::Gift(sku) => (0, Some(sku.clone())),
        Action::PercentOff(_) | Action::AmountOff(_) | Action::BuyXGetY { .. } | Action::FlashPrice(_) => {
            (0, None)
        }
    };
    // Limits are asked after the amount is known, from what the promotion gives by itself: never a part of it.
    let gives = off.iter().sum::<i64>() + shipping;
    if gives == 0 && gift.is_none() {
        return Err(Why::Unmet);
    }
    if candidate.uses_left.is_some_and(|left| left <= 0)
        || candidate.budget_left.is_some_and(|left| left < gives)
    {
        return Err(Why::UsedUp);
    }
    Ok(Gain { off, shipping, gift })
}

/// Whether every condition holds, and all money is in the basket's currency.
fn holds(basket: &Basket<'_>, terms: &Promotion) -> bool {
    let conditions = &terms.conditions;
    let subtotal: i128 = basket.lines.iter().map(|line| i128::from(line.total.amount_minor())).sum();
    let enough = conditions.minimum_subtotal.is_none_or(|least| subtotal >= i128::from(least.amount_minor()));
    let invited = conditions.coupon.as_ref().is_none_or(|coupon| basket.coupons.contains(coupon));
    let there = conditions.skus.iter().all(|sku| basket.lines.iter().any(|line| line.sku == *sku))
        && conditions
            .campaigns
            .iter()
            .all(|campaign| basket.lines.iter().any(|line| line.pool.campaign_id() == campaign.as_str()));
    let covered = basket.lines.iter().any(|line| terms.covers(line));
    enough && invited && there && covered && same_currency(terms, basket.shipping.currency())
}

fn same_currency(terms: &Promotion, currency: Currency) -> bool {
    let of_action = match &terms.action {
        Action::AmountOff(money) | Action::FlashPrice(money) => Some(*money),
        Action::PercentOff(_) | Action::BuyXGetY { .. } | Action::FreeShipping | Action::Gift(_) => None,
    };
    [of_action, terms.conditions.minimum_subtotal, terms.budget]
        .into_iter()
        .flatten()
        .all(|money| money.currency() == currency)
}

/// Whether anything of it is still to be had beside what came before.
fn room(gain: &Gain, left: &[i64], outcome: &Outcome) -> Result<(), Why> {
    let lines = left.len() + outcome.gifts.len();
    let something = gain.off.iter().zip(left).any(|(off, left)| *off > 0 && *left > 0)
        || (gain.shipping > 0 && outcome.shipping.amount_minor() > 0)
        || (gain.gift.is_some() && lines < MAX_LINES);
    if something { Ok(()) } else { Err(Why::Unmet) }
}

/// Takes it off what is left and says how much that was.
fn take(gain: Gain, left: &mut [i64], outcome: &mut Outcome) -> i64 {
    let mut taken = 0;
    for ((off, left), sum) in gain.off.iter().zip(left).zip(&mut outcome.off) {
        let part = (*off).min(*left);
        *left -= part;
        *sum += part;
        taken += part;
    }
    if gain.shipping > 0 {
        taken += outcome.shipping.amount_minor();
        outcome.shipping = Money::zero(outcome.shipping.currency());
    }
    outcome.gifts.extend(gain.gift);
    taken
}
