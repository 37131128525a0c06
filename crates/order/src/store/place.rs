//! The group commit's insert: a batch of new orders and their lines in one statement. An id that is there already is left
//! alone, so repeating a batch doubles nothing.

use std::collections::HashSet;

use sqlx::PgConnection;
use stampede_types::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::applied;
use super::orders::out_of_range;
use crate::domain::order::Order;
use crate::domain::state::{FulfilmentState, OrderState, PaymentState, StockState};

/// Columns of the new orders, one value an order.
#[derive(Default)]
struct Orders {
    ids: Vec<Uuid>,
    buyers: Vec<String>,
    currencies: Vec<String>,
    subtotals: Vec<i64>,
    discounts: Vec<i64>,
    shippings: Vec<i64>,
    totals: Vec<i64>,
    promotions: Vec<Option<Vec<u8>>>,
    reservations: Vec<Uuid>,
    fingerprints: Vec<Vec<u8>>,
    expire: Vec<OffsetDateTime>,
    created: Vec<OffsetDateTime>,
}

/// Columns of their lines, one value a line.
#[derive(Default)]
struct Lines {
    orders: Vec<Uuid>,
    numbers: Vec<i32>,
    skus: Vec<String>,
    campaigns: Vec<String>,
    quantities: Vec<i32>,
    titles: Vec<String>,
    prices: Vec<i64>,
    discounts: Vec<i64>,
    totals: Vec<i64>,
}

/// Inserts the orders that are not there yet and says which those were. No two orders may have one id, and they come sorted
/// by it, so that two batches with the same orders wait for each other and never in a circle.
pub async fn insert(conn: &mut PgConnection, new: &[(&Order, &[u8])]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut orders = Orders::default();
    let mut lines = Lines::default();
    for (order, fingerprint) in new {
        orders.push(order, fingerprint);
        lines.push(order)?;
    }
    let placed = statement(conn, &orders, &lines).await?;
    Ok(placed.into_iter().collect())
}

async fn statement(conn: &mut PgConnection, new: &Orders, lines: &Lines) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"WITH placed AS (
             INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                                 subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint, expires_at,
                                 created_at, updated_at, shipping_minor, promotions)
             SELECT order_id, buyer_id, $11, $12, $13, $14, currency, subtotal, discount, total, reservation_id,
                    fingerprint, expires_at, created_at, created_at, shipping, promotions
             FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[],
                         $8::bytea[], $9::timestamptz[], $10::timestamptz[], $24::bigint[], $25::bytea[])
               AS new (order_id, buyer_id, currency, subtotal, discount, total, reservation_id, fingerprint,
                       expires_at, created_at, shipping, promotions)
             ON CONFLICT ON CONSTRAINT orders_once DO NOTHING
             RETURNING order_id
           ), lines AS (
             INSERT INTO order_line (order_id, line_no, sku_id, campaign_id, quantity, title, unit_price_minor,
                                     discount_minor, total_minor)
             SELECT line.order_id, line_no, sku_id, campaign_id, quantity, title, price, discount, total
             FROM UNNEST($15::uuid[], $16::integer[], $17::text[], $18::text[], $19::integer[], $20::text[],
                         $21::bigint[], $22::bigint[], $23::bigint[])
               AS line (order_id, line_no, sku_id, campaign_id, quantity, title, price, discount, total)
             JOIN placed ON placed.order_id = line.order_id
           )
           SELECT order_id AS "order_id!" FROM placed"#,
        &new.ids,
        &new.buyers,
        &new.currencies,
        &new.subtotals,
        &new.discounts,
        &new.totals,
        &new.reservations,
        &new.fingerprints,
        &new.expire,
        &new.created,
        OrderState::AwaitingPayment.as_str(),
        PaymentState::Unpaid.as_str(),
        StockState::Held.as_str(),
        FulfilmentState::None.as_str(),
        &lines.orders,
        &lines.numbers,
        &lines.skus,
        &lines.campaigns,
        &lines.quantities,
        &lines.titles,
        &lines.prices,
        &lines.discounts,
        &lines.totals,
        &new.shippings,
        &new.promotions as &[Option<Vec<u8>>]
    )
    .fetch_all(conn)
    .await
}

impl Orders {
    fn push(&mut self, order: &Order, fingerprint: &[u8]) {
        self.ids.push(order.id.uuid());
        self.buyers.push(order.buyer.to_string());
        self.currencies.push(order.total.currency().to_string());
        self.subtotals.push(order.subtotal.amount_minor());
        self.discounts.push(order.discount.amount_minor());
        self.shippings.push(order.shipping.amount_minor());
        self.totals.push(order.total.amount_minor());
        self.promotions.push(applied::column(&order.promotions));
        self.reservations.push(order.reservation().uuid());
        self.fingerprints.push(fingerprint.to_vec());
        self.expire.push(order.expires_at);
        self.created.push(order.created_at);
    }
}

impl Lines {
    fn push(&mut self, order: &Order) -> Result<(), sqlx::Error> {
        for (number, line) in (1..).zip(&order.lines) {
            self.orders.push(order.id.uuid());
            self.numbers.push(number);
            self.skus.push(line.sku.to_string());
            self.campaigns.push(line.pool.campaign_id().to_owned());
            self.quantities.push(i32::try_from(line.quantity.get()).map_err(out_of_range)?);
            self.titles.push(line.title.clone());
            self.prices.push(amount(line.unit_price));
            self.discounts.push(amount(line.discount));
            self.totals.push(amount(line.total));
        }
        Ok(())
    }
}

fn amount(money: Money) -> i64 {
    money.amount_minor()
}
