//! Adjustments of units on hand, once an adjustment id.

use sqlx::PgConnection;
use uuid::Uuid;

use super::cell;
use crate::domain::{CellKey, Level};

/// An adjustment that was made, with the level it answered.
#[derive(Debug)]
pub struct Made {
    pub cell: CellKey,
    pub delta: i64,
    pub reason: String,
    pub level: Level,
}

pub async fn find(conn: &mut PgConnection, adjustment_id: Uuid) -> Result<Option<Made>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT pool, sku_id, delta, reason, on_hand, held, committed, backorder, version FROM stock_adjustment
         WHERE adjustment_id = $1",
        adjustment_id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|r| {
        let level = Level {
            on_hand: r.on_hand,
            held: r.held,
            committed: r.committed,
            backorder: r.backorder,
            version: r.version,
        };
        Ok(Made { cell: cell(&r.pool, &r.sku_id)?, delta: r.delta, reason: r.reason, level })
    })
    .transpose()
}

pub async fn insert(conn: &mut PgConnection, adjustment_id: Uuid, made: &Made) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO stock_adjustment
             (adjustment_id, pool, sku_id, delta, reason, on_hand, held, committed, version, backorder)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        adjustment_id,
        made.cell.pool.as_str(),
        made.cell.sku.as_str(),
        made.delta,
        made.reason,
        made.level.on_hand,
        made.level.held,
        made.level.committed,
        made.level.version,
        made.level.backorder
    )
    .execute(conn)
    .await?;
    Ok(())
}
