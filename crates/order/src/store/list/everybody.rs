//! Pages of everybody's orders: stretches of the index `orders_by_time`, as those of one buyer's are of his.

use sqlx::PgConnection;

use super::{AfterRow, Limits};
use crate::domain::page::{List, Stretch};
use crate::store::orders::OrderRow;

pub(super) async fn newest_first(
    conn: &mut PgConnection,
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
               WHERE (created_at, order_id) < ($1, $2) AND created_at >= $3
               ORDER BY created_at DESC, order_id DESC LIMIT $4) AS looked_at
         WHERE ($5::text IS NULL OR state = $5) AND ($6::text IS NULL OR payment_state = $6)
         ORDER BY created_at DESC, order_id DESC LIMIT $7",
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

pub(super) async fn oldest_first(
    conn: &mut PgConnection,
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
               WHERE (created_at, order_id) > ($1, $2) AND created_at < $3
               ORDER BY created_at, order_id LIMIT $4) AS looked_at
         WHERE ($5::text IS NULL OR state = $5) AND ($6::text IS NULL OR payment_state = $6)
         ORDER BY created_at, order_id LIMIT $7",
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

pub(super) async fn newest_first_at(
    conn: &mut PgConnection,
    stretch: Stretch,
    place: i64,
) -> Result<Option<AfterRow>, sqlx::Error> {
    sqlx::query_as!(
        AfterRow,
        "SELECT created_at, order_id FROM orders
         WHERE (created_at, order_id) < ($1, $2) AND created_at >= $3
         ORDER BY created_at DESC, order_id DESC OFFSET $4 LIMIT 1",
        stretch.start.created_at,
        stretch.start.order.uuid(),
        stretch.end,
        place
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn oldest_first_at(
    conn: &mut PgConnection,
    stretch: Stretch,
    place: i64,
) -> Result<Option<AfterRow>, sqlx::Error> {
    sqlx::query_as!(
        AfterRow,
        "SELECT created_at, order_id FROM orders
         WHERE (created_at, order_id) > ($1, $2) AND created_at < $3
         ORDER BY created_at, order_id OFFSET $4 LIMIT 1",
        stretch.start.created_at,
        stretch.start.order.uuid(),
        stretch.end,
        place
    )
    .fetch_optional(conn)
    .await
}
