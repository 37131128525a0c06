//! Returns: committed units that came back, once a return id.

use sqlx::PgConnection;
use stampede_types::ReservationId;
use uuid::Uuid;

use super::{cell, columns};
use crate::domain::Line;

/// A line of a reservation and how much of it has come back.
#[derive(Debug, Clone)]
pub struct Returnable {
    pub line: Line,
    pub returned: i64,
}

/// A return that was made: of which reservation, and what was asked for.
#[derive(Debug)]
pub struct Made {
    pub reservation: ReservationId,
    pub asked: serde_json::Value,
}

pub async fn find(conn: &mut PgConnection, return_id: Uuid) -> Result<Option<Made>, sqlx::Error> {
    let row = sqlx::query!("SELECT reservation_id, asked FROM stock_return WHERE return_id = $1", return_id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|r| Made { reservation: ReservationId::new(r.reservation_id), asked: r.asked }))
}

pub async fn lines(conn: &mut PgConnection, id: ReservationId) -> Result<Vec<Returnable>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT pool, sku_id, quantity, returned FROM reservation_line WHERE reservation_id = $1",
        id.uuid()
    )
    .fetch_all(conn)
    .await?;
    let line =
        |pool: &str, sku: &str, quantity| Ok::<_, sqlx::Error>(Line { cell: cell(pool, sku)?, quantity });
    rows.iter()
        .map(|r| Ok(Returnable { line: line(&r.pool, &r.sku_id, r.quantity)?, returned: r.returned }))
        .collect()
}

/// Notes the return and counts what came back on the lines.
pub async fn insert(
    conn: &mut PgConnection,
    return_id: Uuid,
    id: ReservationId,
    asked: &serde_json::Value,
    lines: &[Line],
) -> Result<(), sqlx::Error> {
    let (pools, skus) = columns(lines.iter().map(|line| &line.cell));
    let quantities: Vec<i64> = lines.iter().map(|line| line.quantity).collect();
    sqlx::query!(
        "WITH noted AS (INSERT INTO stock_return (return_id, reservation_id, asked) VALUES ($1, $2, $3))
         UPDATE reservation_line l SET returned = l.returned + b.quantity
         FROM unnest($4::text[], $5::text[], $6::bigint[]) AS b (pool, sku_id, quantity)
         WHERE l.reservation_id = $2 AND l.pool = b.pool AND l.sku_id = b.sku_id",
        return_id,
        id.uuid(),
        asked,
        &pools,
        &skus,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}
