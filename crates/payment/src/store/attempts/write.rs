//! Writing attempts, as many as there are in one statement. It never decides which.

use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::Attempt;

/// A new attempt; others leave it alone for `ask_again_in`.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    pub payment: PaymentId,
    pub attempt: &'a Attempt,
    pub ask_again_in: Duration,
    pub at: OffsetDateTime,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    pub attempt: &'a Attempt,
    /// The part of the wait that is kept, above 0 and at most 1.
    pub jitter: f64,
    pub at: OffsetDateTime,
}

/// How long to wait before asking again.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub shortest: Duration,
    pub longest: Duration,
    /// From this age on a person is waited for, and the wait is the other one.
    pub stuck_after: Duration,
    pub stuck: Duration,
}

/// Writes one new attempt.
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
    insert_all(conn, &[New { payment, attempt, ask_again_in, at }]).await
}

/// Writes new attempts.
///
/// # Errors
/// The database's.
pub async fn insert_all(conn: &mut PgConnection, new: &[New<'_>]) -> Result<(), sqlx::Error> {
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO payment_attempt (attempt_id, payment_id, operation, provider, provider_key, amount_minor, state,
                                      next_ask_at, created_at, updated_at)
         SELECT new.id, new.payment, new.operation, new.provider, new.id::text, new.amount, new.state,
                now() + make_interval(secs => new.ask_again_in), new.at, new.at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::float8[], $8::timestamptz[])
              AS new (id, payment, operation, provider, amount, state, ask_again_in, at)
         ON CONFLICT ON CONSTRAINT payment_attempt_once DO NOTHING",
        &new.iter().map(|new| new.attempt.id).collect::<Vec<_>>(),
        &new.iter().map(|new| new.payment.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|new| new.attempt.operation.as_str()).collect::<Vec<_>>() as _,
        &new.iter().map(|new| new.attempt.provider.as_str()).collect::<Vec<_>>() as _,
        &new.iter().map(|new| new.attempt.amount_minor).collect::<Vec<_>>(),
        &new.iter().map(|new| new.attempt.state.as_str()).collect::<Vec<_>>() as _,
        &new.iter().map(|new| new.ask_again_in.as_secs_f64()).collect::<Vec<_>>(),
        &new.iter().map(|new| new.at).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what became of attempts, and when to ask again: after as long again as one has been open, within bounds, so that callers
/// who ask themselves do not put the resolver off; when the payer's time ends, if that is before.
///
/// # Errors
/// The database's.
pub async fn save_all(conn: &mut PgConnection, saved: &[Saved<'_>], wait: &Wait) -> Result<(), sqlx::Error> {
    if saved.is_empty() {
        return Ok(());
    }
    let attempts = || saved.iter().map(|saved| saved.attempt);
    let actions = || attempts().map(|attempt| attempt.action.as_ref());
    sqlx::query!(
        "UPDATE payment_attempt AS old
         SET state = new.state, provider_reference = new.reference, decline = new.decline, lost_answers = new.lost_answers,
             updated_at = new.at, action_url = new.action_url, action_expires_at = new.action_expires_at,
             hold_expires_at = new.hold_expires_at,
             next_ask_at = least(
                 now() + make_interval(
                     secs => new.jitter * CASE WHEN extract(epoch FROM now() - created_at) >= $13::float8 THEN $14::float8
                         ELSE least(greatest(extract(epoch FROM now() - created_at)::float8, $11), $12) END),
                 CASE WHEN new.action_expires_at > now() THEN new.action_expires_at END)
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::timestamptz[], $8::timestamptz[],
                     $9::float8[], $10::timestamptz[])
              AS new (id, state, reference, decline, lost_answers, action_url, action_expires_at, hold_expires_at, jitter, at)
         WHERE attempt_id = new.id",
        &attempts().map(|attempt| attempt.id).collect::<Vec<Uuid>>(),
        &attempts().map(|attempt| attempt.state.as_str()).collect::<Vec<_>>() as _,
        &attempts().map(|attempt| attempt.reference.as_deref()).collect::<Vec<_>>() as _,
        &attempts().map(|attempt| attempt.decline.as_deref()).collect::<Vec<_>>() as _,
        &attempts().map(|attempt| attempt.lost_answers).collect::<Vec<_>>(),
        &actions().map(|action| Some(action?.url.expose())).collect::<Vec<_>>() as _,
        &actions().map(|action| Some(action?.expires_at)).collect::<Vec<_>>() as _,
        &attempts().map(|attempt| attempt.hold_expires_at).collect::<Vec<_>>() as _,
        &saved.iter().map(|saved| saved.jitter).collect::<Vec<_>>(),
        &saved.iter().map(|saved| saved.at).collect::<Vec<_>>(),
        wait.shortest.as_secs_f64(),
        wait.longest.as_secs_f64(),
        wait.stuck_after.as_secs_f64(),
        wait.stuck.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
