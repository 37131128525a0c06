//! Facts and conflicts: added, read, never changed (the database refuses it).

use std::collections::HashMap;

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::{Conflict, Event, EventKind};

struct Row {
    payment_id: Uuid,
    event_id: Uuid,
    kind: String,
    amount_minor: i64,
    provider: String,
    provider_reference: Option<String>,
    at: OffsetDateTime,
}

/// Writes one fact.
///
/// # Errors
/// The same fact again (`payment_event_fact_once`, `payment_event_once`), or the database's.
pub async fn insert(conn: &mut PgConnection, payment: PaymentId, event: &Event) -> Result<(), sqlx::Error> {
    insert_all(conn, &[(payment, event)]).await
}

/// Writes facts in this order.
///
/// # Errors
/// The same fact again (`payment_event_fact_once`, `payment_event_once`), or the database's.
pub async fn insert_all(conn: &mut PgConnection, events: &[(PaymentId, &Event)]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO payment_event (event_id, payment_id, kind, amount_minor, provider, provider_reference, at)
         SELECT id, payment, kind, amount, provider, reference, at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[]) WITH ORDINALITY
              AS new (id, payment, kind, amount, provider, reference, at, place)
         ORDER BY place",
        &events.iter().map(|(_, event)| event.id).collect::<Vec<_>>(),
        &events.iter().map(|(payment, _)| payment.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.kind.as_str()).collect::<Vec<_>>() as _,
        &events.iter().map(|(_, event)| event.amount_minor).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.provider.as_str()).collect::<Vec<_>>() as _,
        &events.iter().map(|(_, event)| event.reference.as_deref()).collect::<Vec<_>>() as _,
        &events.iter().map(|(_, event)| event.at).collect::<Vec<_>>(),
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

/// The facts of each payment in the order they became known; a payment without any is not there.
///
/// # Errors
/// The database's.
pub async fn of_payments(
    conn: &mut PgConnection,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Event>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT payment_id, event_id, kind, amount_minor, provider, provider_reference, at
         FROM payment_event WHERE payment_id = ANY($1) ORDER BY payment_id, position",
        payments,
    )
    .fetch_all(conn)
    .await?;
    let mut events: HashMap<Uuid, Vec<Event>> = HashMap::new();
    for row in rows {
        events.entry(row.payment_id).or_default().push(row.try_into()?);
    }
    Ok(events)
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
