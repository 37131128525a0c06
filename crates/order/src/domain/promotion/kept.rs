//! What is kept of an order after a part of it goes back, at the promotions the order was placed with: their conditions are
//! asked again of what stays, and what each line gives is counted again.

use stampede_types::{Money, Quantity};

use super::evaluate::{Basket, Candidate, evaluate};
use super::is_gift;
use crate::domain::order::{Line, Order};
use crate::domain::pricing::Unpriced;

/// What the kept units cost: `kept[i]` units of `order.lines[i]` stay. Shipping stays as it was charged while anything paid for
/// is kept; nothing kept costs nothing. A return refunds what was paid, less this, less what was refunded before, and never
/// less than nothing.
///
/// # Errors
/// A sum that does not fit.
pub fn total_of_kept(order: &Order, kept: &[u32]) -> Result<Money, Unpriced> {
    let nothing = Money::zero(order.total.currency());
    let mut lines = Vec::with_capacity(order.lines.len());
    for (at, (line, kept)) in order.lines.iter().zip(kept).enumerate() {
        if let Ok(quantity) = Quantity::try_from((*kept).min(line.quantity.get()))
            && !is_gift(line, &order.promotions)
        {
            let too_large = |_| Unpriced::TooLarge { line: at };
            let total = line.unit_price.checked_mul(quantity.get()).map_err(too_large)?;
            lines.push(Line { quantity, total, discount: nothing, ..line.clone() });
        }
    }
    if lines.is_empty() {
        return Ok(nothing);
    }
    let given: Vec<Candidate> = order
        .promotions
        .iter()
        .map(|applied| Candidate { terms: applied.terms.clone(), uses_left: None, budget_left: None })
        .collect();
    let coupons: Vec<_> =
        order.promotions.iter().filter_map(|applied| applied.terms.conditions.coupon.clone()).collect();
    let basket = Basket { lines: &lines, coupons: &coupons, shipping: nothing, at: None };
    let off: i64 = evaluate(basket, &given).off.iter().sum();
    let sum: i64 = lines.iter().map(|line| line.total.amount_minor()).sum();
    let goods = sum.checked_sub(off).ok_or(Unpriced::TooLarge { line: 0 })?;
    let shipping = order.shipping.amount_minor();
    goods
        .checked_add(shipping)
        .map(|total| Money::new(total, order.total.currency()))
        .ok_or(Unpriced::Nothing)
}
