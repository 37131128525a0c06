//! The story both faces tell: look, buy, buy again by mistake, pay, hit the limit, have a card declined, change one's
//! mind. It compares each answer with what the design promises.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use stampede_kit::clock::Clock;
use time::format_description::well_known::Rfc3339;

use super::rest::{Api, Refused};
use crate::seed;
use crate::terminal::say;

/// A confirmation or a returned unit may be a moment behind the answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// Below this the campaign is restocked first: a story needs two units.
const UNITS_NEEDED: i64 = 5;
const RESTOCK: i64 = 100;
/// The provider's test cards: one that pays and one that has nothing on it.
const CARD: &str = "tok_visa";
const EMPTY_CARD: &str = "tok_declined_insufficient_funds";
/// A sale of one unit, over soon after the story.
const LAST_UNIT_LASTS: time::Duration = time::Duration::minutes(2);

/// An order as the story compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: String,
    /// Without its prefix: `AWAITING_PAYMENT`.
    pub state: String,
    pub total_minor: i64,
}

/// One way into the system. REST and gRPC are the two there are.
pub trait Face {
    async fn campaigns(&self, user: &str) -> anyhow::Result<Vec<String>>;
    async fn free(&self, user: &str, sku: &str, campaign: &str) -> anyhow::Result<i64>;
    async fn place(
        &self,
        user: &str,
        key: &str,
        sku: &str,
        campaign: &str,
    ) -> anyhow::Result<Result<Order, Refused>>;
    async fn get(&self, user: &str, order_id: &str) -> anyhow::Result<Result<Order, Refused>>;
    async fn pay(&self, user: &str, order_id: &str, card: &str) -> anyhow::Result<Result<Order, Refused>>;
    async fn cancel(&self, user: &str, order_id: &str) -> anyhow::Result<Result<Order, Refused>>;
}

/// Tells the story; the error says which step went otherwise.
pub async fn tell(face: &impl Face, staff: &Api) -> anyhow::Result<()> {
    let (sku, run) = (seed::FLASH_SKU, format!("{:08x}", rand::random::<u32>()));
    let (buyer, other) = (format!("smoke-{run}-a"), format!("smoke-{run}-b"));

    let campaign = seed::open_campaign(staff).await?.context("there is no open flash campaign")?;
    ensure!(face.campaigns(&buyer).await?.contains(&campaign), "the campaign {campaign} is not listed");
    step(format!("campaign {campaign} is open"));
    let before = enough(face, staff, &buyer, sku, &campaign).await?;
    step(format!("{before} units of {sku} are free"));

    let order = buy(face, &buyer, &run, sku, &campaign).await?;
    free_becomes(face, &buyer, sku, &campaign, before - 1).await?;
    step(format!("stock went down by one, to {}", before - 1));

    decline(face, &buyer, &order).await?;
    pay(face, &buyer, &order).await?;
    free_becomes(face, &buyer, sku, &campaign, before - 1).await?;
    step("stock stays down by one".to_owned());

    over_the_limit(face, &buyer, &format!("{run}-2"), sku, &campaign).await?;
    let second =
        accepted("a second buyer's order", face.place(&other, &format!("{run}-3"), sku, &campaign).await?)?;
    free_becomes(face, &other, sku, &campaign, before - 2).await?;
    step(format!("another buyer holds order {}", second.id));
    cancel(face, &other, &second).await?;
    free_becomes(face, &other, sku, &campaign, before - 1).await?;
    step(format!("its unit came back: {} free", before - 1));
    foreign(face, &other, &order).await?;
    sold_out(face, staff, &run, sku).await
}

/// Free units, restocked first when they would not last for a story.
async fn enough(face: &impl Face, staff: &Api, user: &str, sku: &str, campaign: &str) -> anyhow::Result<i64> {
    let free = face.free(user, sku, campaign).await?;
    if free >= UNITS_NEEDED {
        return Ok(free);
    }
    let body = json!({
        "campaignId": campaign, "delta": RESTOCK.to_string(), "reason": "smoke ran the campaign dry",
        "adjustmentId": uuid::Uuid::now_v7().to_string(),
    });
    let answer = staff.post(&format!("/v1/stock/{sku}:adjust"), &body).await?;
    answer.map_err(|refused| anyhow::anyhow!("the restock is refused: {refused}"))?;
    free_becomes(face, user, sku, campaign, free + RESTOCK).await?;
    step(format!("restocked by {RESTOCK}"));
    Ok(free + RESTOCK)
}

async fn buy(face: &impl Face, buyer: &str, key: &str, sku: &str, campaign: &str) -> anyhow::Result<Order> {
    let order = accepted("the order", face.place(buyer, key, sku, campaign).await?)?;
    is_state(&order, "AWAITING_PAYMENT")?;
    step(format!("order {} awaits payment of {}", order.id, order.total_minor));
    let again = accepted("the same order again", face.place(buyer, key, sku, campaign).await?)?;
    ensure!(again == order, "the same idempotency key gave another answer: {again:?} after {order:?}");
    step("the same idempotency key gives the same order".to_owned());
    Ok(order)
}

