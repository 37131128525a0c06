//! The end of delivered orders, a bounded number at a time. Several processes share the work: rows that another one has are
//! left to it.

use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::OrderId;

use crate::domain::state::OrderState;

/// Moves delivered orders with no open return, delivered at least that long ago by Postgres's clock, to `next`; which ones, and the
/// version each has now.
pub async fn complete(
    conn: &mut PgConnection,
    next: OrderState,
    period: Duration,
    most: i64,
) -> Result<Vec<(OrderId, i64)>, sqlx::Error> {
    // The words are literals so that the index of exactly these orders is used; the lock makes Postgres look at a row again.
    let completed = sqlx::query!(
        "WITH due AS (
           SELECT order_id FROM orders
           WHERE state = 'DELIVERED' AND open_returns = 0 AND delivered_at <= now() - make_interval(secs => $2)
           ORDER BY delivered_at LIMIT $3 FOR UPDATE SKIP LOCKED
         )
         UPDATE orders SET state = $1, updated_at = now(), version = version + 1
         FROM due WHERE orders.order_id = due.order_id
         RETURNING orders.order_id, orders.version",
        next.as_str(),
        period.as_secs_f64(),
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(completed.into_iter().map(|row| (OrderId::new(row.order_id), row.version)).collect())
}
