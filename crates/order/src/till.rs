//! What lines cost a buyer now: prices from the catalogue, promotions and coupons, shipping. Both QuotePrice and CreateOrder ask
//! here, so they cannot differ.

use stampede_types::{BuyerId, Money};

use crate::domain::pricing::{self, Priced, Wanted};
use crate::domain::promotion::{Action, Basket, Coupon, Outcome, Promotion, Why};
use crate::error::Error;
use crate::orders::Orders;
use crate::promotions::Counted;
use crate::store::promotions::Level;

/// A buyer with his basket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub buyer: &'a BuyerId,
    pub lines: &'a [Wanted],
    pub coupons: &'a [Coupon],
}

impl Orders {
    /// The price, with every coupon applied.
    pub(crate) async fn price(&self, asker: Asker<'_>) -> Result<Priced, Error> {
        let priced = self.list_price(asker).await?;
        let shipping = self.shipping(&priced);
        if asker.coupons.is_empty() && shipping.amount_minor() == 0 && self.promotions.none_automatic() {
            return Ok(priced);
        }
        // Apart: an order without promotions is not as large as all this while it waits.
        Box::pin(self.promoted(asker, priced)).await
    }

    async fn promoted(&self, asker: Asker<'_>, priced: Priced) -> Result<Priced, Error> {
        let levels = self.promotions.known(asker.coupons).await?;
        let outcome = self.outcome(asker, &priced, &levels).await?;
        check_coupons(asker.coupons, &levels, &outcome)?;
        self.discounted(priced, outcome).await
    }

    /// The price without one promotion, for somebody who has just lost it. Coupons that do not apply are left out.
    pub(crate) async fn price_without(&self, asker: Asker<'_>, promotion: &str) -> Result<Priced, Error> {
        let priced = self.list_price(asker).await?;
        let mut levels = self.promotions.known(asker.coupons).await?;
        levels.retain(|level| &*level.terms.id != promotion);
        let outcome = self.outcome(asker, &priced, &levels).await?;
        self.discounted(priced, outcome).await
    }

    /// Adds a promotion, whose gift the catalogue has to know.
    pub(crate) async fn create_promotion(&self, terms: Promotion) -> Result<Counted, Error> {
        if let Action::Gift(sku) = &terms.action
            && self.prices.title(sku).await?.is_none()
        {
            let field = "promotion.action.gift.sku_id".to_owned();
            return Err(Error::Invalid { field, rule: "does not exist" });
        }
        self.promotions.create(terms).await
    }

    async fn list_price(&self, asker: Asker<'_>) -> Result<Priced, Error> {
        let offers = self.prices.offers(asker.lines).await?;
        Ok(pricing::price(asker.lines.iter().cloned().zip(offers).collect())?)
    }

    async fn outcome(&self, asker: Asker<'_>, priced: &Priced, levels: &[Level]) -> Result<Outcome, Error> {
        let basket = Basket {
            lines: &priced.lines,
            coupons: asker.coupons,
            shipping: self.shipping(priced),
            at: Some(self.clock.now()),
        };
        self.promotions.apply(asker.buyer, basket, levels).await
    }

    /// The flat fee of an order, in its currency or not at all.
    fn shipping(&self, priced: &Priced) -> Money {
        let currency = priced.subtotal.currency();
        self.shipping_fee.filter(|fee| fee.currency() == currency).unwrap_or(Money::zero(currency))
    }

    async fn discounted(&self, priced: Priced, outcome: Outcome) -> Result<Priced, Error> {
        let mut gifts = Vec::with_capacity(outcome.gifts.len());
        for sku in &outcome.gifts {
            // A gift the catalogue does not know cannot be given, and is no reason not to sell.
            if let Some(title) = self.prices.title(sku).await? {
                gifts.push((sku.clone(), title));
            }
        }
        Ok(priced.discounted(outcome, gifts)?)
    }
}

impl Priced {
    /// The same without its gifts: they have run out.
    pub(crate) fn without_gifts(mut self, asked: usize) -> Priced {
        self.lines.truncate(asked);
        self.promotions.retain(|applied| match applied.terms.action {
            Action::Gift(_) => false,
            Action::PercentOff(_)
            | Action::AmountOff(_)
            | Action::BuyXGetY { .. }
            | Action::FreeShipping
            | Action::FlashPrice(_) => true,
        });
        self
    }
}

/// Who brings a coupon wants what it gives: one that gives nothing is said, not passed over.
fn check_coupons(coupons: &[Coupon], levels: &[Level], outcome: &Outcome) -> Result<(), Error> {
    for (at, coupon) in coupons.iter().enumerate() {
        let wants = |terms: &Promotion| terms.conditions.coupon.as_ref() == Some(coupon);
        if outcome.applied.iter().any(|applied| wants(&applied.terms)) {
            continue;
        }
        let first = levels.iter().find(|level| wants(&level.terms));
        let declined =
            first.and_then(|level| outcome.declined.iter().find(|declined| declined.id == level.terms.id));
        let why = match declined.map(|declined| declined.why) {
            None => "UNKNOWN",
            Some(Why::NotOpen) => "NOT_OPEN",
            Some(Why::Closed) => "CLOSED",
            Some(Why::Unmet) => "UNMET",
            Some(Why::UsedUp) => "USED_UP",
            Some(Why::Outranked) => "OUTRANKED",
        };
        return Err(Error::CouponInvalid { at, coupon: coupon.clone(), why });
    }
    Ok(())
}
