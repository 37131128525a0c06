//! The saga's rows. A row is claimed before it is worked on, and what a worker found out is written only while its claim
//! still stands. Waiting and leases are measured by Postgres's clock.

mod shipment;
mod standing;
mod tenders;

use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use stampede_types::OrderId;
use uuid::Uuid;

use super::orders::{out_of_range, parsed};
use crate::domain::method::{BuyerAction, Method};
use crate::domain::retry::Pace;
use crate::domain::saga::Step;

use tenders::{TenderRow, tender_rows};

pub use shipment::{DueShipment, due_shipment, insert_due_shipment, shipment_refused};
pub use standing::{Backlog, action, backlog, is_parked, moves_the_order, of_order};

/// What is to be done for one order, and the claim that lets us do it.
#[derive(Debug, Clone)]
pub struct Work {
    pub order: OrderId,
    pub step: Step,
    /// Failed tries of this step.
    pub attempt: u32,
    pub method: Option<Method>,
    pub cancel_reason: String,
    /// How long the peer had been answering that it does not know yet, when this was claimed.
    pub unknown_for: Duration,
    /// The return whose money and units go back; nothing for work on the order itself.
    pub return_id: Option<Uuid>,
    /// The stock is released for a cancel that met this payment.
    pub stock_released: bool,
    pub claim: Uuid,
}

impl Work {
    /// Work that begins now, under a claim of its own.
    #[must_use]
    pub fn new(order: OrderId, step: Step) -> Work {
        let (method, cancel_reason, return_id) = (None, String::new(), None);
        let (unknown_for, stock_released, claim) = (Duration::ZERO, false, Uuid::now_v7());
        Work { order, step, attempt: 0, method, cancel_reason, unknown_for, return_id, stock_released, claim }
    }
}

struct WorkRow {
    order_id: Uuid,
    step: String,
    attempt: i32,
    method_kind: Option<String>,
    method_token: Option<String>,
    tenders: Option<Json<Vec<TenderRow>>>,
    cancel_reason: String,
    unknown_seconds: f64,
    return_id: Option<Uuid>,
    stock_released: bool,
}

