//! Several tenders for one thing: what each is worth, so that together they are what is to be paid.

use std::ops::RangeInclusive;

use crate::Money;

/// How many there are when it is several: the contract's own rule.
pub const TENDERS: RangeInclusive<usize> = 2..=4;

/// The same amounts, each said: the last one that is left out is whatever is left of `total`.
///
/// # Errors
/// The rule that they break.
pub fn worth(total: Money, asked: &[Option<Money>]) -> Result<Vec<Money>, &'static str> {
    let (mut left, last) = (total.amount_minor(), asked.len().saturating_sub(1));
    let mut worth = Vec::with_capacity(asked.len());
    for (place, amount) in asked.iter().enumerate() {
        let amount = match amount {
            Some(amount) if amount.currency() == total.currency() => amount.amount_minor(),
            Some(_) => return Err("must be in the currency of what is to be paid"),
            None if place == last => left,
            None => return Err("must each have an amount, but for the last"),
        };
        if amount <= 0 || amount > left {
            return Err("must each be above 0, and together what is to be paid");
        }
        left -= amount;
        worth.push(Money::new(amount, total.currency()));
    }
    if left == 0 { Ok(worth) } else { Err("must together be what is to be paid") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenders_are_worth_the_total_and_the_last_one_what_is_left() {
        let eur = |minor: i64| Money::new(minor, "EUR".parse().unwrap());
        let worth = |amounts: &[Option<i64>]| {
            let asked: Vec<_> = amounts.iter().map(|amount| amount.map(eur)).collect();
            super::worth(eur(100), &asked)
        };
        assert_eq!(worth(&[Some(30), None]), Ok(vec![eur(30), eur(70)]));
        assert_eq!(worth(&[Some(30), Some(70)]), Ok(vec![eur(30), eur(70)]));
        for wrong in [
            &[Some(30), Some(69)][..],
            &[Some(30), Some(71)],
            &[Some(100), None],
            &[Some(0), None],
            &[Some(-1), Some(101)],
            &[None, Some(70)],
            &[Some(i64::MAX), Some(100)],
        ] {
            assert!(worth(wrong).is_err(), "{wrong:?}");
        }
        let dollars = Money::new(100, "USD".parse().unwrap());
        assert!(super::worth(dollars, &[Some(eur(100))]).is_err());
    }
}
