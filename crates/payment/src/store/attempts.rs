//! Attempts: what was asked of a provider and when to ask again. "When" is the database's clock, so that replicas agree.

use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::{Attempt, PayerAction, Token};

struct Row {
    attempt_id: Uuid,
    operation: String,
    provider: String,
    amount_minor: i64,
    state: String,
    provider_reference: Option<String>,
    decline: Option<String>,
    lost_answers: i32,
    action_url: Option<String>,
    action_expires_at: Option<OffsetDateTime>,
    hold_expires_at: Option<OffsetDateTime>,
}

/// An open attempt whose time has come.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub attempt: Uuid,
    pub payment: PaymentId,
}

/// How long to wait before asking again.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub shortest: Duration,
    pub longest: Duration,
    /// From this age on a person is waited for, and the wait is the other one.
    pub stuck_after: Duration,
    pub stuck: Duration,
    /// The part of the wait that is kept, above 0 and at most 1.
    pub jitter: f64,
}

/// Writes a new attempt; others leave it alone for `ask_again_in`.
///
/// # Errors
/// The database's.
pub async fn insert(
    conn: &mut PgConnection,
    payment: PaymentId,
    attempt: &Attempt,
    ask_again_in: Duration,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO payment_attempt (attempt_id, payment_id, operation, provider, provider_key, amount_minor, state,
                                      next_ask_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8), $9, $9)
         ON CONFLICT ON CONSTRAINT payment_attempt_once DO NOTHING",
        attempt.id,
        payment.uuid(),
        attempt.operation.as_str(),
        attempt.provider,
        attempt.id.to_string(),
        attempt.amount_minor,
        attempt.state.as_str(),
        ask_again_in.as_secs_f64(),
        at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what became of an attempt, and when to ask again: after as long again as it has been open, within bounds, so that callers
/// who ask themselves do not put the resolver off; when the payer's time ends, if that is before.
///
/// # Errors
/// The database's.
pub async fn save(
    conn: &mut PgConnection,
    attempt: &Attempt,
    wait: &Wait,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE payment_attempt
         SET state = $2, provider_reference = $3, decline = $4, lost_answers = $5, updated_at = $6,
             action_url = $10, action_expires_at = $11, hold_expires_at = $14,
             next_ask_at = least(
                 now() + make_interval(
                     secs => $9 * CASE WHEN extract(epoch FROM now() - created_at) >= $12::float8 THEN $13::float8
                         ELSE least(greatest(extract(epoch FROM now() - created_at)::float8, $7), $8) END),
                 CASE WHEN $11 > now() THEN $11 END)
         WHERE attempt_id = $1",
        attempt.id,
        attempt.state.as_str(),
        attempt.reference,
        attempt.decline,
        attempt.lost_answers,
        at,
        wait.shortest.as_secs_f64(),
        wait.longest.as_secs_f64(),
        wait.jitter,
        attempt.action.as_ref().map(|action| action.url.expose()),
        attempt.action.as_ref().map(|action| action.expires_at),
        wait.stuck_after.as_secs_f64(),
        wait.stuck.as_secs_f64(),
        attempt.hold_expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Somebody sees to the hold of this authorisation at that time, and to no other of the payment's.
///
/// # Errors
/// The database's.
pub async fn watch_hold(
    conn: &mut PgConnection,
    payment: PaymentId,
    due: Option<(Uuid, OffsetDateTime)>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE payment_attempt SET lapse_due_at = CASE WHEN attempt_id = $2 THEN $3::timestamptz END
         WHERE payment_id = $1 AND (attempt_id = $2 OR lapse_due_at IS NOT NULL)",
        payment.uuid(),
        due.map(|(attempt, _)| attempt),
        due.map(|(_, at)| at),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes holds whose time has passed, for `lease`: no other replica takes them meanwhile.
///
/// # Errors
/// The database's.
pub async fn take_lapsed(
    conn: &mut PgConnection,
    limit: i64,
    lease: Duration,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    let taken = sqlx::query_scalar!(
        "UPDATE payment_attempt SET lapse_due_at = now() + make_interval(secs => $2)
         WHERE attempt_id IN (
             SELECT attempt_id FROM payment_attempt WHERE lapse_due_at <= now()
             ORDER BY lapse_due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING payment_id",
        limit,
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    Ok(taken.into_iter().map(PaymentId::new).collect())
}

/// Brings the payment's open attempts forward: the resolver takes them next.
///
/// # Errors
/// The database's.
pub async fn hurry(conn: &mut PgConnection, payment: PaymentId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE payment_attempt SET next_ask_at = now() WHERE payment_id = $1 AND state IN ('LOST', 'ACTION')",
        payment.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All of the payment's open attempts are taken next, whoever is at them: a person wants to know.
///
/// # Errors
/// The database's.
pub async fn ask_now(conn: &mut PgConnection, payment: PaymentId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE payment_attempt SET next_ask_at = now() WHERE payment_id = $1 AND state IN ('SENT', 'LOST')",
        payment.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The payment's attempts, oldest first.
///
/// # Errors
/// The database's.
pub async fn of_payment(conn: &mut PgConnection, payment: PaymentId) -> Result<Vec<Attempt>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT attempt_id, operation, provider, amount_minor, state, provider_reference, decline, lost_answers,
                action_url, action_expires_at, hold_expires_at
         FROM payment_attempt WHERE payment_id = $1 ORDER BY created_at, attempt_id",
        payment.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Attempt::try_from).collect()
}

/// Takes open attempts whose time has come, for `lease`: no other replica takes them meanwhile.
///
/// # Errors
/// The database's.
pub async fn take_due(conn: &mut PgConnection, limit: i64, lease: Duration) -> Result<Vec<Due>, sqlx::Error> {
    let rows = sqlx::query!(
        "UPDATE payment_attempt SET next_ask_at = now() + make_interval(secs => $2)
         WHERE attempt_id IN (
             SELECT attempt_id FROM payment_attempt
             WHERE state IN ('SENT', 'LOST', 'ACTION') AND next_ask_at <= now()
             ORDER BY next_ask_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING attempt_id, payment_id",
        limit,
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    let due = |attempt, payment| Due { attempt, payment: PaymentId::new(payment) };
    Ok(rows.into_iter().map(|row| due(row.attempt_id, row.payment_id)).collect())
}

impl TryFrom<Row> for Attempt {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.attempt_id,
            operation: row.operation.parse().map_err(unknown)?,
            provider: row.provider,
            amount_minor: row.amount_minor,
            state: row.state.parse().map_err(unknown)?,
            reference: row.provider_reference,
            decline: row.decline,
            lost_answers: row.lost_answers,
            action: action(row.action_url, row.action_expires_at),
            hold_expires_at: row.hold_expires_at,
        })
    }
}

/// The constraint `payment_attempt_action` allows both or none.
fn action(url: Option<String>, expires_at: Option<OffsetDateTime>) -> Option<PayerAction> {
    Some(PayerAction { url: Token::new(url?), expires_at: expires_at? })
}
