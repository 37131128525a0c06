//! Webhooks: what was told, once, and what became of it. "When" is the database's clock, so that replicas agree.

use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::PaymentId;
use uuid::Uuid;

/// Where a webhook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Applied,
    /// What it is about is not known yet.
    Parked(&'static str),
    Refused(&'static str),
}

/// A parked webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    pub provider: String,
    pub event: String,
    pub payment: Uuid,
    pub payload: Vec<u8>,
    /// Seconds since it came.
    pub age_seconds: f64,
}

impl Standing {
    const fn name(self) -> &'static str {
        match self {
            Self::Applied => "APPLIED",
            Self::Parked(_) => "PARKED",
            Self::Refused(_) => "REFUSED",
        }
    }

    const fn why(self) -> Option<&'static str> {
        match self {
            Self::Applied => None,
            Self::Parked(why) | Self::Refused(why) => Some(why),
        }
    }
}

/// Writes that a webhook came; false when it had come before. What it said is written by [`set`], where it is needed again.
///
/// # Errors
/// The database's.
pub async fn insert(
    conn: &mut PgConnection,
    provider: &str,
    event: &str,
    payment: PaymentId,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO webhook (provider, event_id, payment_id, payload, state) VALUES ($1, $2, $3, '', 'APPLIED')
         ON CONFLICT ON CONSTRAINT webhook_once DO NOTHING",
        provider,
        event,
        payment.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes where it stands, and what it said where that is new; a parked one is heard again after as long again as it has waited, within `longest`.
///
/// # Errors
/// The database's.
pub async fn set(
    conn: &mut PgConnection,
    provider: &str,
    event: &str,
    standing: Standing,
    payload: Option<&str>,
    (shortest, longest): (Duration, Duration),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE webhook SET state = $3, why = $4, next_try_at = now() + make_interval(
             secs => least(greatest(extract(epoch FROM now() - received_at)::float8, $5), $6)),
             payload = coalesce($7, payload)
         WHERE provider = $1 AND event_id = $2",
        provider,
        event,
        standing.name(),
        standing.why(),
        shortest.as_secs_f64(),
        longest.as_secs_f64(),
        payload.map(str::as_bytes),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether it is still parked; nobody else changes it until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn is_parked(conn: &mut PgConnection, provider: &str, event: &str) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT state = 'PARKED' AS "parked!" FROM webhook WHERE provider = $1 AND event_id = $2 FOR UPDATE"#,
        provider,
        event,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some_and(|row| row.parked))
}

/// The parked webhooks of one payment, oldest first.
///
/// # Errors
/// The database's.
pub async fn parked_for(
    conn: &mut PgConnection,
    payment: PaymentId,
    limit: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    sqlx::query_as!(
        Parked,
        r#"SELECT provider, event_id AS event, payment_id AS payment, payload,
                  extract(epoch FROM now() - received_at)::float8 AS "age_seconds!"
           FROM webhook WHERE state = 'PARKED' AND payment_id = $1 ORDER BY received_at LIMIT $2"#,
        payment.uuid(),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Takes parked webhooks whose time has come, for `lease`: no other replica takes them meanwhile.
///
/// # Errors
/// The database's.
pub async fn take_due(
    conn: &mut PgConnection,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Parked>, sqlx::Error> {
    sqlx::query_as!(
        Parked,
        r#"UPDATE webhook SET next_try_at = now() + make_interval(secs => $2)
           WHERE (provider, event_id) IN (
               SELECT provider, event_id FROM webhook
               WHERE state = 'PARKED' AND next_try_at <= now()
               ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED)
           RETURNING provider, event_id AS event, payment_id AS payment, payload,
                     extract(epoch FROM now() - received_at)::float8 AS "age_seconds!""#,
        limit,
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// The payment's parked webhooks are heard again at once.
///
/// # Errors
/// The database's.
pub async fn hurry(conn: &mut PgConnection, payment: PaymentId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE webhook SET next_try_at = now() WHERE payment_id = $1 AND state = 'PARKED'",
        payment.uuid()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The payment's parked webhooks are never heard again.
///
/// # Errors
/// The database's.
pub async fn refuse_parked(
    conn: &mut PgConnection,
    payment: PaymentId,
    why: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE webhook SET state = 'REFUSED', why = $2 WHERE payment_id = $1 AND state = 'PARKED'",
        payment.uuid(),
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes what was settled longer ago than `keep`, a bounded number a call; how many went.
///
/// # Errors
/// The database's.
pub async fn prune(conn: &mut PgConnection, keep: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let pruned = sqlx::query!(
        "DELETE FROM webhook WHERE (provider, event_id) IN (
             SELECT provider, event_id FROM webhook
             WHERE received_at < now() - make_interval(secs => $1) AND state = 'APPLIED' LIMIT $2)",
        keep.as_secs_f64(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(pruned.rows_affected())
}