/// Begins a saga under a claim. False when the order has one already. The caller holds the order's row lock.
pub async fn begin(conn: &mut PgConnection, work: &Work, lease: Duration) -> Result<bool, sqlx::Error> {
    let begun = sqlx::query!(
        "INSERT INTO saga (order_id, step, method_kind, method_token, cancel_reason, return_id, claim, claimed_until, tenders)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8), $9)
         ON CONFLICT ON CONSTRAINT saga_one_per_order DO NOTHING",
        work.order.uuid(),
        work.step.as_str(),
        work.method.as_ref().map(|method| method.kind.as_str()),
        work.method.as_ref().map(|method| method.token.as_str()),
        work.cancel_reason,
        work.return_id,
        work.claim,
        lease.as_secs_f64(),
        work.method.as_ref().and_then(tender_rows) as _,
    )
    .execute(conn)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Claims work at one of these steps whose time has come and that nobody else has, oldest first. A step that only a later program
/// knows is left to it.
pub async fn claim_due(
    executor: impl PgExecutor<'_>,
    steps: &[Step],
    claim: Uuid,
    lease: Duration,
    most: i64,
) -> Result<Vec<Work>, sqlx::Error> {
    let steps: Vec<String> = steps.iter().map(|step| step.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        WorkRow,
        "UPDATE saga SET claim = $1, claimed_until = now() + make_interval(secs => $2), updated_at = now()
         WHERE order_id IN (
           SELECT order_id FROM saga
           WHERE parked_at IS NULL AND next_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
             AND step = ANY($4)
           ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING order_id, step, attempt, method_kind, method_token, tenders AS \"tenders: Json<Vec<TenderRow>>\",
                   cancel_reason, return_id,
                   stock_released_at IS NOT NULL AS \"stock_released!\",
                   coalesce(extract(epoch FROM now() - unknown_since), 0)::float8 AS \"unknown_seconds!\"",
        claim,
        lease.as_secs_f64(),
        most,
        &steps
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().filter_map(|row| readable(row, claim)).collect())
}

/// What this program cannot read keeps nobody else waiting: its lease keeps it off the next claims.
fn readable(row: WorkRow, claim: Uuid) -> Option<Work> {
    let order = row.order_id;
    row.into_work(claim)
        .inspect_err(|error| tracing::error!(%order, %error, "a saga that this program cannot read"))
        .ok()
}

/// Goes on to the next step under the same claim, with a fresh lease. Why the order is cancelled, which a cancel may have written
/// meanwhile; `None` when the claim was lost.
pub async fn go(
    conn: &mut PgConnection,
    work: &Work,
    next: Step,
    lease: Duration,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE saga SET step = $3, attempt = 0, last_error = '', unknown_since = NULL, next_at = now(),
                action_url = NULL, action_expires_at = NULL, updated_at = now(), claimed_until = now() + make_interval(secs => $4)
         WHERE order_id = $1 AND claim = $2 RETURNING cancel_reason",
        work.order.uuid(),
        work.claim,
        next.as_str(),
        lease.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
}

/// A cancel has released the stock of a payment that is under way: it is let go as soon as nobody waits for it any more. The reason of
/// the first cancel stays.
pub async fn stock_is_released(
    executor: impl PgExecutor<'_>,
    order: OrderId,
    cancel_reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE saga SET stock_released_at = now(), cancel_reason = $2, hinted_at = now(), next_at = least(next_at, now())
         WHERE order_id = $1 AND parked_at IS NULL AND stock_released_at IS NULL",
        order.uuid(),
        cancel_reason
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The work is done. False when the claim was lost.
pub async fn end(conn: &mut PgConnection, work: &Work) -> Result<bool, sqlx::Error> {
    let ended =
        sqlx::query!("DELETE FROM saga WHERE order_id = $1 AND claim = $2", work.order.uuid(), work.claim)
            .execute(conn)
            .await?;
    Ok(ended.rows_affected() == 1)
}

/// Lets go of the work until the delay has passed, and counts the failure. The time for which a peer is away is no time in which it
/// answers that it does not know. A hint that came since the work was claimed makes it
/// due at once. False when the claim was lost.
pub async fn again(
    executor: impl PgExecutor<'_>,
    work: &Work,
    pace: Pace,
    error: &str,
    delay: Duration,
) -> Result<bool, sqlx::Error> {
    let released = sqlx::query!(
        "UPDATE saga SET attempt = attempt + 1, last_error = $3, claim = NULL, claimed_until = NULL,
                action_url = NULL, action_expires_at = NULL,
                unknown_since = CASE WHEN $4 THEN coalesce(unknown_since, now())
                                     ELSE unknown_since + (now() - updated_at) + make_interval(secs => $5) END,
                next_at = CASE WHEN hinted_at >= updated_at THEN now() ELSE now() + make_interval(secs => $5) END,
                updated_at = now()
         WHERE order_id = $1 AND claim = $2",
        work.order.uuid(),
        work.claim,
        error,
        pace == Pace::Unknown,
        delay.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(released.rows_affected() == 1)
}

/// The same for work that waits for the buyer: what he has to do is kept with it.
pub async fn again_after_the_buyer(
    executor: impl PgExecutor<'_>,
    work: &Work,
    action: &BuyerAction,
    delay: Duration,
) -> Result<bool, sqlx::Error> {
    let released = sqlx::query!(
        "UPDATE saga SET attempt = attempt + 1, last_error = 'waits for the buyer', claim = NULL, claimed_until = NULL,
                action_url = $3, action_expires_at = $4, unknown_since = NULL,
                next_at = CASE WHEN hinted_at >= updated_at THEN now() ELSE now() + make_interval(secs => $5) END,
                updated_at = now()
         WHERE order_id = $1 AND claim = $2",
        work.order.uuid(),
        work.claim,
        action.url,
        action.expires_at,
        delay.as_secs_f64()
    )
    .execute(executor)
    .await?;
    Ok(released.rows_affected() == 1)
}

/// Leaves the work to a person. False when the claim was lost.
pub async fn park(conn: &mut PgConnection, work: &Work, error: &str) -> Result<bool, sqlx::Error> {
    let parked = sqlx::query!(
        "UPDATE saga SET parked_at = now(), action_url = NULL, action_expires_at = NULL, last_error = $3, claim = NULL, claimed_until = NULL, updated_at = now()
         WHERE order_id = $1 AND claim = $2",
        work.order.uuid(),
        work.claim,
        error
    )
    .execute(conn)
    .await?;
    Ok(parked.rows_affected() == 1)
}

impl WorkRow {
    fn into_work(self, claim: Uuid) -> Result<Work, sqlx::Error> {
        let method = match (self.method_kind, self.method_token) {
            (Some(kind), Some(token)) => {
                let tenders = self.tenders.map(|rows| rows.0).unwrap_or_default();
                let tenders = tenders.into_iter().map(TenderRow::tender).collect::<Result<_, _>>()?;
                Some(Method { kind: parsed(&kind)?, token, tenders })
            }
            (None | Some(_), None) | (None, Some(_)) => None,
        };
        Ok(Work {
            order: OrderId::new(self.order_id),
            step: parsed(&self.step)?,
            attempt: u32::try_from(self.attempt).map_err(out_of_range)?,
            method,
            cancel_reason: self.cancel_reason,
            unknown_for: Duration::try_from_secs_f64(self.unknown_seconds).unwrap_or_default(),
            return_id: self.return_id,
            stock_released: self.stock_released,
            claim,
        })
    }
}
