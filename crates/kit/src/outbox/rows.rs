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

/// One trace for each event. A trigger makes them wait to be published.
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
/// It is not lost: what is asked for is not "after position n" but "waiting", and it is the next one then.
pub(super) async fn unpublished(
    conn: &mut PgConnection,
    rows: i64,
    bytes: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "SELECT position, event_id, subject, event_key, payload, traceparent, created_at
         FROM (SELECT *, sum(octet_length(payload)) OVER (ORDER BY position) - octet_length(payload) AS before
               FROM (SELECT position FROM outbox_waiting ORDER BY position LIMIT $1) AS oldest
               CROSS JOIN LATERAL (SELECT event_id, subject, event_key, payload, traceparent, created_at FROM outbox
                                   WHERE outbox.position = oldest.position LIMIT 1) AS event) AS counted
         WHERE before <= $2
         ORDER BY position",
    )
    .bind(rows)
    .bind(bytes)
    .fetch_all(conn)
    .await
}

pub(super) async fn mark_published(conn: &mut PgConnection, positions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM outbox_waiting WHERE position = ANY($1)").bind(positions).execute(conn).await?;
    Ok(())
}

/// When the stream was made that has had all that was published; `None` when nobody has written it down yet.
pub(super) async fn filled(
    conn: &mut PgConnection,
    stream: &str,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar("SELECT made_at FROM outbox_stream WHERE name = $1")
        .bind(stream)
        .fetch_optional(conn)
        .await
}

pub(super) async fn set_filled(
    conn: &mut PgConnection,
    stream: &str,
    made_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox_stream (name, made_at) VALUES ($1, $2)
         ON CONFLICT ON CONSTRAINT outbox_stream_once DO UPDATE SET made_at = excluded.made_at",
    )
    .bind(stream)
    .bind(made_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// What a statement over some rows, the oldest first, has looked at and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(super) struct Pass {
    /// The last position it looked at; `None` when there was none.
    pub last: Option<i64>,
    /// Whether it met a row that is too young: those behind it are too.
    pub young: bool,
    pub done: i64,
}

impl Pass {
    /// The position behind which there may be more to do.
    pub(super) fn goes_on_after(self) -> Option<i64> {
        self.last.filter(|_| !self.young)
    }
}

/// Makes rows written before `before` wait again, of the `limit` that follow position `after`.
pub(super) async fn wait_again(
    conn: &mut PgConnection,
    after: i64,
    before: OffsetDateTime,
    limit: i64,
) -> Result<Pass, sqlx::Error> {
    sqlx::query_as(
        "WITH span AS (
           SELECT position, created_at FROM outbox WHERE position > $1 ORDER BY position LIMIT $3
         ), again AS (
           INSERT INTO outbox_waiting SELECT position FROM span WHERE created_at < $2
           ON CONFLICT ON CONSTRAINT outbox_waiting_once DO NOTHING RETURNING position
         )
         SELECT max(position) AS last, coalesce(bool_or(created_at >= $2), false) AS young,
                (SELECT count(*) FROM again) AS done
         FROM span",
    )
    .bind(after)
    .bind(before)
    .bind(limit)
    .fetch_one(conn)
    .await
}

/// Counts what waits, no further than `limit`: a number that large says the same.
pub(super) async fn backlog(conn: &mut PgConnection, limit: i64) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*) AS rows,
                coalesce(extract(epoch FROM now() - (SELECT created_at FROM outbox WHERE position = min(waiting.position))),
                         0)::float8 AS oldest_seconds
         FROM (SELECT position FROM outbox_waiting ORDER BY position LIMIT $1) AS waiting",
    )
    .bind(limit)
    .fetch_one(conn)
    .await
}

/// Deletes rows older than `keep` that do not wait, of the `limit` that follow position `after`.
pub(super) async fn prune_outbox(
    conn: &mut PgConnection,
    after: i64,
    keep: Duration,
    limit: i64,
) -> Result<Pass, sqlx::Error> {
    sqlx::query_as(
        "WITH span AS (
           SELECT position, created_at FROM outbox WHERE position > $1 ORDER BY position LIMIT $3
         ), gone AS (
           DELETE FROM outbox USING span WHERE outbox.position = span.position AND span.created_at < now() - $2
             AND NOT EXISTS (SELECT FROM outbox_waiting WHERE outbox_waiting.position = span.position)
           RETURNING outbox.position
         )
         SELECT max(position) AS last, coalesce(bool_or(created_at >= now() - $2), false) AS young,
                (SELECT count(*) FROM gone) AS done
         FROM span",
    )
    .bind(after)
    .bind(PgInterval::try_from(keep).expect("whole seconds fit an interval"))
    .bind(limit)
    .fetch_one(conn)
    .await
}
