//! Attempts: what was asked of a provider and when to ask again. "When" is the database's clock, so that replicas agree.

mod write;

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::{Attempt, PayerAction, Token};

pub use write::{New, Saved, Wait, insert, insert_all, save_all};

struct Row {
    payment_id: Uuid,
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

/// The attempts of each payment, oldest first; a payment without any is not there.
///
/// # Errors
/// The database's.
pub async fn of_payments(
    conn: &mut PgConnection,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Attempt>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT payment_id, attempt_id, operation, provider, amount_minor, state, provider_reference, decline, lost_answers,
                action_url, action_expires_at, hold_expires_at
         FROM payment_attempt WHERE payment_id = ANY($1) ORDER BY payment_id, created_at, attempt_id",
        payments,
    )
    .fetch_all(conn)
    .await?;
    let mut attempts: HashMap<Uuid, Vec<Attempt>> = HashMap::new();
    for row in rows {
        attempts.entry(row.payment_id).or_default().push(row.try_into()?);
    }
    Ok(attempts)
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
