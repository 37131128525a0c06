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
        r#"SELECT k.place AS "place!", q.used
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (pool, sku_id, buyer_id, place)
           JOIN buyer_quota q USING (pool, sku_id, buyer_id)"#,
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

/// Writes what buyers use now. Whose row is new was decided under the level's lock, so nobody else inserts it meanwhile.
pub async fn write(conn: &mut PgConnection, changes: &[QuotaChange]) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let (pools, skus) = columns(changes.iter().map(|change| &change.cell));
    let buyers: Vec<&str> = changes.iter().map(|change| change.buyer.as_str()).collect();
    sqlx::query!(
        "WITH changed AS MATERIALIZED (
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[])
                           AS c (pool, sku_id, buyer_id, used, max, is_first)
         ), first AS (
             INSERT INTO buyer_quota (pool, sku_id, buyer_id, used, max)
             SELECT pool, sku_id, buyer_id, used, max FROM changed WHERE is_first
         )
         UPDATE buyer_quota q SET used = c.used, max = c.max FROM changed c
         WHERE NOT c.is_first AND q.pool = c.pool AND q.sku_id = c.sku_id AND q.buyer_id = c.buyer_id",
        &pools as &[&str],
        &skus as &[&str],
        &buyers as &[&str],
        &changes.iter().map(|change| change.used).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.limit).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.is_first).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}
