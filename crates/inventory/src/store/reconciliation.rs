//! Audit rows: one for each difference that was found, and what was done. Beside them what the ledger counts for buyers and
//! which ids it knows, for comparing with the gate.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::CellKey;
use crate::domain::drift::{Action, Difference};

/// Writes down a difference unless the same was written within the last hour: one that stays would fill the table.
pub async fn insert(
    conn: &mut PgConnection,
    difference: &Difference,
    action: Action,
    process: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO reconciliation
             (pool, sku_id, kind, subject, gate, ledger, movements, reservations, action, process)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
         WHERE $9 <> 'REPORTED' OR NOT EXISTS (
             SELECT FROM reconciliation
             WHERE pool = $1 AND sku_id = $2 AND at > now() - interval '1 hour' AND kind = $3 AND subject = $4
               AND (gate, ledger, movements, reservations, action)
                   IS NOT DISTINCT FROM ($5::bigint, $6::bigint, $7::bigint, $8::bigint, $9::text))",
        difference.cell.pool.as_str(),
        difference.cell.sku.as_str(),
        difference.kind.as_str(),
        difference.subject,
        difference.gate,
        difference.ledger,
        difference.movements,
        difference.reservations,
        action.as_str(),
        process
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets at most so many rows that are older than this; how many.
pub async fn prune(conn: &mut PgConnection, age: Duration, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM reconciliation WHERE reconciliation_id IN (
             SELECT reconciliation_id FROM reconciliation WHERE at < now() - make_interval(secs => $1)
             ORDER BY at LIMIT $2)",
        age.as_secs_f64(),
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Units counted for these buyers of a cell; who has used none is left out.
pub async fn quotas_of(
    conn: &mut PgConnection,
    key: &CellKey,
    buyers: &[String],
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        // Each by its key. Asked for as `ANY`, every buyer of the cell is compared with every one of the page.
        r#"SELECT k.buyer_id AS "buyer_id!", q.used
           FROM unnest($3::text[]) AS k (buyer_id)
           CROSS JOIN LATERAL (
               SELECT used FROM buyer_quota WHERE pool = $1 AND sku_id = $2 AND buyer_id = k.buyer_id LIMIT 1
           ) q"#,
        key.pool.as_str(),
        key.sku.as_str(),
        buyers
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.buyer_id, r.used)).collect())
}

/// What the ledger took of this cell for these ids: units, and the movement that took them. Others are left out.
pub async fn taken(
    conn: &mut PgConnection,
    key: &CellKey,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT r.reservation_id, l.asked AS "asked!", coalesce(r.made_by, 0) AS "made_by!"
           FROM reservation r CROSS JOIN LATERAL unnest(r.pools, r.skus, r.asked) AS l (pool, sku_id, asked)
           WHERE r.reservation_id = ANY ($1) AND l.pool = $2 AND l.sku_id = $3"#,
        ids,
        key.pool.as_str(),
        key.sku.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.reservation_id, (r.asked, r.made_by))).collect())
}
