//! What lines cost a buyer now: prices from the catalogue, promotions and coupons, shipping. Both QuotePrice and CreateOrder ask
//! here, so they cannot differ.

use stampede_types::{BuyerId, Money};

use crate::domain::pricing::{self, Offer, Priced, Wanted};
use crate::domain::promotion::{Basket, Coupon, Outcome, Promotion, Why};
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
        let (outcome, offers) = self.outcome(asker, &priced, levels.clone()).await?;
        check_coupons(asker.coupons, &levels, &outcome)?;
        Ok(priced.discounted(outcome, offers)?)
    }

    /// The price without some of the promotions, for somebody who has just lost them. Coupons that do not apply are left out.
    pub(crate) async fn price_without(
        &self,
        asker: Asker<'_>,
        lost: impl Fn(&Promotion) -> bool,
    ) -> Result<Priced, Error> {
        let priced = self.list_price(asker).await?;
        let mut levels = self.promotions.known(asker.coupons).await?;
        levels.retain(|level| !lost(&level.terms));
        let (outcome, offers) = self.outcome(asker, &priced, levels).await?;
        Ok(priced.discounted(outcome, offers)?)
    }

    /// Adds a promotion, whose gift the catalogue has to know.
    pub(crate) async fn create_promotion(&self, terms: Promotion) -> Result<Counted, Error> {
        if let Some(sku) = terms.action.gift() {
            let invalid = |field: &str, rule| Error::Invalid { field: field.to_owned(), rule };
            if self.prices.of_shelf(sku).await?.is_none() {
                return Err(invalid("promotion.action.gift.sku_id", "does not exist"));
            }
            // A gift takes nothing off: its budget would never end.
            if terms.budget.is_some() {
                return Err(invalid("promotion.budget", "is not for gifts: limit their uses"));
            }
        }
        self.promotions.create(terms).await
    }

    async fn list_price(&self, asker: Asker<'_>) -> Result<Priced, Error> {
        let offers = self.prices.offers(asker.lines).await?;
        Ok(pricing::price(asker.lines.iter().cloned().zip(offers).collect())?)
    }

    /// What the promotions give, and the offers of its gifts. A gift the catalogue does not know cannot be given, and is no reason
    /// not to sell: it is as if there were no such promotion.
    async fn outcome(
        &self,
        asker: Asker<'_>,
        priced: &Priced,
        mut levels: Vec<Level>,
    ) -> Result<(Outcome, Vec<Offer>), Error> {
        let basket = Basket {
            lines: &priced.lines,
            coupons: asker.coupons,
            shipping: self.shipping(priced),
            at: Some(self.clock.now()),
        };
        // Each turn but the last has one promotion less.
        loop {
            let outcome = self.promotions.apply(asker.buyer, basket, &levels).await?;
            let (mut offers, mut unknown) = (Vec::with_capacity(outcome.gifts.len()), None);
            for sku in &outcome.gifts {
                match self.prices.of_shelf(sku).await? {
                    Some(offer) => offers.push(offer),
                    None => unknown = Some(sku.clone()),
                }
            }
            match unknown {
                Some(sku) => levels.retain(|level| level.terms.action.gift() != Some(&sku)),
                None => return Ok((outcome, offers)),
            }
        }
    }

    /// The flat fee of an order, in its currency or not at all.
    fn shipping(&self, priced: &Priced) -> Money {
        let currency = priced.subtotal.currency();
        self.shipping_fee.filter(|fee| fee.currency() == currency).unwrap_or(Money::zero(currency))
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
            None if first.is_none() => "UNKNOWN",
            // Its gift is gone.
            None => "UNMET",
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
