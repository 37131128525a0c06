//! What an order costs. Money is checked: a sum that does not fit is refused, never wrapped or rounded.

use stampede_types::{Currency, Money, MoneyError, Pool, Quantity, SkuId};

use super::order::Line;

/// What somebody wants to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub sku: SkuId,
    pub pool: Pool,
    pub quantity: Quantity,
}

/// What one unit of it is called and costs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub title: String,
    pub unit_price: Money,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    pub lines: Vec<Line>,
    pub subtotal: Money,
    pub discount: Money,
    pub total: Money,
}

/// Why there is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpriced {
    /// `line` is the first one, counted from 0, that differs from those before it.
    #[error("line {line} is in {found}, those before it in {expected}")]
    CurrencyMixed { line: usize, expected: Currency, found: Currency },
    #[error("the total of line {line} does not fit")]
    TooLarge { line: usize },
    #[error("there is nothing to price")]
    Nothing,
}

/// Prices each line at its offer.
///
/// # Errors
/// Two currencies, a total beyond 64 bits, or no line.
pub fn price(wanted: Vec<(Wanted, Offer)>) -> Result<Priced, Unpriced> {
    let currency = wanted.first().map(|(_, offer)| offer.unit_price.currency()).ok_or(Unpriced::Nothing)?;
    let zero = Money::zero(currency);
    let mut subtotal = zero;
    let mut lines = Vec::with_capacity(wanted.len());
    for (at, (wanted, offer)) in wanted.into_iter().enumerate() {
        let total =
            offer.unit_price.checked_mul(wanted.quantity.get()).map_err(|error| unpriced(at, &error))?;
        subtotal = subtotal.checked_add(total).map_err(|error| unpriced(at, &error))?;
        lines.push(Line {
            sku: wanted.sku,
            pool: wanted.pool,
            quantity: wanted.quantity,
            title: offer.title,
            unit_price: offer.unit_price,
            discount: zero,
            total,
        });
    }
    Ok(Priced { lines, subtotal, discount: zero, total: subtotal })
}

fn unpriced(line: usize, error: &MoneyError) -> Unpriced {
    match error {
        MoneyError::CurrencyMismatch { left, right } => {
            Unpriced::CurrencyMixed { line, expected: *left, found: *right }
        }
        MoneyError::Overflow => Unpriced::TooLarge { line },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(price: i64, currency: &str, quantity: u32) -> (Wanted, Offer) {
        let wanted =
            Wanted { sku: "TEE".parse().unwrap(), pool: Pool::Shelf, quantity: quantity.try_into().unwrap() };
        let unit_price = Money::new(price, currency.parse().unwrap());
        (wanted, Offer { title: "Tee".into(), unit_price })
    }

    #[test]
    fn two_currencies_in_one_order_are_refused_with_the_line() {
        let mixed = price(vec![item(1, "EUR", 1), item(1, "EUR", 1), item(1, "USD", 1)]);
        assert!(matches!(mixed, Err(Unpriced::CurrencyMixed { line: 2, .. })), "{mixed:?}");
    }

    #[test]
    fn a_total_that_does_not_fit_is_refused_and_never_wraps() {
        assert_eq!(price(vec![item(i64::MAX / 2, "EUR", 3)]), Err(Unpriced::TooLarge { line: 0 }));
        let sum = price(vec![item(i64::MAX / 2, "EUR", 2), item(2, "EUR", 1)]);
        assert_eq!(sum, Err(Unpriced::TooLarge { line: 1 }));
    }

    #[test]
    fn no_lines_have_no_price() {
        assert_eq!(price(Vec::new()), Err(Unpriced::Nothing));
    }

    proptest! {
        #[test]
        fn lines_always_sum_to_the_total(items in prop::collection::vec((0..=1_000_000_000_000_i64, 1..=1_000_u32), 1..=100)) {
            let priced = price(items.iter().map(|(p, q)| item(*p, "EUR", *q)).collect()).unwrap();
            let sum: i64 = priced.lines.iter().map(|line| line.total.amount_minor()).sum();
            prop_assert_eq!(sum, priced.total.amount_minor());
            prop_assert_eq!(priced.subtotal.checked_sub(priced.discount).unwrap(), priced.total);
        }
    }
}
