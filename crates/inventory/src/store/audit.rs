//! What the reconciler reads and keeps. A comparison is one statement, so that it sees one instant: what it says is exact
//! while the shop goes on. It writes checkpoints and audit rows, never a level, a movement or a reservation.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{cell, columns, reservations};
use crate::domain::drift::{Seen, Sums};
use crate::domain::{CellKey, Level};

/// One process at a time compares the ledger with itself: the holder of this advisory lock ("stockaud").
const LEADER: i64 = 0x7374_6f63_6b61_7564;

/// A level, and what its movements add up to at the same instant.
#[derive(Debug)]
pub struct Standing {
    pub cell: CellKey,
    pub level: Level,
    /// The movements that were read, behind those of the base.
    pub moved: Sums,
    pub rows: i64,
    /// The last movement that was read; that of the base when none was.
    pub sequence: i64,
    /// What had been verified before, and up to which movement.
    pub base: Sums,
    pub base_sequence: i64,
    /// Committed units of reservations that were pruned.
    pub settled: i64,
    /// Units counted for all buyers, where there is a limit.
    pub quotas: Option<i64>,
}

/// Whether this session is now the one that compares the ledger. It is until the session ends.
pub async fn lead(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "leads!""#, LEADER).fetch_one(conn).await
}

struct StandingRow {
    pool: String,
    sku_id: String,
    on_hand: i64,
    held: i64,
    committed: i64,
    backorder: i64,
    version: i64,
    base_sequence: i64,
    base_on_hand: i64,
    base_held: i64,
    base_committed: i64,
    base_backorder: i64,
    settled: i64,
    rows: i64,
    last: Option<i64>,
    moved_on_hand: i64,
    moved_held: i64,
    moved_committed: i64,
    moved_backorder: i64,
    quotas: Option<i64>,
}

impl StandingRow {
    fn parse(self) -> Result<Standing, sqlx::Error> {
        Ok(Standing {
            cell: cell(&self.pool, &self.sku_id)?,
            level: Level {
                on_hand: self.on_hand,
                held: self.held,
                committed: self.committed,
                backorder: self.backorder,
                version: self.version,
            },
            moved: Sums {
                on_hand: self.moved_on_hand,
                held: self.moved_held,
                committed: self.moved_committed,
                backorder: self.moved_backorder,
            },
            rows: self.rows,
            sequence: self.last.unwrap_or(self.base_sequence),
            base: Sums {
                on_hand: self.base_on_hand,
                held: self.base_held,
                committed: self.base_committed,
                backorder: self.base_backorder,
            },
            base_sequence: self.base_sequence,
            settled: self.settled,
            quotas: self.quotas,
        })
    }
}

/// The next cells by key. Of each at most so many movements since its checkpoint are added up, or since the beginning.
pub async fn page(
    conn: &mut PgConnection,
    after: Option<&CellKey>,
    cells: i64,
    movements: i64,
    from_the_beginning: bool,
) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query_as!(
        StandingRow,
        r#"SELECT s.pool, s.sku_id, s.on_hand, s.held, s.committed, s.backorder, s.version,
                  b.sequence AS "base_sequence!", b.on_hand AS "base_on_hand!", b.held AS "base_held!",
                  b.committed AS "base_committed!", b.backorder AS "base_backorder!", coalesce(c.settled, 0) AS "settled!",
                  m.rows AS "rows!", m.last, m.on_hand AS "moved_on_hand!", m.held AS "moved_held!",
                  m.committed AS "moved_committed!", m.backorder AS "moved_backorder!",
                  CASE WHEN i.per_buyer_limit IS NOT NULL THEN
                      (SELECT coalesce(sum(q.used), 0)::bigint FROM buyer_quota q
                       WHERE q.pool = s.pool AND q.sku_id = s.sku_id) END AS quotas
           FROM (SELECT * FROM stock WHERE (pool, sku_id) > ($1, $2) ORDER BY pool, sku_id LIMIT $3) s
           LEFT JOIN stock_checkpoint c ON c.pool = s.pool AND c.sku_id = s.sku_id
           LEFT JOIN campaign_item i ON i.campaign_id = s.pool AND i.sku_id = s.sku_id
           CROSS JOIN LATERAL (
               SELECT CASE WHEN $5 THEN 0 ELSE coalesce(c.sequence, 0) END AS sequence,
                      CASE WHEN $5 THEN 0 ELSE coalesce(c.on_hand, 0) END AS on_hand,
                      CASE WHEN $5 THEN 0 ELSE coalesce(c.held, 0) END AS held,
                      CASE WHEN $5 THEN 0 ELSE coalesce(c.committed, 0) END AS committed,
                      CASE WHEN $5 THEN 0 ELSE coalesce(c.backorder, 0) END AS backorder
           ) b
           CROSS JOIN LATERAL (
               SELECT count(*) AS rows, max(sequence) AS last, coalesce(sum(on_hand_delta), 0)::bigint AS on_hand,
                      coalesce(sum(held_delta), 0)::bigint AS held,
                      coalesce(sum(committed_delta), 0)::bigint AS committed,
                      coalesce(sum(backorder_delta), 0)::bigint AS backorder
               FROM (SELECT sequence, on_hand_delta, held_delta, committed_delta, backorder_delta FROM movement
                     WHERE pool = s.pool AND sku_id = s.sku_id AND sequence > b.sequence
                     ORDER BY sequence LIMIT $4) AS next
           ) m
           ORDER BY s.pool, s.sku_id"#,
        after.map_or("", |cell| cell.pool.as_str()),
        after.map_or("", |cell| cell.sku.as_str()),
        cells,
        movements,
        from_the_beginning
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StandingRow::parse).collect()
}

