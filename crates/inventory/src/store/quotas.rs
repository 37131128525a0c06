//! What buyers hold and have bought, where a limit counts it. Protected by the lock of the level.

use sqlx::PgConnection;
use stampede_types::BuyerId;

use super::columns;
use crate::domain::{CellKey, QuotaChange, Quotas};

/// Units used by these buyers of these cells; who has used none is left out.
pub async fn read(conn: &mut PgConnection, keys: &[(&CellKey, &BuyerId)]) -> Result<Quotas, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Quotas::new());
    }
    let (pools, skus) = columns(keys.iter().map(|(cell, _)| *cell));
    let buyers: Vec<&str> = keys.iter().map(|(_, buyer)| buyer.as_str()).collect();
    let rows = sqlx::query!(
        // Each by its key: a join planned while the table was empty would read all of it for each batch.
        r#"SELECT k.place AS "place!", q.used
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (pool, sku_id, buyer_id, place)
           CROSS JOIN LATERAL (
               SELECT used FROM buyer_quota
               WHERE pool = k.pool AND sku_id = k.sku_id AND buyer_id = k.buyer_id LIMIT 1
           ) q"#,
        &pools as &[&str],
        &skus as &[&str],
        &buyers as &[&str]
    )
    .fetch_all(conn)
    .await?;
    let key = |place: i64| usize::try_from(place - 1).ok().and_then(|place| keys.get(place));
    let named =
        rows.into_iter().filter_map(|row| key(row.place).map(|(cell, buyer)| (cell, buyer, row.used)));
    Ok(named.map(|(cell, buyer, used)| ((*cell).clone(), (*buyer).clone(), used)).collect())
}

/// Writes what buyers use now.
pub async fn write(conn: &mut PgConnection, changes: &[QuotaChange]) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let (pools, skus) = columns(changes.iter().map(|change| &change.cell));
    let buyers: Vec<&str> = changes.iter().map(|change| change.buyer.as_str()).collect();
    sqlx::query!(
        "INSERT INTO buyer_quota (pool, sku_id, buyer_id, used, max)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
         ON CONFLICT (pool, sku_id, buyer_id) DO UPDATE SET used = excluded.used, max = excluded.max",
        &pools as &[&str],
        &skus as &[&str],
        &buyers as &[&str],
        &changes.iter().map(|change| change.used).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.limit).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}
