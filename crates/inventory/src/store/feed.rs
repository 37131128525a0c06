//! What the feed reads: levels that changed since a horizon, and who this feed is.

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

/// The feed's identity and the secret of its tokens.
pub async fn identity(conn: &mut PgConnection) -> Result<(Uuid, Uuid), sqlx::Error> {
    let row = sqlx::query!("SELECT feed_id, secret FROM feed").fetch_one(conn).await?;
    Ok((row.feed_id, row.secret))
}

/// Where the feed stands now: nothing below the horizon is still to come.
pub async fn point(conn: &mut PgConnection) -> Result<Point, sqlx::Error> {
    sqlx::query_as!(
        Point,
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "horizon!",
                  coalesce((SELECT max(sequence) FROM movement), 0) AS "sequence!""#
    )
    .fetch_one(conn)
    .await
}

/// Every level changed by a transaction at or above the horizon. A level may come that was seen before; none is missed.
pub async fn changed_since(
    conn: &mut PgConnection,
    horizon: i64,
) -> Result<Vec<(CellKey, Level)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        LevelRow,
        "SELECT pool, sku_id, on_hand, held, committed, backorder, version FROM stock
         WHERE (pool, sku_id) IN (SELECT pool, sku_id FROM movement WHERE changed_in >= ($1::bigint)::text::xid8)",
        horizon
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(LevelRow::parse).collect()
}

/// The levels of these SKUs in every pool, or in one, changed at or above the horizon.
pub async fn of_skus(
    conn: &mut PgConnection,
    skus: &[SkuId],
    pool: Option<&Pool>,
    horizon: i64,
) -> Result<Vec<(CellKey, Level)>, sqlx::Error> {
    let skus: Vec<String> = skus.iter().map(|sku| sku.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        LevelRow,
        "SELECT pool, sku_id, on_hand, held, committed, backorder, version FROM stock
         WHERE sku_id = ANY($1) AND ($2::text IS NULL OR pool = $2) AND changed_in >= ($3::bigint)::text::xid8
         ORDER BY pool, sku_id",
        &skus,
        pool.map(Pool::as_str),
        horizon
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(LevelRow::parse).collect()
}

/// Every level of one pool, changed at or above the horizon.
pub async fn of_pool(
    conn: &mut PgConnection,
    pool: &Pool,
    horizon: i64,
) -> Result<Vec<(CellKey, Level)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        LevelRow,
        "SELECT pool, sku_id, on_hand, held, committed, backorder, version FROM stock
         WHERE pool = $1 AND changed_in >= ($2::bigint)::text::xid8
         ORDER BY sku_id",
        pool.as_str(),
        horizon
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(LevelRow::parse).collect()
}
