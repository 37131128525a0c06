//! Sagas that wait for a person, and the decisions made about them. A decision is written once and never changed.

use sqlx::{PgConnection, PgExecutor};
use stampede_types::OrderId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::orders::parsed;
use crate::domain::page::After;
use crate::domain::review::Resolution;
use crate::domain::saga::Step;

/// A saga that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    pub order: OrderId,
    pub step: Step,
    pub reason: String,
    pub since: OffsetDateTime,
}

/// A decision, with where the order stood when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub id: Uuid,
    pub order: OrderId,
    pub resolution: Resolution,
    pub step: Step,
    pub reason: String,
    /// The subject of the token.
    pub actor: String,
    pub note: String,
}

struct ParkedRow {
    order_id: Uuid,
    step: String,
    last_error: String,
    parked_at: OffsetDateTime,
}

struct DecisionRow {
    resolution_id: Uuid,
    order_id: Uuid,
    resolution: String,
    step: String,
    reason: String,
    actor: String,
    note: String,
    resolved_at: OffsetDateTime,
}

/// What waits, longest first.
pub async fn parked(
    executor: impl PgExecutor<'_>,
    after: Option<After>,
    size: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ParkedRow,
        r#"SELECT order_id, step, last_error, parked_at AS "parked_at!" FROM saga
           WHERE parked_at IS NOT NULL AND ($1::timestamptz IS NULL OR (parked_at, order_id) > ($1, $2::uuid))
           ORDER BY parked_at, order_id LIMIT $3"#,
        after.map(|after| after.created_at),
        after.map(|after| after.order.uuid()),
        size
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ParkedRow::into_parked).collect()
}

/// Takes the parked saga of an order for this transaction. The caller holds the order's row lock.
pub async fn lock(executor: impl PgExecutor<'_>, order: OrderId) -> Result<Option<Parked>, sqlx::Error> {
    let row = sqlx::query_as!(
        ParkedRow,
        r#"SELECT order_id, step, last_error, parked_at AS "parked_at!" FROM saga
           WHERE order_id = $1 AND parked_at IS NOT NULL FOR UPDATE"#,
        order.uuid()
    )
    .fetch_optional(executor)
    .await?;
    row.map(ParkedRow::into_parked).transpose()
}

/// The parked saga goes on with this step, as if it were new.
pub async fn resume(conn: &mut PgConnection, order: OrderId, step: Step) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE saga SET step = $2, attempt = 0, last_error = '', unknown_since = NULL, parked_at = NULL, next_at = now(),
                updated_at = now()
         WHERE order_id = $1 AND parked_at IS NOT NULL",
        order.uuid(),
        step.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The parked saga has nothing left to do.
pub async fn end(conn: &mut PgConnection, order: OrderId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM saga WHERE order_id = $1 AND parked_at IS NOT NULL", order.uuid())
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes a decision. False when its id is there already; another transaction with the same id waits here for the end of this one.
pub async fn record(conn: &mut PgConnection, decision: &Decision) -> Result<bool, sqlx::Error> {
    let recorded = sqlx::query!(
        "INSERT INTO review_resolution (resolution_id, order_id, step, reason, resolution, actor, note)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT review_resolution_once DO NOTHING",
        decision.id,
        decision.order.uuid(),
        decision.step.as_str(),
        decision.reason,
        decision.resolution.as_str(),
        decision.actor,
        decision.note
    )
    .execute(conn)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// What was decided under this id.
pub async fn decision(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Decision>, sqlx::Error> {
    let row = sqlx::query_as!(
        DecisionRow,
        "SELECT resolution_id, order_id, resolution, step, reason, actor, note, resolved_at
         FROM review_resolution WHERE resolution_id = $1",
        id
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(DecisionRow::into_decision).transpose()?.map(|(decision, _)| decision))
}

/// Decisions about these orders, each order's oldest first, with when they were made.
pub async fn decisions(
    executor: impl PgExecutor<'_>,
    orders: &[Uuid],
) -> Result<Vec<(Decision, OffsetDateTime)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        DecisionRow,
        "SELECT resolution_id, order_id, resolution, step, reason, actor, note, resolved_at
         FROM review_resolution WHERE order_id = ANY($1) ORDER BY order_id, position",
        orders
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(DecisionRow::into_decision).collect()
}

impl ParkedRow {
    fn into_parked(self) -> Result<Parked, sqlx::Error> {
        Ok(Parked {
            order: OrderId::new(self.order_id),
            step: parsed(&self.step)?,
            reason: self.last_error,
            since: self.parked_at,
        })
    }
}

impl DecisionRow {
    fn into_decision(self) -> Result<(Decision, OffsetDateTime), sqlx::Error> {
        let decision = Decision {
            id: self.resolution_id,
            order: OrderId::new(self.order_id),
            resolution: parsed(&self.resolution)?,
            step: parsed(&self.step)?,
            reason: self.reason,
            actor: self.actor,
            note: self.note,
        };
        Ok((decision, self.resolved_at))
    }
}
