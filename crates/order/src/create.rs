//! CreateOrder: price on the server, hold all lines or none, write the order, answer. The order's id is its buyer's, its key's and
//! that of the day it was first held (`domain/key.rs`), so every repetition meets the first: at the reservation, then at the insert. A crash in between leaves a hold that
//! the next try takes up or that ends by itself, after which the next try makes another one: no failed try uses up its key.

mod gifts;
mod hold;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use stampede_kit as kit;
use stampede_kit::postgres::microseconds;
use stampede_proto::order::v1::{CreateOrderRequest, LineItem};
use stampede_types::{BuyerId, IdempotencyKey, Money, Pool, Quantity, RequestId};
use time::OffsetDateTime;

use crate::crash::CrashPoint;
use crate::domain::key;
use crate::domain::order::Order;
use crate::domain::pricing::{Priced, Wanted};
use crate::domain::promotion::Coupon;
use crate::domain::promotion::uses::UsedUp;
use crate::domain::quote::{Basket, Quoted};
use crate::domain::state::{FulfilmentState, OrderState, PaymentState, StockState};
use crate::error::Error;
use crate::orders::Orders;
use crate::place::{NewOrder, Placed};
use crate::replay::replay;
use crate::till::Asker;

use hold::Held;

/// Who asks for what, under which key.
struct Asked {
    request: RequestId,
    buyer: BuyerId,
    fingerprint: Vec<u8>,
    lines: Vec<Wanted>,
    coupons: Vec<Coupon>,
    expected_total: Option<Money>,
    /// From QuotePrice; empty for none.
    quote: String,
    /// The buyer has sent it before: an earlier try may hold the stock already.
    repeated: bool,
}

impl Orders {
    pub(crate) async fn create(
        &self,
        cx: &kit::Context,
        request: CreateOrderRequest,
    ) -> Result<Order, Error> {
        let buyer = buyer(cx)?;
        let key: IdempotencyKey =
            cx.idempotency_key.as_deref().and_then(|key| key.parse().ok()).ok_or(Error::KeyMissing)?;
        let id = RequestId::of(&buyer, &key);
        let fingerprint = Sha256::digest(request.encode_to_vec()).to_vec();
        let placed = match parse(id, buyer, fingerprint.clone(), cx.repeated, request) {
            Ok(asked) => self.place(asked).await,
            Err(refused) => Err(refused),
        };
        match placed {
            // What is refused now may have been accepted when the key first came: then that is the answer.
            Err(refused) if refused.may_be_a_replay() => {
                let before = key::orders_before(id, self.clock.now());
                match self.replays.find(before).await? {
                    Some(before) => replay(*before, &fingerprint),
                    None => Err(refused),
                }
            }
            answer @ (Ok(_) | Err(_)) => answer,
        }
    }

    async fn place(&self, asked: Asked) -> Result<Order, Error> {
        let quoted = self.quoted(&asked)?;
        let priced = self.price(asked.asker()).await?;
        check_price(&asked, quoted.as_ref(), &priced)?;
        let (priced, held) = self.hold_with_gifts(&asked, quoted.as_ref(), priced).await?;
        self.crash_at.reached(CrashPoint::AfterReserve);
        // The first answer says no more than a repeated one can.
        let now = microseconds(self.clock.now());
        let order = new_order(asked.buyer.clone(), priced, now, held);
        let new = NewOrder {
            order: order.clone(),
            fingerprint: asked.fingerprint.clone(),
            trace: kit::telemetry::recorded_traceparent(),
        };
        let placed = self.placing.place(new).await?;
        self.crash_at.reached(CrashPoint::AfterInsert);
        match placed {
            Placed::New => Ok(order),
            Placed::Before(before) => {
                // Apart: few requests come so far, and those that wait for their commit are many.
                Box::pin(self.let_go_of_another_hold(&order, &before.order)).await;
                replay(*before, &asked.fingerprint)
            }
            Placed::UsedUp(used_up) => Box::pin(self.lost(&asked, &order, used_up)).await,
        }
    }

    /// What the buyer was told it would cost, if he brings our word for it.
    fn quoted(&self, asked: &Asked) -> Result<Option<Quoted>, Error> {
        if asked.quote.is_empty() {
            return Ok(None);
        }
        let basket = Basket { buyer: &asked.buyer, lines: &asked.lines, coupons: &asked.coupons };
        Ok(Some(self.quote_keys.check(&asked.quote, basket, self.clock.now())?))
    }

    /// The try that was written stands on a hold of its own: ours is nobody's. A release that fails leaves it to end by itself.
    async fn let_go_of_another_hold(&self, ours: &Order, written: &Order) {
        if ours.reservation() != written.reservation() {
            let outcome = self.peers.release(ours.reservation()).await;
            tracing::debug!(order = %ours.id, ?outcome, "another try of this order was first, on another hold");
        }
    }

