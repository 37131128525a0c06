//! QuotePrice: what lines cost a buyer now, and a signed word about it. It holds nothing and writes nothing.

use std::time::Duration;

use stampede_kit as kit;
use stampede_proto::order::v1::QuotePriceRequest;
use time::OffsetDateTime;

use crate::create::{buyer, coupons, wanted};
use crate::domain::pricing::Priced;
use crate::domain::quote::Basket;
use crate::error::Error;
use crate::orders::Orders;
use crate::till::Asker;

/// A price and the word that holds an order to it.
#[derive(Debug)]
pub struct Quote {
    pub priced: Priced,
    pub text: String,
    pub valid_until: OffsetDateTime,
}

impl Orders {
    pub(crate) async fn quote(&self, cx: &kit::Context, request: QuotePriceRequest) -> Result<Quote, Error> {
        let buyer = buyer(cx)?;
        let lines = wanted(request.lines)?;
        let coupons = coupons(&request.coupons)?;
        let priced = self.price(Asker { buyer: &buyer, lines: &lines, coupons: &coupons }).await?;
        let valid_until = whole_seconds(self.clock.now() + self.quote_valid);
        let basket = Basket { buyer: &buyer, lines: &lines, coupons: &coupons };
        let text = self.quote_keys.sign(basket, &priced, valid_until);
        Ok(Quote { priced, text, valid_until })
    }
}

/// What the quote itself can say of an instant.
fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at - Duration::from_nanos(at.nanosecond().into())
}
