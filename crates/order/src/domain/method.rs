//! How a buyer pays: a kind and the provider's token, or several of them, and what he may have to do for it. Never a card number, and
//! never printed.

use std::fmt;

use stampede_types::{Money, tenders};
use time::OffsetDateTime;

use super::words::words;

words! {
    MethodKind {
        Card = "CARD",
        Alipay = "ALIPAY",
        WeChatPay = "WECHAT_PAY",
        StoredValue = "STORED_VALUE",
        /// Several of the others, each for a part.
        Tenders = "TENDERS",
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Method {
    pub kind: MethodKind,
    /// Empty when it is several.
    pub token: String,
    /// What each part is paid with, in the order in which they are asked; empty when it is one.
    pub tenders: Vec<Tender>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Tender {
    pub kind: MethodKind,
    pub token: String,
    /// None for whatever is left.
    pub amount: Option<Money>,
}

impl Method {
    /// One way to pay.
    #[must_use]
    pub const fn one(kind: MethodKind, token: String) -> Self {
        Self { kind, token, tenders: Vec::new() }
    }

    /// Several.
    #[must_use]
    pub const fn several(tenders: Vec<Tender>) -> Self {
        Self { kind: MethodKind::Tenders, token: String::new(), tenders }
    }

    /// Every token there is.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.token.as_str()).chain(self.tenders.iter().map(|tender| tender.token.as_str()))
    }

    /// The same method with every amount said: together they are the total, and each is something.
    ///
    /// # Errors
    /// The rule they break.
    pub fn worth(mut self, total: Money) -> Result<Self, &'static str> {
        if self.tenders.is_empty() {
            return Ok(self);
        }
        let asked: Vec<_> = self.tenders.iter().map(|tender| tender.amount).collect();
        for (tender, amount) in self.tenders.iter_mut().zip(tenders::worth(total, &asked)?) {
            tender.amount = Some(amount);
        }
        Ok(self)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.kind)
    }
}

/// What a buyer has to do at the provider before the money is held. Its address may open his session: it never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct BuyerAction {
    pub url: String,
    pub expires_at: OffsetDateTime,
}

impl fmt::Debug for BuyerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** until {}", self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_buyer_has_to_do_never_prints_where() {
        let action = BuyerAction { url: "https://psp/3ds".into(), expires_at: OffsetDateTime::UNIX_EPOCH };
        assert!(!format!("{action:?}").contains("psp"));
    }

    #[test]
    fn a_method_never_prints_its_token() {
        let method = Method::one(MethodKind::Card, "tok_visa".into());
        assert_eq!(format!("{method:?}"), "CARD:***");
        let several = Method::several(vec![tender(None)]);
        assert_eq!(format!("{several:?}"), "TENDERS:***");
    }

    fn tender(amount_minor: Option<i64>) -> Tender {
        let amount = amount_minor.map(|amount| Money::new(amount, "EUR".parse().unwrap()));
        Tender { kind: MethodKind::StoredValue, token: "gift".into(), amount }
    }

    #[test]
    fn tenders_are_worth_the_total_and_the_last_one_what_is_left() {
        let total = Money::new(100, "EUR".parse().unwrap());
        let worth = |amounts: &[Option<i64>]| {
            let tenders = amounts.iter().map(|amount| tender(*amount)).collect();
            let worth = Method::several(tenders).worth(total);
            worth.map(|method| {
                let amount = |tender: &Tender| tender.amount.unwrap().amount_minor();
                method.tenders.iter().map(amount).collect::<Vec<_>>()
            })
        };
        assert_eq!(worth(&[Some(30), None]), Ok(vec![30, 70]));
        assert_eq!(worth(&[Some(30), Some(70)]), Ok(vec![30, 70]));
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
        assert!(Method::several(vec![tender(Some(100))]).worth(dollars).is_err());
        assert!(Method::one(MethodKind::Card, "tok_visa".into()).worth(total).is_ok());
    }
}
