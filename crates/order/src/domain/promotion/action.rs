//! What each action takes off the lines it is about, from their prices before promotions.

use super::spread::spread;
use super::{Action, Promotion};
use crate::domain::order::Line;

/// Basis points of a whole.
const WHOLE_BP: i128 = 10_000;

/// Minor units off each line, by place; what is not about lines takes nothing off them. No line gives more than it costs.
pub(super) fn off_lines(promotion: &Promotion, lines: &[Line]) -> Vec<i64> {
    let covered: Vec<bool> = lines.iter().map(|line| promotion.covers(line)).collect();
    let weights: Vec<i64> = lines
        .iter()
        .zip(&covered)
        .map(|(line, covered)| if *covered { cost(line, line.quantity.get()) } else { 0 })
        .collect();
    match &promotion.action {
        Action::PercentOff(basis_points) => {
            let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
            let off = sum * i128::from(*basis_points).min(WHOLE_BP) / WHOLE_BP;
            spread(i64::try_from(off).unwrap_or(i64::MAX), &weights)
        }
        Action::AmountOff(amount) => spread(amount.amount_minor(), &weights),
        Action::BuyXGetY { buy, get } => free_units(lines, &covered, *buy, *get)
            .into_iter()
            .zip(lines)
            .map(|(free, line)| cost(line, free))
            .collect(),
        Action::FlashPrice(price) => lines
            .iter()
            .zip(&covered)
            .map(|(line, covered)| {
                let unit = line.unit_price.amount_minor().saturating_sub(price.amount_minor().max(0)).max(0);
                if *covered { unit.saturating_mul(i64::from(line.quantity.get())) } else { 0 }
            })
            .collect(),
        Action::FreeShipping | Action::Gift(_) => vec![0; lines.len()],
    }
}

/// Units of each line that cost nothing: the cheapest first, equal ones by place.
fn free_units(lines: &[Line], covered: &[bool], buy: u32, get: u32) -> Vec<u32> {
    let units: u64 = lines
        .iter()
        .zip(covered)
        .filter(|(_, covered)| **covered)
        .map(|(line, _)| u64::from(line.quantity.get()))
        .sum();
    let set = u64::from(buy) + u64::from(get);
    let mut left = units.checked_div(set).unwrap_or(0) * u64::from(get);
    let mut cheapest: Vec<usize> = (0..lines.len()).filter(|at| covered[*at]).collect();
    cheapest.sort_by_key(|at| (lines[*at].unit_price.amount_minor(), *at));
    let mut free = vec![0; lines.len()];
    for at in cheapest {
        let of_line = u32::try_from(left).unwrap_or(u32::MAX).min(lines[at].quantity.get());
        free[at] = of_line;
        left -= u64::from(of_line);
    }
    free
}

/// Units of a line before promotions. Priced lines fit: the sum of an order is checked where it is priced.
fn cost(line: &Line, units: u32) -> i64 {
    line.unit_price.amount_minor().saturating_mul(i64::from(units))
}
