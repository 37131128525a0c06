//! Unpaid orders whose time has passed, a batch at a time. Waiting and leases are measured by Postgres's clock.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};
use stampede_types::{OrderId, ReservationId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::saga::Step;
use crate::domain::state::{OrderState, StockState};

/// An order whose end was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub order: OrderId,
    pub reservation: ReservationId,
    pub expires_at: OffsetDateTime,
    /// No payment was begun: its stock is to be released under our claim. Otherwise its saga was begun and waits for the runner.
    pub unpaid: bool,
    /// It has taken uses, which go back with it.
    pub promotions: bool,
}

struct DueRow {
    order_id: Uuid,
    reservation_id: Uuid,
    expires_at: OffsetDateTime,
    unpaid: bool,
    promotions: bool,
}

/// Begins the end of unpaid orders that are due and with which nothing else is being done, oldest first; none that was due before
/// `from`, so that a sweep does not pass again over what it has just ended.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    claim: Uuid,
    lease: Duration,
    from: Option<OffsetDateTime>,
    most: i64,
) -> Result<Vec<Due>, sqlx::Error> {
    // The row lock makes Postgres look at the order again: one that was paid meanwhile is left alone.
    let rows = sqlx::query_as!(
        DueRow,
        r#"WITH due AS (
             SELECT o.order_id, o.reservation_id, o.expires_at, o.payment_id, o.promotions IS NOT NULL AS promotions
             FROM orders o
             WHERE o.state = 'AWAITING_PAYMENT' AND o.expires_at <= now() AND o.expires_at >= coalesce($1::timestamptz, '-infinity')
               AND NOT EXISTS (SELECT FROM saga s WHERE s.order_id = o.order_id)
             ORDER BY o.expires_at LIMIT $2 FOR UPDATE OF o SKIP LOCKED
           ), begun AS (
             INSERT INTO saga (order_id, step, claim, claimed_until)
             SELECT order_id, CASE WHEN payment_id IS NULL THEN $3 ELSE $4 END, CASE WHEN payment_id IS NULL THEN $5::uuid END,
                    CASE WHEN payment_id IS NULL THEN now() + make_interval(secs => $6) END
             FROM due
             ON CONFLICT ON CONSTRAINT saga_one_per_order DO NOTHING RETURNING order_id
           )
           SELECT order_id AS "order_id!", reservation_id AS "reservation_id!", expires_at AS "expires_at!",
                  payment_id IS NULL AS "unpaid!", promotions AS "promotions!"
           FROM due JOIN begun USING (order_id) ORDER BY expires_at"#,
        from,
        most,
        Step::ReleaseExpired.as_str(),
        Step::VoidExpired.as_str(),
        claim,
        lease.as_secs_f64()
    )
    .fetch_all(executor)
    .await?;
    let due = |row: DueRow| Due {
        order: OrderId::new(row.order_id),
        reservation: ReservationId::new(row.reservation_id),
        expires_at: row.expires_at,
        unpaid: row.unpaid,
        promotions: row.promotions,
    };
    Ok(rows.into_iter().map(due).collect())
}

/// Writes that these orders have come to their end, those that are still ours; which, with their new versions. The orders are
/// locked before their sagas, as everybody does.
pub async fn end(
    conn: &mut PgConnection,
    claim: Uuid,
    orders: &[Uuid],
    state: OrderState,
) -> Result<Vec<(OrderId, i64)>, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE orders o SET state = $3, stock_state = $4, updated_at = now(), version = o.version + 1
         FROM UNNEST($1::uuid[]) AS done (order_id) JOIN saga s ON s.order_id = done.order_id AND s.claim = $2
         WHERE o.order_id = done.order_id AND o.state = 'AWAITING_PAYMENT'
         RETURNING o.order_id, o.version",
        orders,
        claim,
        state.as_str(),
        StockState::Released.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(ended.into_iter().map(|row| (OrderId::new(row.order_id), row.version)).collect())
}

/// The sagas of these orders are over, or were never needed: those under the claim go; how many.
pub async fn forget(executor: impl PgExecutor<'_>, claim: Uuid, orders: &[Uuid]) -> Result<u64, sqlx::Error> {
    let gone = sqlx::query!(
        "DELETE FROM saga s USING UNNEST($1::uuid[]) AS done (order_id)
         WHERE s.order_id = done.order_id AND s.claim = $2",
        orders,
        claim
    )
    .execute(executor)
    .await?;
    Ok(gone.rows_affected())
}

/// The runner takes these up one by one.
pub async fn hand_over(
    executor: impl PgExecutor<'_>,
    claim: Uuid,
    orders: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE saga s SET claim = NULL, claimed_until = NULL, next_at = now(), updated_at = now()
         FROM UNNEST($1::uuid[]) AS left_over (order_id) WHERE s.order_id = left_over.order_id AND s.claim = $2",
        orders,
        claim
    )
    .execute(executor)
    .await?;
    Ok(())
}
