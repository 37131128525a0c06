//! What waits for a person, a saga or late money, and the decisions made about it. A decision is written once and never changed. A
//! word of a later program is shown as it is, so that it hides nothing else.

use sqlx::{PgConnection, PgExecutor};
use stampede_types::{OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::orders::parsed;
use crate::domain::review::{LATE_REFUND, Place, Resolution};
use crate::domain::saga::Step;

/// A saga that is parked, or late money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    pub order: OrderId,
    /// The payment with the late money; none for the order's own saga.
    pub payment: Option<PaymentId>,
    pub step: String,
    pub reason: String,
    pub since: OffsetDateTime,
}

impl Parked {
    /// Where it is in the list.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { since: self.since, item: self.payment.map_or(self.order.uuid(), PaymentId::uuid) }
    }
}

/// A decision, with where the order stood when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub id: Uuid,
    pub order: OrderId,
    /// Of late money.
    pub payment: Option<PaymentId>,
    pub resolution: Resolution,
    pub step: String,
    pub reason: String,
    /// The subject of the token.
    pub actor: String,
    pub note: String,
}

struct ParkedRow {
    order_id: Uuid,
    payment_id: Option<Uuid>,
    step: String,
    last_error: String,
    parked_at: OffsetDateTime,
}

struct DecisionRow {
    resolution_id: Uuid,
    order_id: Uuid,
    payment_id: Option<Uuid>,
    resolution: String,
    step: String,
    reason: String,
    actor: String,
    note: String,
    resolved_at: OffsetDateTime,
}

/// What waits, longest first. Each of the two is one stretch of its index.
pub async fn parked(
    executor: impl PgExecutor<'_>,
    after: Option<Place>,
    size: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let (since, item) =
        after.map_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil()), |place| (place.since, place.item));
    let rows = sqlx::query_as!(
        ParkedRow,
        r#"SELECT order_id AS "order_id!", payment_id, step AS "step!", last_error AS "last_error!", parked_at AS "parked_at!"
           FROM ((SELECT order_id, NULL::uuid AS payment_id, step, last_error, parked_at, order_id AS item
                  FROM saga WHERE parked_at IS NOT NULL AND (parked_at, order_id) > ($1, $2)
                  ORDER BY parked_at, order_id LIMIT $3)
                 UNION ALL
                 (SELECT order_id, payment_id, $4, why, parked_at, payment_id
                  FROM given_up_payment WHERE parked_at IS NOT NULL AND (parked_at, payment_id) > ($1, $2)
                  ORDER BY parked_at, payment_id LIMIT $3)) AS waiting
           ORDER BY parked_at, item LIMIT $3"#,
        since,
        item,
        size,
        LATE_REFUND
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(ParkedRow::into_parked).collect())
}

/// Takes the parked saga of an order for this transaction. The caller holds the order's row lock.
pub async fn lock(executor: impl PgExecutor<'_>, order: OrderId) -> Result<Option<Parked>, sqlx::Error> {
    let row = sqlx::query_as!(
        ParkedRow,
        r#"SELECT order_id, NULL::uuid AS payment_id, step, last_error, parked_at AS "parked_at!" FROM saga
           WHERE order_id = $1 AND parked_at IS NOT NULL FOR UPDATE"#,
        order.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(ParkedRow::into_parked))
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
        "INSERT INTO review_resolution (resolution_id, order_id, step, reason, resolution, actor, note, payment_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT ON CONSTRAINT review_resolution_once DO NOTHING",
        decision.id,
        decision.order.uuid(),
        decision.step,
        decision.reason,
        decision.resolution.as_str(),
        decision.actor,
        decision.note,
        decision.payment.map(PaymentId::uuid)
    )
    .execute(conn)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// What was decided under this id.
pub async fn decision(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Decision>, sqlx::Error> {
    let row = sqlx::query_as!(
        DecisionRow,
        "SELECT resolution_id, order_id, payment_id, resolution, step, reason, actor, note, resolved_at
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
        "SELECT resolution_id, order_id, payment_id, resolution, step, reason, actor, note, resolved_at
         FROM review_resolution WHERE order_id = ANY($1) ORDER BY order_id, position",
        orders
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().filter_map(known).collect())
}

/// A decision of a kind that a later program knows is left to it: it must not hide the others.
fn known(row: DecisionRow) -> Option<(Decision, OffsetDateTime)> {
    let (order, word) = (row.order_id, row.resolution.clone());
    row.into_decision()
        .inspect_err(
            |error| tracing::error!(%order, word, %error, "a decision that this program cannot read"),
        )
        .ok()
}

impl ParkedRow {
    fn into_parked(self) -> Parked {
        Parked {
            order: OrderId::new(self.order_id),
            payment: self.payment_id.map(PaymentId::new),
            step: self.step,
            reason: self.last_error,
            since: self.parked_at,
        }
    }
}

impl DecisionRow {
    fn into_decision(self) -> Result<(Decision, OffsetDateTime), sqlx::Error> {
        let decision = Decision {
            id: self.resolution_id,
            order: OrderId::new(self.order_id),
            payment: self.payment_id.map(PaymentId::new),
            resolution: parsed(&self.resolution)?,
            step: self.step,
            reason: self.reason,
            actor: self.actor,
            note: self.note,
        };
        Ok((decision, self.resolved_at))
    }
}
