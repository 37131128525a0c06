//! Pages of orders: a stretch of the index `orders_by_buyer`, or of `orders_by_time` for everybody's (`everybody`), from either side, of
//! bounded length. A filter by state is
//! tried on what the stretch holds and never makes it longer. Each direction is a statement of its own, with both ends always
//! given: a statement that had to do for all would be planned as a scan of everything the buyer has.

mod everybody;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use stampede_types::{BuyerId, OrderId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::orders::{OrderRow, with_lines};
use crate::domain::order::Order;
use crate::domain::page::{After, List, Sort, Stretch};

/// How many orders a page may find, and how many it may look at.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub found: i64,
    pub looked_at: i64,
}

struct AfterRow {
    created_at: OffsetDateTime,
    order_id: Uuid,
}

/// All that is read in it is read as of one instant: what is placed meanwhile moves nothing.
pub async fn at_one_instant(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    stampede_kit::postgres::begin_with(db, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
}

/// The orders of a stretch that are of the list, in its order.
pub async fn page(
    conn: &mut PgConnection,
    list: &List,
    stretch: Stretch,
    limits: Limits,
) -> Result<Vec<Order>, sqlx::Error> {
    let rows = match (&list.buyer, list.sort) {
        (Some(buyer), Sort::NewestFirst) => newest_first(conn, buyer, list, stretch, limits).await?,
        (Some(buyer), Sort::OldestFirst) => oldest_first(conn, buyer, list, stretch, limits).await?,
        (None, Sort::NewestFirst) => everybody::newest_first(conn, list, stretch, limits).await?,
        (None, Sort::OldestFirst) => everybody::oldest_first(conn, list, stretch, limits).await?,
    };
    // Lines are looked up in no order, so the order of the page is made here.
    let mut orders: Vec<Order> =
        with_lines(conn, rows).await?.into_iter().map(|stored| stored.order).collect();
    orders.sort_by_key(|order| (order.created_at, order.id));
    match list.sort {
        Sort::NewestFirst => orders.reverse(),
        Sort::OldestFirst => {}
    }
    Ok(orders)
}

/// Where looking ended, as of the same instant as the page; `None` when the stretch has no more orders than were looked at.
pub async fn last_looked_at(
    conn: &mut PgConnection,
    list: &List,
    stretch: Stretch,
    limits: Limits,
) -> Result<Option<After>, sqlx::Error> {
    let place = limits.looked_at - 1;
    let last = match (&list.buyer, list.sort) {
        (Some(buyer), Sort::NewestFirst) => newest_first_at(conn, buyer, stretch, place).await?,
        (Some(buyer), Sort::OldestFirst) => oldest_first_at(conn, buyer, stretch, place).await?,
        (None, Sort::NewestFirst) => everybody::newest_first_at(conn, stretch, place).await?,
        (None, Sort::OldestFirst) => everybody::oldest_first_at(conn, stretch, place).await?,
    };
    Ok(last.map(|last| After { created_at: last.created_at, order: OrderId::new(last.order_id) }))
}

async fn newest_first(
    conn: &mut PgConnection,
    buyer: &BuyerId,
    list: &List,
    stretch: Stretch,
    limits: Limits,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    sqlx::query_as!(
        OrderRow,
        "SELECT order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency, subtotal_minor,
                discount_minor, shipping_minor, total_minor, refunded_minor, uncaptured_minor, promotions, lines::text, payment_id, payment_attempt, fingerprint,
                decline, reservation_id, end_reason, expires_at, created_at, updated_at, version
         FROM (SELECT * FROM orders
               WHERE buyer_id = $1 AND (created_at, order_id) < ($2, $3) AND created_at >= $4
               ORDER BY created_at DESC, order_id DESC LIMIT $5) AS looked_at
         WHERE ($6::text IS NULL OR state = $6) AND ($7::text IS NULL OR payment_state = $7)
         ORDER BY created_at DESC, order_id DESC LIMIT $8",
        buyer.as_str(),
        stretch.start.created_at,
        stretch.start.order.uuid(),
        stretch.end,
        limits.looked_at,
        list.state.map(|state| state.as_str()),
        list.payment.map(|payment| payment.as_str()),
        limits.found
    )
    .fetch_all(conn)
    .await
}

async fn oldest_first(
    conn: &mut PgConnection,
    buyer: &BuyerId,
    list: &List,
    stretch: Stretch,
    limits: Limits,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    sqlx::query_as!(
        OrderRow,
        "SELECT order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency, subtotal_minor,
                discount_minor, shipping_minor, total_minor, refunded_minor, uncaptured_minor, promotions, lines::text, payment_id, payment_attempt, fingerprint,
                decline, reservation_id, end_reason, expires_at, created_at, updated_at, version
         FROM (SELECT * FROM orders
               WHERE buyer_id = $1 AND (created_at, order_id) > ($2, $3) AND created_at < $4
               ORDER BY created_at, order_id LIMIT $5) AS looked_at
         WHERE ($6::text IS NULL OR state = $6) AND ($7::text IS NULL OR payment_state = $7)
         ORDER BY created_at, order_id LIMIT $8",
        buyer.as_str(),
        stretch.start.created_at,
        stretch.start.order.uuid(),
        stretch.end,
        limits.looked_at,
        list.state.map(|state| state.as_str()),
        list.payment.map(|payment| payment.as_str()),
        limits.found
    )
    .fetch_all(conn)
    .await
}

async fn newest_first_at(
    conn: &mut PgConnection,
    buyer: &BuyerId,
    stretch: Stretch,
    place: i64,
) -> Result<Option<AfterRow>, sqlx::Error> {
    sqlx::query_as!(
        AfterRow,
        "SELECT created_at, order_id FROM orders
         WHERE buyer_id = $1 AND (created_at, order_id) < ($2, $3) AND created_at >= $4
         ORDER BY created_at DESC, order_id DESC OFFSET $5 LIMIT 1",
        buyer.as_str(),
        stretch.start.created_at,
        stretch.start.order.uuid(),
        stretch.end,
        place
    )
    .fetch_optional(conn)
    .await
}

async fn oldest_first_at(
    conn: &mut PgConnection,
    buyer: &BuyerId,
    stretch: Stretch,
    place: i64,
) -> Result<Option<AfterRow>, sqlx::Error> {
    sqlx::query_as!(
        AfterRow,
        "SELECT created_at, order_id FROM orders
         WHERE buyer_id = $1 AND (created_at, order_id) > ($2, $3) AND created_at < $4
         ORDER BY created_at, order_id OFFSET $5 LIMIT 1",
        buyer.as_str(),
        stretch.start.created_at,
        stretch.start.order.uuid(),
        stretch.end,
        place
    )
    .fetch_optional(conn)
    .await
}
