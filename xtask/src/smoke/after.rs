//! The second story of both faces: a coupon and a quote, a purchase held to them, a parcel out, there, and its unit back with
//! its money. It compares each answer with what the design promises.

use anyhow::ensure;
use serde_json::json;
use uuid::Uuid;

use super::rest::{Api, Refused};
use super::story::{Face, Order, accepted, free_becomes, is_state, refused_with, settle, step, until};

/// From the demo shop's shelf.
const SKU: &str = "earbuds-mini";
/// A tenth, in hundredths of a percent.
const TENTH_BP: u32 = 1_000;
const CARD: &str = "tok_visa";
/// Who packs and unpacks.
const STAFF: &str = "smoke-staff";

/// What a set of lines costs now, and the signature that holds an order to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    pub signed: String,
    pub subtotal_minor: i64,
    pub total_minor: i64,
}

/// A return as the story compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Without its prefix: `REFUNDED`.
    pub state: String,
    pub refund_minor: i64,
}

/// What a face must do beyond selling: one unit of a SKU from the shelf with one coupon, and all of an order at once.
pub trait AfterSales {
    async fn quote(&self, user: &str, sku: &str, coupon: &str) -> anyhow::Result<Result<Quote, Refused>>;
    async fn place_quoted(
        &self,
        user: &str,
        key: &str,
        sku: &str,
        coupon: &str,
        quote: &str,
    ) -> anyhow::Result<Result<Order, Refused>>;
    async fn ship(&self, staff: &str, order: &str, shipment: &str) -> anyhow::Result<Result<Order, Refused>>;
    async fn deliver(
        &self,
        staff: &str,
        order: &str,
        shipment: &str,
    ) -> anyhow::Result<Result<Order, Refused>>;
    async fn ask_back(
        &self,
        user: &str,
        order: &str,
        back: &str,
        sku: &str,
    ) -> anyhow::Result<Result<Back, Refused>>;
    /// `state` without its prefix: `APPROVED`.
    async fn resolve(&self, staff: &str, back: &str, state: &str) -> anyhow::Result<Result<Back, Refused>>;
    async fn get_return(&self, user: &str, back: &str) -> anyhow::Result<Result<Back, Refused>>;
}

/// Tells the story; the error says which step went otherwise.
pub async fn tell(face: &(impl Face + AfterSales), staff: &Api) -> anyhow::Result<()> {
    let run = format!("{:08x}", rand::random::<u32>());
    let (buyer, other, coupon) = (format!("smoke-{run}-e"), format!("smoke-{run}-f"), format!("SMOKE{run}"));
    promote(staff, &run, &coupon).await?;
    let before = face.free(&buyer, SKU, "").await?;

    let quote = told("the quote", face.quote(&buyer, SKU, &coupon).await?)?;
    let tenth = quote.subtotal_minor * i64::from(TENTH_BP) / 10_000;
    ensure!(quote.total_minor == quote.subtotal_minor - tenth, "a tenth is not off: {quote:?}");
    step(format!("quoted {} instead of {}", quote.total_minor, quote.subtotal_minor));
    let placed = face.place_quoted(&buyer, &format!("{run}-6"), SKU, &coupon, &quote.signed).await?;
    let order = accepted("the quoted order", placed)?;
    ensure!(order.total_minor == quote.total_minor, "{order:?} is not what was quoted: {quote:?}");
    step(format!("order {} costs what was quoted", order.id));
    let stolen = face.place_quoted(&other, &format!("{run}-7"), SKU, &coupon, &quote.signed).await?;
    refused_with("QUOTE_OTHER_BUYER", "somebody else's quote", stolen)?;
    let late = face.place_quoted(&other, &format!("{run}-8"), SKU, &coupon, "").await?;
    used_up(late)?;

    let paid = accepted("the payment", face.pay(&buyer, &order.id, CARD).await?)?;
    if paid.state != "CONFIRMED" {
        settle(face, &buyer, &order.id, "CONFIRMED").await?;
    }
    free_becomes(face, &buyer, SKU, "", before - 1).await?;
    parcel(face, &buyer, &order).await?;
    comes_back(face, &buyer, &order).await?;
    free_becomes(face, &buyer, SKU, "", before).await?;
    step(format!("its unit is on sale again: {before} free"));
    Ok(())
}

/// A process that has not heard yet that the last use is gone finds it out when it writes.
fn used_up(answer: Result<Order, Refused>) -> anyhow::Result<()> {
    let word = match &answer {
        Err(refused) if refused.reason == "PROMOTION_USED_UP" => "PROMOTION_USED_UP",
        Err(_) | Ok(_) => "COUPON_INVALID",
    };
    refused_with(word, "a coupon that was used up", answer)
}

/// A promotion for one order, with a coupon of this run.
async fn promote(staff: &Api, run: &str, coupon: &str) -> anyhow::Result<()> {
    let body = json!({ "promotion": {
        "promotionId": format!("smoke-{run}"),
        "title": "Smoke: a tenth off, once",
        "conditions": [{ "coupon": coupon }],
        "action": { "percentOffBp": TENTH_BP },
        "useLimit": "1",
    }});
    let answer = staff.post("/v1/promotions", &body).await?;
    answer.map_err(|refused| anyhow::anyhow!("the promotion is refused: {refused}"))?;
    step(format!("coupon {coupon} takes a tenth off, once"));
    Ok(())
}

async fn parcel(face: &(impl Face + AfterSales), buyer: &str, order: &Order) -> anyhow::Result<()> {
    let shipment = Uuid::now_v7().to_string();
    for again in ["the shipment", "the same shipment again"] {
        is_state(&accepted(again, face.ship(STAFF, &order.id, &shipment).await?)?, "SHIPPED")?;
    }
    step("shipped, once: SHIPPED".to_owned());
    refused_with("ORDER_STATE", "a cancel of what was shipped", face.cancel(buyer, &order.id).await?)?;
    is_state(&accepted("the delivery", face.deliver(STAFF, &order.id, &shipment).await?)?, "DELIVERED")?;
    step("delivered: DELIVERED".to_owned());
    Ok(())
}

async fn comes_back(face: &(impl Face + AfterSales), buyer: &str, order: &Order) -> anyhow::Result<()> {
    let back = Uuid::now_v7().to_string();
    told("the return", face.ask_back(buyer, &order.id, &back, SKU).await?)?;
    for state in ["APPROVED", "RECEIVED"] {
        told(state, face.resolve(STAFF, &back, state).await?)?;
    }
    let refunded = until("REFUNDED", async || {
        let found = told("reading the return", face.get_return(buyer, &back).await?)?;
        Ok((found.state.clone(), found))
    })
    .await?;
    ensure!(refunded.refund_minor == order.total_minor, "{refunded:?} of {order:?}");
    step(format!("sent back and refunded with {}", refunded.refund_minor));
    Ok(())
}

fn told<T>(what: &str, answer: Result<T, Refused>) -> anyhow::Result<T> {
    answer.map_err(|refused| anyhow::anyhow!("{what} is refused: {refused}"))
}
