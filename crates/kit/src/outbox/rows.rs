//! Every SQL statement of the outbox and of the housekeeping beside it; never a rule about when to run one.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::NewEvent;

#[derive(Debug, Clone, FromRow)]
pub(super) struct Row {
    pub position: i64,
    pub event_id: Uuid,
    pub subject: String,
    pub event_key: String,
    pub payload: Vec<u8>,
    pub traceparent: Option<String>,
    pub created_at: OffsetDateTime,
}

/// How much waits to be published.
#[derive(Debug, Clone, Copy, PartialEq, FromRow)]
pub(super) struct Backlog {
    pub rows: i64,
    pub oldest_seconds: f64,
}

/// One trace for each event.
pub(super) async fn insert<'a>(
    conn: &mut PgConnection,
    events: impl Iterator<Item = &'a NewEvent> + Clone,
    traces: &[Option<&str>],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox (event_id, subject, event_key, payload, traceparent)
         SELECT event.id, event.subject, event.key, event.payload, event.trace
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[]) WITH ORDINALITY
              AS event (id, subject, key, payload, trace, place)
         ORDER BY event.place",
    )
    .bind(events.clone().map(|event| event.id).collect::<Vec<_>>())
    .bind(events.clone().map(|event| event.subject.as_str()).collect::<Vec<_>>())
    .bind(events.clone().map(|event| event.key.as_str()).collect::<Vec<_>>())
    .bind(events.clone().map(|event| event.payload.as_slice()).collect::<Vec<_>>())
    .bind(traces)
    .execute(conn)
    .await?;
    Ok(())
}

/// The relay's lock; it lives as long as the session. Advisory locks are per database, so one number serves all.
pub(super) async fn try_lead(conn: &mut PgConnection, lock: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock).fetch_one(conn).await
}

/// The oldest unpublished rows, up to `rows` of them and about `bytes` of payload, never none because of the bytes.
///
/// Positions are drawn before their transactions commit, so a lower one may appear after a higher one was published.
/// It is not lost: what is asked for is not "after position n" but "not published", and it is the next one then.
pub(super) async fn unpublished(
    conn: &mut PgConnection,
    rows: i64,
    bytes: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "SELECT position, event_id, subject, event_key, payload, traceparent, created_at
         FROM (SELECT *, sum(octet_length(payload)) OVER (ORDER BY position) - octet_length(payload) AS before
               FROM (SELECT * FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT $1) AS oldest) AS counted
         WHERE before <= $2
         ORDER BY position",
    )
    .bind(rows)
    .bind(bytes)
    .fetch_all(conn)
    .await
}

pub(super) async fn mark_published(conn: &mut PgConnection, positions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE outbox SET published_at = now() WHERE position = ANY($1)")
        .bind(positions)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes rows published before `before` unpublished again, up to `limit`; how many it were.
pub(super) async fn unmark(
    conn: &mut PgConnection,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let unmarked = sqlx::query(
        "UPDATE outbox SET published_at = NULL WHERE position IN
         (SELECT position FROM outbox WHERE published_at < $1 ORDER BY published_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(conn)
    .await?;
    Ok(unmarked.rows_affected())
}

/// Counts what waits, no further than `limit`: a number that large says the same.
pub(super) async fn backlog(conn: &mut PgConnection, limit: i64) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*) AS rows,
                coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds
         FROM (SELECT created_at FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT $1) AS waiting",
    )
    .bind(limit)
    .fetch_one(conn)
    .await
}

pub(super) async fn prune_outbox(
    conn: &mut PgConnection,
    keep: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let pruned = sqlx::query(
        "DELETE FROM outbox WHERE position IN
         (SELECT position FROM outbox WHERE published_at < now() - $1 ORDER BY published_at LIMIT $2)",
    )
    .bind(PgInterval::try_from(keep).expect("whole seconds fit an interval"))
    .bind(limit)
    .execute(conn)
    .await?;
    Ok(pruned.rows_affected())
}
