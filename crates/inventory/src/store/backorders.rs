//! How far cells sell beyond what is on hand. The caller holds their locks.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::columns;
use crate::domain::{CellKey, Level};

/// Sets the backorder of each level, with a movement of the level's version that says by how much it changed.
pub async fn record(
    conn: &mut PgConnection,
    levels: &[(CellKey, Level)],
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let (pools, skus) = columns(levels.iter().map(|(cell, _)| cell));
    let backorders: Vec<i64> = levels.iter().map(|(_, level)| level.backorder).collect();
    let versions: Vec<i64> = levels.iter().map(|(_, level)| level.version).collect();
    sqlx::query!(
        "WITH moved AS (
             INSERT INTO movement (sequence, pool, sku_id, kind, backorder_delta, at)
             SELECT b.version, s.pool, s.sku_id, 'BACKORDER', b.backorder - s.backorder, $5
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS b (pool, sku_id, backorder, version)
             JOIN stock s ON s.pool = b.pool AND s.sku_id = b.sku_id
         )
         UPDATE stock s SET backorder = b.backorder, version = b.version, changed_in = pg_current_xact_id()
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS b (pool, sku_id, backorder, version)
         WHERE s.pool = b.pool AND s.sku_id = b.sku_id",
        &pools as &[&str],
        &skus as &[&str],
        &backorders,
        &versions,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
