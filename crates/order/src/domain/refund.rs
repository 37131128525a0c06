//! What goes back to the buyer for what he sends back: what was paid and has not been given back, less what the units he keeps
//! are worth. So the refunds of an order sum to what it was paid with when all of it has come back, in whatever pieces, and
//! never to more.

use stampede_types::Money;

use super::fulfilment::{Units, sum};
use super::order::{Line, Order};
use super::promotion::total_of_kept;

/// The refund for these units, after what came back before them. In the order's currency, from zero to what is left of its
/// total.
#[must_use]
pub fn refund(order: &Order, returning: &[Units]) -> Money {
    let settled = order.returns.iter().filter(|back| back.settled.is_some());
    let back = sum(order.lines.len(), settled.flat_map(|back| &back.units).chain(returning));
    let kept = order.lines.iter().zip(back).map(|(line, back)| line.quantity.get().saturating_sub(back));
    let kept: Vec<u32> = kept.collect();
    let left = order.total.amount_minor() - order.refunded.amount_minor();
    // What he keeps may be worth more than he has still paid: then he gets nothing, and owes nothing.
    Money::new((left - worth_of_kept(order, &kept)).clamp(0, left.max(0)), order.total.currency())
}

/// What the order would have cost with only these units of each line, in minor units. The one place where the rules that made
/// the price are looked at again.
pub(super) fn worth_of_kept(order: &Order, kept: &[u32]) -> i64 {
    if !order.promotions.is_empty()
        && let Ok(total) = total_of_kept(order, kept)
    {
        return total.amount_minor();
    }
    // Shipping stays paid while anything is kept.
    let shipping = if kept.iter().any(|kept| *kept > 0) { order.shipping.amount_minor() } else { 0 };
    shipping + shares(order, kept)
}

fn shares(order: &Order, kept: &[u32]) -> i64 {
    order.lines.iter().zip(kept).map(|(line, kept)| share(line, *kept)).sum()
}

/// What these units of a line were paid with: their part of its total, rounded so that the part that goes back is rounded down
/// each time and the last unit to go back carries what is left.
fn share(line: &Line, kept: u32) -> i64 {
    let (total, units) = (i128::from(line.total.amount_minor()), i128::from(line.quantity.get()));
    let back = units - i128::from(kept);
    i64::try_from(total - total * back / units).expect("a part of a total fits where the total does")
}

#[cfg(test)]
#[path = "refund_tests.rs"]
mod tests;