    /// An order that lost its promotion holds stock that its buyer may not want at the other price: it goes back, unless another try
    /// with this key has written the order on it. A release that fails leaves the hold to end by itself.
    async fn lost(&self, asked: &Asked, order: &Order, used_up: UsedUp) -> Result<Order, Error> {
        self.promotions.is_stale();
        if let Some(before) = self.replays.find(vec![order.id]).await? {
            self.let_go_of_another_hold(order, &before.order).await;
            return replay(*before, &asked.fingerprint);
        }
        let outcome = self.peers.release(order.reservation()).await;
        tracing::debug!(order = %order.id, ?outcome, "an order lost its promotion");
        let UsedUp { promotion } = used_up;
        let without = self.price_without(asked.asker(), |terms| *terms.id == *promotion).await;
        Err(Error::PromotionUsedUp { promotion, total: without.ok().map(|priced| priced.total) })
    }
}

impl Asked {
    fn asker(&self) -> Asker<'_> {
        Asker { buyer: &self.buyer, lines: &self.lines, coupons: &self.coupons }
    }
}

/// Refuses another price than the one the buyer was told or expects.
fn check_price(asked: &Asked, quoted: Option<&Quoted>, priced: &Priced) -> Result<(), Error> {
    if let Some(moved) = quoted.and_then(|quoted| quoted.moved(priced)) {
        return Err(Error::PriceMoved(Box::new(moved)));
    }
    if asked.expected_total.is_some_and(|expected| expected != priced.total) {
        return Err(Error::PriceChanged { total: priced.total });
    }
    Ok(())
}

/// The buyer is the subject of the token, never a field of the request.
pub(crate) fn buyer(cx: &kit::Context) -> Result<BuyerId, Error> {
    cx.caller()?.subject.parse().map_err(|_| Error::NotABuyer)
}

fn parse(
    id: RequestId,
    buyer: BuyerId,
    fingerprint: Vec<u8>,
    repeated: bool,
    request: CreateOrderRequest,
) -> Result<Asked, Error> {
    let lines = wanted(request.lines)?;
    let expected_total = request.expected_total.map(Money::try_from).transpose().map_err(|_| {
        Error::Invalid { field: "expected_total.currency".into(), rule: "must be an ISO 4217 code" }
    })?;
    let coupons = coupons(&request.coupons)?;
    Ok(Asked {
        request: id,
        buyer,
        fingerprint,
        lines,
        coupons,
        expected_total,
        quote: request.quote,
        repeated,
    })
}

/// Each once, however often it was brought.
pub(crate) fn coupons(words: &[String]) -> Result<Vec<Coupon>, Error> {
    let mut coupons = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let field = || format!("coupons[{at}]");
        let coupon = word.parse().map_err(|_| Error::Invalid { field: field(), rule: "is no coupon" })?;
        if !coupons.contains(&coupon) {
            coupons.push(coupon);
        }
    }
    Ok(coupons)
}

/// Lines as somebody names them.
pub(crate) fn wanted(lines: Vec<LineItem>) -> Result<Vec<Wanted>, Error> {
    let line = |(at, line): (usize, LineItem)| {
        let pool = Pool::from_campaign_id(&line.campaign_id)
            .map_err(|_| Error::CampaignNotFound { line: at, campaign: line.campaign_id })?;
        let sku = line.sku_id.parse().map_err(|_| Error::SkuNotFound { line: at, sku: line.sku_id })?;
        let quantity = Quantity::try_from(line.quantity).map_err(|_| Error::Invalid {
            field: format!("lines[{at}].quantity"),
            rule: "must be 1 to 1000",
        })?;
        Ok(Wanted { sku, pool, quantity })
    };
    lines.into_iter().enumerate().map(line).collect()
}

fn new_order(buyer: BuyerId, priced: Priced, created_at: OffsetDateTime, held: Held) -> Order {
    Order {
        id: held.order,
        reservation_id: held.reservation,
        buyer,
        state: OrderState::AwaitingPayment,
        payment_state: PaymentState::Unpaid,
        stock_state: StockState::Held,
        fulfilment_state: FulfilmentState::None,
        lines: priced.lines,
        subtotal: priced.subtotal,
        discount: priced.discount,
        shipping: priced.shipping,
        total: priced.total,
        refunded: Money::zero(priced.total.currency()),
        uncaptured: Money::zero(priced.total.currency()),
        shipments: Vec::new(),
        returns: Vec::new(),
        promotions: priced.promotions,
        payment: None,
        payment_attempt: 0,
        decline: String::new(),
        end_reason: None,
        expires_at: held.expires_at,
        created_at,
        updated_at: created_at,
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands are in flight at once: each is as large as the largest thing it may wait for, needed or not.
    #[test]
    fn a_request_in_flight_is_small() {
        fn size<A, F>(_: impl Fn(A) -> F) -> usize {
            size_of::<F>()
        }
        let create = size(|(orders, cx, request): (&'static Orders, &'static kit::Context, _)| {
            orders.create(cx, request)
        });
        assert!(create <= 3 * 1_024, "{create} bytes");
    }
}
