//! What buyers hold and have bought, where a limit counts it. Protected by the lock of the level.

use sqlx::PgConnection;
use stampede_types::BuyerId;

use super::{broken, cell, columns};
use crate::domain::{CellKey, Quotas};

/// Units used by these buyers of these cells; who has used none is left out.
pub async fn read(conn: &mut PgConnection, keys: &[(CellKey, BuyerId)]) -> Result<Quotas, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Quotas::new());
    }
    let (pools, skus) = columns(keys.iter().map(|(cell, _)| cell));
    let buyers: Vec<String> = keys.iter().map(|(_, buyer)| buyer.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "SELECT q.pool, q.sku_id, q.buyer_id, q.used
         FROM unnest($1::text[], $2::text[], $3::text[]) AS k (pool, sku_id, buyer_id)
         JOIN buyer_quota q USING (pool, sku_id, buyer_id)",
        &pools,
        &skus,
        &buyers
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| Ok((cell(&r.pool, &r.sku_id)?, r.buyer_id.parse().map_err(broken)?, r.used)))
        .collect()
}

/// Every buyer's units of one cell, for loading the gate.
pub async fn of_cell(conn: &mut PgConnection, cell: &CellKey) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT buyer_id, used FROM buyer_quota WHERE pool = $1 AND sku_id = $2 AND used > 0",
        cell.pool.as_str(),
        cell.sku.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.buyer_id, r.used)).collect())
}