/// One cell with at most so many movements behind a base that was added up before.
pub async fn standing(
    conn: &mut PgConnection,
    key: &CellKey,
    base_sequence: i64,
    base: Sums,
    movements: i64,
) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query_as!(
        StandingRow,
        r#"SELECT s.pool, s.sku_id, s.on_hand, s.held, s.committed, s.backorder, s.version,
                  $3::bigint AS "base_sequence!", $4::bigint AS "base_on_hand!", $5::bigint AS "base_held!",
                  $6::bigint AS "base_committed!", $7::bigint AS "base_backorder!", coalesce(c.settled, 0) AS "settled!",
                  m.rows AS "rows!", m.last, m.on_hand AS "moved_on_hand!", m.held AS "moved_held!",
                  m.committed AS "moved_committed!", m.backorder AS "moved_backorder!", NULL::bigint AS quotas
           FROM stock s
           LEFT JOIN stock_checkpoint c ON c.pool = s.pool AND c.sku_id = s.sku_id
           CROSS JOIN LATERAL (
               SELECT count(*) AS rows, max(sequence) AS last, coalesce(sum(on_hand_delta), 0)::bigint AS on_hand,
                      coalesce(sum(held_delta), 0)::bigint AS held,
                      coalesce(sum(committed_delta), 0)::bigint AS committed,
                      coalesce(sum(backorder_delta), 0)::bigint AS backorder
               FROM (SELECT sequence, on_hand_delta, held_delta, committed_delta, backorder_delta FROM movement
                     WHERE pool = s.pool AND sku_id = s.sku_id AND sequence > $3
                     ORDER BY sequence LIMIT $8) AS next
           ) m
           WHERE s.pool = $1 AND s.sku_id = $2"#,
        key.pool.as_str(),
        key.sku.as_str(),
        base_sequence,
        base.on_hand,
        base.held,
        base.committed,
        base.backorder,
        movements
    )
    .fetch_optional(conn)
    .await?;
    row.map(StandingRow::parse).transpose()
}

