//! The story both faces tell: look, buy, buy again by mistake, pay, hit the limit, have a card declined, change one's
//! mind. It compares each answer with what the design promises.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::rest::{Api, Refused};
use crate::seed;
use crate::terminal::say;

/// A confirmation or a returned unit may be a moment behind the answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// Below this the campaign is restocked first: a story needs two units.
const UNITS_NEEDED: i64 = 5;
const RESTOCK: i64 = 100;
/// The provider's usual test card.
const CARD: &str = "tok_visa";

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
    foreign(face, &other, &order).await
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
    match face.place(buyer, key, sku, campaign).await? {
        Err(refused) if refused.reason == "BUYER_LIMIT" => {
            step(format!("one more for the same buyer is refused: {refused}"));
            Ok(())
        }
        Err(refused) => {
            bail!("one more for the same buyer should be refused with BUYER_LIMIT, not {refused}")
        }
        Ok(order) => bail!("the buyer's limit does not hold: {order:?}"),
    }
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
    match face.get(stranger, &order.id).await? {
        Err(refused) if refused.reason == "ORDER_NOT_FOUND" || refused.reason == "PERMISSION_DENIED" => {
            step(format!("another buyer does not see the order: {refused}"));
            Ok(())
        }
        Err(refused) => bail!("another buyer's look should be refused with ORDER_NOT_FOUND, not {refused}"),
        Ok(order) => bail!("another buyer sees the order: {order:?}"),
    }
}

async fn settle(face: &impl Face, buyer: &str, order_id: &str, state: &str) -> anyhow::Result<Order> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let order = accepted("reading the order", face.get(buyer, order_id).await?)?;
        if order.state == state {
            return Ok(order);
        }
        ensure!(Instant::now() < deadline, "the order stays {} and does not become {state}", order.state);
        tokio::time::sleep(POLL).await;
    }
}

async fn free_becomes(
    face: &impl Face,
    user: &str,
    sku: &str,
    campaign: &str,
    wanted: i64,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let free = face.free(user, sku, campaign).await?;
        if free == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{free} units of {sku} are free where {wanted} should be");
        tokio::time::sleep(POLL).await;
    }
}

fn accepted(what: &str, answer: Result<Order, Refused>) -> anyhow::Result<Order> {
    answer.map_err(|refused| anyhow::anyhow!("{what} is refused: {refused}"))
}

fn is_state(order: &Order, state: &str) -> anyhow::Result<()> {
    ensure!(order.state == state, "the order {} is {} and should be {state}", order.id, order.state);
    Ok(())
}

fn step(what: String) {
    say(format!("  ok {what}"));
}
