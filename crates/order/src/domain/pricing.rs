//! What an order costs. Money is checked: a sum that does not fit is refused, never wrapped or rounded.

use stampede_types::{Currency, Money, MoneyError, Pool, Quantity, SkuId};

use super::order::Line;
use super::promotion::{Applied, Outcome};

/// The contract's largest amount: an order that costs more could be placed and never be paid.
const MAX_TOTAL_MINOR: i64 = 1_000_000_000_000;

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
    pub shipping: Money,
    pub total: Money,
    /// By priority.
    pub promotions: Vec<Applied>,
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
/// Two currencies, a total beyond what can be paid, or no line.
pub fn price(wanted: Vec<(Wanted, Offer)>) -> Result<Priced, Unpriced> {
    let currency = wanted.first().map(|(_, offer)| offer.unit_price.currency()).ok_or(Unpriced::Nothing)?;
    let zero = Money::zero(currency);
    let mut subtotal = zero;
    let mut lines = Vec::with_capacity(wanted.len());
    for (at, (wanted, offer)) in wanted.into_iter().enumerate() {
        let total =
            offer.unit_price.checked_mul(wanted.quantity.get()).map_err(|error| unpriced(at, &error))?;
        subtotal = subtotal.checked_add(total).map_err(|error| unpriced(at, &error))?;
        if subtotal.amount_minor() > MAX_TOTAL_MINOR {
            return Err(Unpriced::TooLarge { line: at });
        }
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
    Ok(Priced { lines, subtotal, discount: zero, shipping: zero, total: subtotal, promotions: Vec::new() })
}

impl Priced {
    /// The same after promotions: each line with its part of the discount, then the gifts as lines that cost nothing. `offers` are
    /// those of the gifts, in their order: what each would have cost is kept with its promotion.
    ///
    /// # Errors
    /// A total beyond what can be paid.
    pub fn discounted(mut self, outcome: Outcome, offers: Vec<Offer>) -> Result<Priced, Unpriced> {
        let currency = self.subtotal.currency();
        for (at, (line, off)) in self.lines.iter_mut().zip(outcome.off).enumerate() {
            line.discount = Money::new(off, currency);
            line.total = line.total.checked_sub(line.discount).map_err(|error| unpriced(at, &error))?;
            self.discount = self.discount.checked_add(line.discount).map_err(|error| unpriced(at, &error))?;
        }
        let last = self.lines.len().saturating_sub(1);
        let goods = self.subtotal.checked_sub(self.discount).map_err(|error| unpriced(last, &error))?;
        self.total = goods.checked_add(outcome.shipping).map_err(|error| unpriced(last, &error))?;
        if self.total.amount_minor() > MAX_TOTAL_MINOR {
            return Err(Unpriced::TooLarge { line: last });
        }
        self.shipping = outcome.shipping;
        self.promotions = outcome.applied;
        let zero = Money::zero(currency);
        let given = self.promotions.iter_mut().filter(|applied| applied.terms.action.gift().is_some());
        for (applied, offer) in given.zip(&offers) {
            applied.gift_worth =
                if offer.unit_price.currency() == currency { offer.unit_price } else { zero };
        }
        self.lines.extend(outcome.gifts.into_iter().zip(offers).map(|(sku, offer)| Line {
            sku,
            pool: Pool::Shelf,
            quantity: Quantity::ONE,
            title: offer.title,
            unit_price: zero,
            discount: zero,
            total: zero,
        }));
        Ok(self)
    }
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
        let sum = price(vec![item(MAX_TOTAL_MINOR, "EUR", 1), item(i64::MAX, "EUR", 1)]);
        assert_eq!(sum, Err(Unpriced::TooLarge { line: 1 }));
    }

    #[test]
    fn a_total_that_no_payment_may_have_is_refused_with_the_line_that_makes_it() {
        let most = price(vec![item(1_000_000_000, "EUR", 1_000)]).unwrap();
        assert_eq!(most.total.amount_minor(), MAX_TOTAL_MINOR);
        let more = price(vec![item(1_000_000_000, "EUR", 1_000), item(1, "EUR", 1)]);
        assert_eq!(more, Err(Unpriced::TooLarge { line: 1 }));
    }

    #[test]
    fn no_lines_have_no_price() {
        assert_eq!(price(Vec::new()), Err(Unpriced::Nothing));
    }

    proptest! {
        #[test]
        fn lines_always_sum_to_the_total(items in prop::collection::vec((0..=10_000_000_i64, 1..=1_000_u32), 1..=100)) {
            let priced = price(items.iter().map(|(p, q)| item(*p, "EUR", *q)).collect()).unwrap();
            let sum: i64 = priced.lines.iter().map(|line| line.total.amount_minor()).sum();
            prop_assert_eq!(sum, priced.total.amount_minor());
            prop_assert_eq!(priced.subtotal.checked_sub(priced.discount).unwrap(), priced.total);
        }
    }
}
