//! One answer for one request, however often it is sent: a key is claimed, the work is done, the answer is kept and
//! replayed. The same key with another body is a mismatch. It never decides what the answer is.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

/// A claim without an answer this old belongs to a process that died: the next equal request takes it over and
/// resumes. Longer than any call may last, so nobody alive is overtaken.
pub const TAKE_OVER_AFTER: Duration = Duration::from_secs(60);
/// An answered key is replayed for at least this long.
pub const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Rows that one pruning statement may delete.
const PRUNE_AT_ONCE: i64 = 5_000;

/// What a request said: two requests with one key must say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// SHA-256 of the request's bytes. Use the decoded message encoded again, or fields in a fixed order: what a proxy
    /// may reorder is not part of what was said.
    pub fn of(request: &[u8]) -> Self {
        Self(Sha256::digest(request).into())
    }
}

/// What the key turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is ours: do the work, then `complete`, or `release` when nothing was done. After a crash this may be the
    /// second time, so the work itself finds what it did the first time.
    New,
    /// It was answered before, with these bytes.
    Replay(Vec<u8>),
    /// Somebody is at it now.
    InFlight,
    /// It was used for another request.
    Mismatch,
}

/// Claims the key. In a transaction of its own the claim is visible to others at once (`InFlight`); in the work's
/// transaction an equal request waits for its end and then replays.
pub async fn claim(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    fingerprint: &Fingerprint,
) -> Result<Claim, sqlx::Error> {
    loop {
        if take(conn, scope, key, fingerprint).await? {
            return Ok(Claim::New);
        }
        // Between the two statements the claim may be released: then there is nothing to read and it is tried again.
        if let Some((held, response)) = read(conn, scope, key).await? {
            return Ok(match response {
                _ if held != fingerprint.0 => Claim::Mismatch,
                Some(response) => Claim::Replay(response),
                None => Claim::InFlight,
            });
        }
    }
}

/// Keeps the answer; the first one stays. Whoever took over a claim and whoever came back late agree on it.
pub async fn complete(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    response: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE idempotency SET response = $3, completed_at = now()
         WHERE scope = $1 AND key = $2 AND response IS NULL",
    )
    .bind(scope)
    .bind(key)
    .bind(response)
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives the key back after work that did nothing, so that the request may be sent again at once.
pub async fn release(conn: &mut PgConnection, scope: &str, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM idempotency WHERE scope = $1 AND key = $2 AND response IS NULL")
        .bind(scope)
        .bind(key)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes answers older than `KEEP`, a bounded number a call; how many went.
pub async fn prune(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM idempotency WHERE (scope, key) IN
         (SELECT scope, key FROM idempotency WHERE completed_at < now() - $1 LIMIT $2)",
    )
    .bind(interval(KEEP))
    .bind(PRUNE_AT_ONCE)
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

async fn take(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
    print: &Fingerprint,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query(
        "INSERT INTO idempotency AS held (scope, key, fingerprint) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT idempotency_key_once DO UPDATE SET created_at = now()
         WHERE held.response IS NULL AND held.fingerprint = excluded.fingerprint AND held.created_at < now() - $4",
    )
    .bind(scope)
    .bind(key)
    .bind(print.0.as_slice())
    .bind(interval(TAKE_OVER_AFTER))
    .execute(conn)
    .await?;
    Ok(taken.rows_affected() == 1)
}

async fn read(
    conn: &mut PgConnection,
    scope: &str,
    key: &str,
) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, sqlx::Error> {
    sqlx::query_as("SELECT fingerprint, response FROM idempotency WHERE scope = $1 AND key = $2")
        .bind(scope)
        .bind(key)
        .fetch_optional(conn)
        .await
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval::try_from(duration).expect("whole seconds fit an interval")
}
