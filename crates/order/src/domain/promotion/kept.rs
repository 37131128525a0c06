//! What is kept of an order after a part of it goes back, at the promotions the order was placed with: their conditions are
//! asked again of what stays, and what each of them gives is counted again, shipping and gifts among it.

use std::collections::HashSet;

use stampede_types::{Money, Quantity};

use super::evaluate::{Basket, Candidate, evaluate};
use super::{Action, gifts};
use crate::domain::order::{Line, Order};
use crate::domain::pricing::Unpriced;

/// What the kept units cost: `kept[i]` units of `order.lines[i]` stay. Whatever a promotion gave is kept as long as its conditions
/// hold for what is kept beside it: a gift without them costs what it would have cost, and shipping what it would have. Nothing
/// kept costs nothing. A return refunds what was paid, less this, less what was refunded before, and never less than nothing.
///
/// # Errors
/// A sum that does not fit.
pub fn total_of_kept(order: &Order, kept: &[u32]) -> Result<Money, Unpriced> {
    let currency = order.total.currency();
    let nothing = Money::zero(currency);
    if kept.iter().all(|kept| *kept == 0) {
        return Ok(nothing);
    }
    let gifts = gifts(&order.lines, &order.promotions);
    let mut lines = Vec::with_capacity(order.lines.len());
    for (at, (line, kept)) in order.lines.iter().zip(kept).enumerate() {
        if let Ok(quantity) = Quantity::try_from((*kept).min(line.quantity.get()))
            && !gifts.contains_key(&at)
        {
            let too_large = |_| Unpriced::TooLarge { line: at };
            let total = line.unit_price.checked_mul(quantity.get()).map_err(too_large)?;
            lines.push(Line { quantity, total, discount: nothing, ..line.clone() });
        }
    }
    let given: Vec<Candidate> = order
        .promotions
        .iter()
        .map(|applied| Candidate { terms: applied.terms.clone(), uses_left: None, budget_left: None })
        .collect();
    let coupons: Vec<_> =
        order.promotions.iter().filter_map(|applied| applied.terms.conditions.coupon.clone()).collect();
    let shipping = shipping_before(order)?;
    let outcome = evaluate(Basket { lines: &lines, coupons: &coupons, shipping, at: None }, &given);
    let holds: HashSet<&str> = outcome.applied.iter().map(|applied| &*applied.terms.id).collect();
    let lost = gifts.into_iter().filter(|(at, gift)| kept[*at] > 0 && !holds.contains(&*gift.terms.id));
    let goods = lines.iter().map(|line| line.total).chain(lost.map(|(_, gift)| gift.gift_worth));
    let off = Money::new(outcome.off.iter().sum(), currency);
    let sum = sum(goods.chain([outcome.shipping]), nothing)?;
    sum.checked_sub(off).map_err(|_| Unpriced::TooLarge { line: 0 })
}

/// What shipping cost before promotions.
fn shipping_before(order: &Order) -> Result<Money, Unpriced> {
    let waived = order.promotions.iter().filter(|applied| match applied.terms.action {
        Action::FreeShipping => true,
        Action::PercentOff(_)
        | Action::AmountOff(_)
        | Action::BuyXGetY { .. }
        | Action::Gift(_)
        | Action::FlashPrice(_) => false,
    });
    sum(waived.map(|applied| applied.discount), order.shipping)
}

fn sum(parts: impl Iterator<Item = Money>, first: Money) -> Result<Money, Unpriced> {
    let mut sum = first;
    for part in parts {
        sum = sum.checked_add(part).map_err(|_| Unpriced::TooLarge { line: 0 })?;
    }
    Ok(sum)
}
