//! The group commit's insert: a batch of new orders, each one row, in one statement. An id that is there already is left
//! alone, so repeating a batch doubles nothing.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{applied, lines};
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
    lines: Vec<String>,
    reservations: Vec<Uuid>,
    fingerprints: Vec<Vec<u8>>,
    expire: Vec<OffsetDateTime>,
    created: Vec<OffsetDateTime>,
}

/// Inserts the orders that are not there yet and says which those were. No two orders may have one id, and they come sorted
/// by it, so that two batches with the same orders wait for each other and never in a circle.
pub async fn insert(conn: &mut PgConnection, new: &[(&Order, &[u8])]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut orders = Orders::default();
    for (order, fingerprint) in new {
        orders.push(order, fingerprint)?;
    }
    let placed = statement(conn, &orders).await?;
    Ok(placed.into_iter().collect())
}

async fn statement(conn: &mut PgConnection, new: &Orders) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency, subtotal_minor,
                             discount_minor, total_minor, reservation_id, fingerprint, expires_at, created_at, updated_at,
                             shipping_minor, promotions, lines)
         SELECT order_id, buyer_id, $11, $12, $13, $14, currency, subtotal, discount, total, reservation_id, fingerprint,
                expires_at, created_at, created_at, shipping, promotions, lines::jsonb
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[],
                     $8::bytea[], $9::timestamptz[], $10::timestamptz[], $15::bigint[], $16::bytea[], $17::text[])
           AS new (order_id, buyer_id, currency, subtotal, discount, total, reservation_id, fingerprint, expires_at,
                   created_at, shipping, promotions, lines)
         ON CONFLICT ON CONSTRAINT orders_once DO NOTHING
         RETURNING order_id",
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
        &new.shippings,
        &new.promotions as &[Option<Vec<u8>>],
        &new.lines
    )
    .fetch_all(conn)
    .await
}

impl Orders {
    fn push(&mut self, order: &Order, fingerprint: &[u8]) -> Result<(), sqlx::Error> {
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
        self.lines.push(lines::column(&order.lines)?);
        Ok(())
    }
}
