//! Facts and conflicts: added, read, never changed (the database refuses it).

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::{Conflict, Event, EventKind};

struct Row {
    event_id: Uuid,
    kind: String,
    amount_minor: i64,
    provider: String,
    provider_reference: Option<String>,
    at: OffsetDateTime,
}

/// # Errors
/// The same fact again (`payment_event_fact_once`, `payment_event_once`), or the database's.
pub async fn insert(conn: &mut PgConnection, payment: PaymentId, event: &Event) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO payment_event (event_id, payment_id, kind, amount_minor, provider, provider_reference, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        event.id,
        payment.uuid(),
        event.kind.as_str(),
        event.amount_minor,
        event.provider,
        event.reference,
        event.at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The payment whose hold has this name at the provider.
///
/// # Errors
/// The database's.
pub async fn holder_of(
    conn: &mut PgConnection,
    provider: &str,
    hold: &str,
) -> Result<Option<PaymentId>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT payment_id FROM payment_event
         WHERE provider = $1 AND provider_reference = $2 AND kind = 'AUTHORIZED'",
        provider,
        hold,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(PaymentId::new))
}

/// The payment's facts in the order they became known.
///
/// # Errors
/// The database's.
pub async fn of_payment(conn: &mut PgConnection, payment: PaymentId) -> Result<Vec<Event>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT event_id, kind, amount_minor, provider, provider_reference, at
         FROM payment_event WHERE payment_id = $1 ORDER BY position",
        payment.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}

/// Keeps what `provider` claims; its number.
///
/// # Errors
/// The database's.
pub async fn insert_conflict(
    conn: &mut PgConnection,
    payment: PaymentId,
    provider: &str,
    conflict: &Conflict,
    at: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO payment_conflict (payment_id, attempt_id, kind, provider_reference, amount_minor, reason, at, provider)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING conflict_id",
        payment.uuid(),
        conflict.attempt,
        conflict.kind.map(EventKind::as_str),
        conflict.reference,
        conflict.amount_minor,
        conflict.reason,
        at,
        provider,
    )
    .fetch_one(conn)
    .await
}

impl TryFrom<Row> for Event {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.event_id,
            kind: row.kind.parse().map_err(unknown)?,
            amount_minor: row.amount_minor,
            provider: row.provider,
            reference: row.provider_reference,
            at: row.at,
        })
    }
}
