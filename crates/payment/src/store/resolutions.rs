//! What persons have decided. A decision is written once and never changed.

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::stuck::{Decision, Reason};

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub id: Uuid,
    pub payment: PaymentId,
    pub reason: Reason,
    pub decision: Decision,
    /// The last claim it was about; 0 for none.
    pub claim: i64,
    /// The subject of the token.
    pub actor: String,
    pub note: String,
}

struct ResolutionRow {
    resolution_id: Uuid,
    payment_id: Uuid,
    reason: String,
    decision: String,
    claim: i64,
    actor: String,
    note: String,
    resolved_at: OffsetDateTime,
}

/// Writes a decision. False when its id is there already; another transaction with the same id waits here for the end of this one.
///
/// # Errors
/// The database's.
pub async fn record(conn: &mut PgConnection, resolution: &Resolution) -> Result<bool, sqlx::Error> {
    let recorded = sqlx::query!(
        "INSERT INTO payment_resolution (resolution_id, payment_id, reason, decision, claim, actor, note)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT payment_resolution_once DO NOTHING",
        resolution.id,
        resolution.payment.uuid(),
        resolution.reason.as_str(),
        resolution.decision.as_str(),
        resolution.claim,
        resolution.actor,
        resolution.note,
    )
    .execute(conn)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// What was decided under this id.
///
/// # Errors
/// The database's.
pub async fn decision(conn: &mut PgConnection, id: Uuid) -> Result<Option<Resolution>, sqlx::Error> {
    let row = sqlx::query_as!(
        ResolutionRow,
        "SELECT resolution_id, payment_id, reason, decision, claim, actor, note, resolved_at
         FROM payment_resolution WHERE resolution_id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.read().map(|(resolution, _)| resolution)).transpose()
}

/// What was decided about the payment, oldest first, with when.
///
/// # Errors
/// The database's.
pub async fn of_payment(
    conn: &mut PgConnection,
    payment: PaymentId,
) -> Result<Vec<(Resolution, OffsetDateTime)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ResolutionRow,
        "SELECT resolution_id, payment_id, reason, decision, claim, actor, note, resolved_at
         FROM payment_resolution WHERE payment_id = $1 ORDER BY position",
        payment.uuid()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(ResolutionRow::read).collect()
}

impl ResolutionRow {
    fn read(self) -> Result<(Resolution, OffsetDateTime), sqlx::Error> {
        let resolution = Resolution {
            id: self.resolution_id,
            payment: PaymentId::new(self.payment_id),
            reason: self.reason.parse().map_err(unknown)?,
            decision: self.decision.parse().map_err(unknown)?,
            claim: self.claim,
            actor: self.actor,
            note: self.note,
        };
        Ok((resolution, self.resolved_at))
    }
}
