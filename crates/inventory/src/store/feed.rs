//! What the feed reads: levels that changed since it looked last, all levels of a filter, and who this feed is.

use sqlx::PgConnection;
use stampede_types::{Pool, SkuId};
use uuid::Uuid;

use super::LevelRow;
use crate::domain::{CellKey, Level};

/// A point in the feed: every transaction below `horizon` has been seen, and `sequence` is the highest movement seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Point {
    pub sequence: i64,
    pub horizon: i64,
}

impl Point {
    /// Nothing of `other` is ahead of this.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.sequence <= self.sequence && other.horizon <= self.horizon
    }

    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if self.covers(other) { self } else { other }
    }
}

/// Which transactions the feed has seen, exactly: those below `next` but for the running ones. A transaction that stays open
/// for an hour keeps the point where it is, and still nothing is read twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub point: Point,
    next: i64,
    running: Vec<i64>,
}

/// A level as the feed has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub cell: CellKey,
    pub level: Level,
    /// The transaction that changed it last.
    pub changed_in: i64,
}

struct Row {
    pool: String,
    sku_id: String,
    on_hand: i64,
    held: i64,
    committed: i64,
    backorder: i64,
    version: i64,
    changed_in: i64,
}

impl Row {
    fn parse(self) -> Result<Change, sqlx::Error> {
        let Self { pool, sku_id, on_hand, held, committed, backorder, version, changed_in } = self;
        let (cell, level) =
            LevelRow { pool, sku_id, on_hand, held, committed, backorder, version }.parse()?;
        Ok(Change { cell, level, changed_in })
    }
}

/// The feed's identity and the secret of its tokens.
pub async fn identity(conn: &mut PgConnection) -> Result<(Uuid, Uuid), sqlx::Error> {
    let row = sqlx::query!("SELECT feed_id, secret FROM feed").fetch_one(conn).await?;
    Ok((row.feed_id, row.secret))
}

/// What a statement that begins now sees. Nothing below the point is still to come.
pub async fn seen(conn: &mut PgConnection) -> Result<Seen, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(now)::text::bigint AS "horizon!", pg_snapshot_xmax(now)::text::bigint AS "next!",
                  ARRAY(SELECT xip::text::bigint FROM pg_snapshot_xip(now) AS xip) AS "running!",
                  coalesce((SELECT max(sequence) FROM movement), 0) AS "sequence!"
           FROM pg_current_snapshot() AS now"#
    )
    .fetch_one(conn)
    .await?;
    let point = Point { sequence: row.sequence, horizon: row.horizon };
    Ok(Seen { point, next: row.next, running: row.running })
}

/// At most so many levels that were changed by transactions not seen before. What commits while this reads may come again.
pub async fn changed_since(
    conn: &mut PgConnection,
    seen: &Seen,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT pool, sku_id, on_hand, held, committed, backorder, version, changed_in::text::bigint AS "changed_in!"
           FROM stock
           WHERE (pool, sku_id) IN (
               SELECT pool, sku_id FROM movement
               WHERE changed_in >= ($1::bigint)::text::xid8 OR changed_in = ANY(($2::bigint[])::text[]::xid8[])
           )
           LIMIT $3"#,
        seen.next,
        &seen.running,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// At most so many levels of these SKUs, in every pool or in one.
pub async fn of_skus(
    conn: &mut PgConnection,
    skus: &[SkuId],
    pool: Option<&Pool>,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let skus: Vec<&str> = skus.iter().map(SkuId::as_str).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT pool, sku_id, on_hand, held, committed, backorder, version, changed_in::text::bigint AS "changed_in!"
           FROM stock
           WHERE sku_id = ANY($1) AND ($2::text IS NULL OR pool = $2)
           LIMIT $3"#,
        &skus as &[&str],
        pool.map(Pool::as_str),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// At most so many levels of one pool.
pub async fn of_pool(conn: &mut PgConnection, pool: &Pool, limit: i64) -> Result<Vec<Change>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT pool, sku_id, on_hand, held, committed, backorder, version, changed_in::text::bigint AS "changed_in!"
           FROM stock
           WHERE pool = $1
           LIMIT $2"#,
        pool.as_str(),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}