async fn decline(face: &impl Face, buyer: &str, order: &Order) -> anyhow::Result<()> {
    refused_with("PAYMENT_DECLINED", "an empty card", face.pay(buyer, &order.id, EMPTY_CARD).await?)?;
    let kept = settle(face, buyer, &order.id, "AWAITING_PAYMENT").await?;
    step(format!("the order still awaits payment of {}", kept.total_minor));
    Ok(())
}

/// One unit for two buyers.
async fn sold_out(face: &impl Face, staff: &Api, run: &str, sku: &str) -> anyhow::Result<()> {
    let (campaign, opens) = (format!("smoke-{run}"), Clock::system().now() - time::Duration::minutes(1));
    let body = json!({ "campaign": {
        "campaignId": campaign,
        "title": "Smoke: the last one",
        "opensAt": opens.format(&Rfc3339)?,
        "closesAt": (opens + LAST_UNIT_LASTS).format(&Rfc3339)?,
        "items": [{
            "skuId": sku,
            "price": { "amountMinor": "100", "currency": "EUR" },
            "units": "1",
            "perBuyerLimit": 1,
        }],
    }});
    let opened = staff.post("/v1/campaigns", &body).await?;
    opened.map_err(|refused| anyhow::anyhow!("the campaign {campaign} is refused: {refused}"))?;
    let (first, late) = (format!("smoke-{run}-c"), format!("smoke-{run}-d"));
    accepted("the last unit", face.place(&first, &format!("{run}-4"), sku, &campaign).await?)?;
    let answer = face.place(&late, &format!("{run}-5"), sku, &campaign).await?;
    refused_with("OUT_OF_STOCK", "one more of a campaign of one unit", answer)
}

async fn pay(face: &impl Face, buyer: &str, order: &Order) -> anyhow::Result<()> {
    let paid = accepted("the payment", face.pay(buyer, &order.id, CARD).await?)?;
    let confirmed =
        if paid.state == "CONFIRMED" { paid } else { settle(face, buyer, &order.id, "CONFIRMED").await? };
    ensure!(confirmed.total_minor == order.total_minor, "the total changed while paying: {confirmed:?}");
    step("paid: CONFIRMED".to_owned());
    let again = accepted("paying again", face.pay(buyer, &order.id, CARD).await?)?;
    is_state(&again, "CONFIRMED")?;
    step("paying again changes nothing".to_owned());
    Ok(())
}

async fn over_the_limit(
    face: &impl Face,
    buyer: &str,
    key: &str,
    sku: &str,
    campaign: &str,
) -> anyhow::Result<()> {
    refused_with("BUYER_LIMIT", "one more for the same buyer", face.place(buyer, key, sku, campaign).await?)
}

async fn cancel(face: &impl Face, buyer: &str, order: &Order) -> anyhow::Result<()> {
    let cancelled = accepted("the cancellation", face.cancel(buyer, &order.id).await?)?;
    if cancelled.state != "CANCELLED" {
        settle(face, buyer, &order.id, "CANCELLED").await?;
    }
    step("cancelled: CANCELLED".to_owned());
    Ok(())
}

/// Somebody else's order is nobody's business, not even that it exists.
async fn foreign(face: &impl Face, stranger: &str, order: &Order) -> anyhow::Result<()> {
    refused_with("ORDER_NOT_FOUND", "another buyer's look at the order", face.get(stranger, &order.id).await?)
}

pub(super) async fn settle(
    face: &impl Face,
    buyer: &str,
    order_id: &str,
    state: &str,
) -> anyhow::Result<Order> {
    until(state, async || {
        let order = accepted("reading the order", face.get(buyer, order_id).await?)?;
        Ok((order.state.clone(), order))
    })
    .await
}

pub(super) async fn free_becomes(
    face: &impl Face,
    user: &str,
    sku: &str,
    campaign: &str,
    wanted: i64,
) -> anyhow::Result<()> {
    until(&format!("{wanted} units of {sku}"), async || {
        Ok((format!("{} units of {sku}", face.free(user, sku, campaign).await?), ()))
    })
    .await
}

/// Looks until what is seen is what is wanted, and gives what came with it.
pub(super) async fn until<T>(
    wanted: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<(String, T)>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let (seen, found) = look().await?;
        if seen == wanted {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "there is {seen} and there should be {wanted}");
        tokio::time::sleep(POLL).await;
    }
}

pub(super) fn accepted(what: &str, answer: Result<Order, Refused>) -> anyhow::Result<Order> {
    answer.map_err(|refused| anyhow::anyhow!("{what} is refused: {refused}"))
}

pub(super) fn refused_with(reason: &str, what: &str, answer: Result<Order, Refused>) -> anyhow::Result<()> {
    match answer {
        Err(refused) if refused.reason == reason => {
            step(format!("{what} is refused: {refused}"));
            Ok(())
        }
        Err(refused) => bail!("{what} should be refused with {reason}, not {refused}"),
        Ok(order) => bail!("{what} should be refused with {reason}, not answered with {order:?}"),
    }
}

pub(super) fn is_state(order: &Order, state: &str) -> anyhow::Result<()> {
    ensure!(order.state == state, "the order {} is {} and should be {state}", order.id, order.state);
    Ok(())
}

pub(super) fn step(what: String) {
    say(format!("  ok {what}"));
}