/// Remembers up to where these cells have been verified.
pub async fn verified(conn: &mut PgConnection, cells: &[(CellKey, i64, Sums)]) -> Result<(), sqlx::Error> {
    let (pools, skus) = columns(cells.iter().map(|(cell, ..)| cell));
    let of = |of: fn(&(CellKey, i64, Sums)) -> i64| -> Vec<i64> { cells.iter().map(of).collect() };
    sqlx::query!(
        "INSERT INTO stock_checkpoint (pool, sku_id, sequence, on_hand, held, committed, backorder)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                              $7::bigint[])
         ON CONFLICT (pool, sku_id) DO UPDATE
         SET sequence = excluded.sequence, on_hand = excluded.on_hand, held = excluded.held,
             committed = excluded.committed, backorder = excluded.backorder",
        &pools as &[&str],
        &skus as &[&str],
        &of(|(_, sequence, _)| *sequence),
        &of(|(.., sums)| sums.on_hand),
        &of(|(.., sums)| sums.held),
        &of(|(.., sums)| sums.committed),
        &of(|(.., sums)| sums.backorder)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The lines of the next reservations by id, and the last id; `None` when there is no more.
pub async fn sweep(
    conn: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Option<(Uuid, Vec<(CellKey, Seen)>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT reservation_id, state, coalesce(made_by, 0) AS "made_by!", coalesce(ended_by, 0) AS "ended_by!",
                  pools, skus, coalesce(quantities, asked) AS "quantities!", returned
           FROM reservation WHERE reservation_id > $1 ORDER BY reservation_id LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    let Some(last) = rows.last().map(|row| row.reservation_id) else { return Ok(None) };
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let state = reservations::state(&row.state)?;
        let sold = reservations::lines(&row.pools, &row.skus, &row.quantities)?;
        let returned = row.returned.unwrap_or_default();
        for (at, line) in sold.into_iter().enumerate() {
            let returned = returned.get(at).copied().unwrap_or(0);
            let (made_by, ended_by, quantity) = (row.made_by, row.ended_by, line.quantity);
            lines.push((line.cell, Seen { state, made_by, ended_by, quantity, returned }));
        }
    }
    Ok(Some((last, lines)))
}

/// A level, and what all its reservations say at the same instant; reads every reservation there is.
pub async fn verdict(conn: &mut PgConnection, key: &CellKey) -> Result<Option<(Sums, Sums)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT s.on_hand, s.held, s.backorder, s.committed - coalesce(c.settled, 0) AS "committed!",
                  r.held AS "r_held!", r.committed AS "r_committed!"
           FROM stock s
           LEFT JOIN stock_checkpoint c ON c.pool = s.pool AND c.sku_id = s.sku_id
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(l.quantity) FILTER (WHERE r.state = 'PENDING'), 0)::bigint AS held,
                      coalesce(sum(l.quantity - coalesce(l.returned, 0)) FILTER (WHERE r.state = 'COMMITTED'), 0)::bigint
                          AS committed
               FROM reservation r
               CROSS JOIN LATERAL unnest(r.pools, r.skus, coalesce(r.quantities, r.asked), r.returned)
                   AS l (pool, sku_id, quantity, returned)
               WHERE s.pool = ANY (r.pools) AND s.sku_id = ANY (r.skus) AND r.state IN ('PENDING', 'COMMITTED')
                 AND l.pool = s.pool AND l.sku_id = s.sku_id
           ) r
           WHERE s.pool = $1 AND s.sku_id = $2"#,
        key.pool.as_str(),
        key.sku.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| {
        let level = Sums { on_hand: r.on_hand, held: r.held, committed: r.committed, backorder: r.backorder };
        (level, Sums { held: r.r_held, committed: r.r_committed, ..level })
    }))
}

/// Buyers of a cell with a limit whose units are not what their reservations say, at one instant: buyer, counted, reserved.
/// Where reservations were pruned a buyer may have more, never less. Reads every reservation there is.
pub async fn wrong_quotas(
    conn: &mut PgConnection,
    key: &CellKey,
    limit: i64,
) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT coalesce(q.buyer_id, r.buyer_id) AS "buyer!", coalesce(q.used, 0) AS "used!",
                  coalesce(r.units, 0) AS "units!"
           FROM (SELECT buyer_id, used FROM buyer_quota WHERE pool = $1 AND sku_id = $2) q
           FULL JOIN (
               SELECT r.buyer_id, sum(l.quantity - coalesce(l.returned, 0))::bigint AS units
               FROM reservation r
               CROSS JOIN LATERAL unnest(r.pools, r.skus, coalesce(r.quantities, r.asked), r.returned)
                   AS l (pool, sku_id, quantity, returned)
               WHERE $1 = ANY (r.pools) AND $2 = ANY (r.skus) AND r.state IN ('PENDING', 'COMMITTED')
                 AND l.pool = $1 AND l.sku_id = $2
               GROUP BY r.buyer_id
           ) r ON r.buyer_id = q.buyer_id
           WHERE coalesce(q.used, 0) < coalesce(r.units, 0)
              OR coalesce(q.used, 0) > coalesce(r.units, 0) AND NOT EXISTS (
                     SELECT FROM stock_checkpoint WHERE pool = $1 AND sku_id = $2 AND settled > 0)
           ORDER BY 1 LIMIT $3"#,
        key.pool.as_str(),
        key.sku.as_str(),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.buyer, r.used, r.units)).collect())
}
