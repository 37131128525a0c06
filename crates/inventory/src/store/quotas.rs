//! What buyers hold and have bought, where a limit counts it. Protected by the lock of the level.

use sqlx::PgConnection;
use stampede_types::BuyerId;

use super::columns;
use crate::domain::{CellKey, Quotas};

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
