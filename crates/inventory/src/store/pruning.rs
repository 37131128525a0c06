//! Forgetting what ended long ago, a chunk at a time. Sums stay: sold units as `settled`, old movements as one CHECKPOINT a cell.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::cell;
use crate::domain::CellKey;

/// Of the next reservations by id those that may go, and the last id; `None` when there is no more. One of which something came
/// back lately has been returned lately too.
pub async fn old_reservations(
    conn: &mut PgConnection,
    after: Uuid,
    age: Duration,
    limit: i64,
) -> Result<Option<(Uuid, Vec<Uuid>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT reservation_id,
                  resolved_at < now() - make_interval(secs => $2) AND NOT EXISTS (
                      SELECT FROM stock_return t WHERE t.reservation_id = page.reservation_id
                                                   AND t.at >= now() - make_interval(secs => $2)) AS old
           FROM (SELECT reservation_id, resolved_at FROM reservation WHERE reservation_id > $1
                 ORDER BY reservation_id LIMIT $3) page ORDER BY reservation_id"#,
        after,
        age.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await?;
    let Some(last) = rows.last().map(|row| row.reservation_id) else { return Ok(None) };
    let old = rows.into_iter().filter(|row| row.old == Some(true)).map(|row| row.reservation_id);
    Ok(Some((last, old.collect())))
}

/// Forgets these reservations, with their returns, and keeps what they have sold. The caller holds the locks of their cells.
pub async fn forget(conn: &mut PgConnection, ids: &[Uuid]) -> Result<u64, sqlx::Error> {
    sqlx::query!("DELETE FROM stock_return WHERE reservation_id = ANY ($1)", ids).execute(&mut *conn).await?;
    sqlx::query!(
        "INSERT INTO stock_checkpoint (pool, sku_id, settled)
         SELECT l.pool, l.sku_id, sum(l.quantity - coalesce(l.returned, 0))
         FROM reservation r
         CROSS JOIN LATERAL unnest(r.pools, r.skus, coalesce(r.quantities, r.asked), r.returned)
             AS l (pool, sku_id, quantity, returned)
         WHERE r.reservation_id = ANY ($1) AND r.state = 'COMMITTED'
         GROUP BY l.pool, l.sku_id
         ON CONFLICT (pool, sku_id) DO UPDATE SET settled = stock_checkpoint.settled + excluded.settled",
        ids
    )
    .execute(&mut *conn)
    .await?;
    let gone =
        sqlx::query!("DELETE FROM reservation WHERE reservation_id = ANY ($1) AND state <> 'PENDING'", ids)
            .execute(conn)
            .await?;
    Ok(gone.rows_affected())
}

/// The next cells by key whose movements have been verified.
pub async fn verified_cells(
    conn: &mut PgConnection,
    after: Option<&CellKey>,
    limit: i64,
) -> Result<Vec<CellKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT pool, sku_id FROM stock_checkpoint WHERE (pool, sku_id) > ($1, $2) AND sequence > 0
         ORDER BY pool, sku_id LIMIT $3",
        after.map_or("", |cell| cell.pool.as_str()),
        after.map_or("", |cell| cell.sku.as_str()),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| cell(&row.pool, &row.sku_id)).collect()
}

/// Folds at most so many old movements of a cell into one, in front of what has been verified; how many there were. The one has
/// the number and the transaction of the last of them, so a feed finds the cell as changed since any point as before.
pub async fn fold(
    conn: &mut PgConnection,
    key: &CellKey,
    age: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let folded = sqlx::query_scalar!(
        r#"WITH old AS MATERIALIZED (
               SELECT m.sequence FROM movement m
               JOIN stock_checkpoint c ON c.pool = m.pool AND c.sku_id = m.sku_id AND m.sequence <= c.sequence
               WHERE m.pool = $1 AND m.sku_id = $2 AND m.at < now() - make_interval(secs => $3)
               ORDER BY m.sequence LIMIT $4
           ), gone AS (
               DELETE FROM movement m USING old
               WHERE m.sequence = old.sequence AND (SELECT count(*) FROM old) > 1
               RETURNING m.*
           ), kept AS (
               INSERT INTO movement (sequence, pool, sku_id, kind, on_hand_delta, held_delta, committed_delta,
                                     backorder_delta, members, changed_in, at)
               SELECT max(sequence), $1, $2, 'CHECKPOINT', sum(on_hand_delta), sum(held_delta), sum(committed_delta),
                      sum(backorder_delta), least(sum(members), 2147483647)::integer,
                      (array_agg(changed_in ORDER BY changed_in DESC))[1], max(at)
               FROM gone HAVING count(*) > 0
           )
           SELECT count(*) AS "count!" FROM gone"#,
        key.pool.as_str(),
        key.sku.as_str(),
        age.as_secs_f64(),
        limit
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(folded).unwrap_or(0))
}
