//! Levels and the movements that change them.

use std::collections::HashMap;

use sqlx::PgConnection;
use stampede_types::{Pool, ReservationId, SkuId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{LevelRow, broken, cell, columns, quotas};
use crate::domain::{Account, CellKey, Changes, Level, Terms, Window};

struct AccountRow {
    level: LevelRow,
    per_buyer_limit: Option<i64>,
    opens_at: Option<OffsetDateTime>,
    closes_at: Option<OffsetDateTime>,
}

impl AccountRow {
    fn parse(self) -> Result<(CellKey, Account), sqlx::Error> {
        let (cell, level) = self.level.parse()?;
        let window =
            self.opens_at.zip(self.closes_at).map(|(opens_at, closes_at)| Window { opens_at, closes_at });
        Ok((cell, Account { level, terms: Terms { per_buyer_limit: self.per_buyer_limit, window } }))
    }
}

/// Locks these cells, in the order everybody locks them in. Cells that do not exist are left out.
pub async fn lock(
    conn: &mut PgConnection,
    cells: impl IntoIterator<Item = &CellKey>,
) -> Result<HashMap<CellKey, Account>, sqlx::Error> {
    let (pools, skus) = columns(cells);
    let rows = sqlx::query!(
        r#"SELECT s.pool, s.sku_id, s.on_hand, s.held, s.committed, s.backorder, s.version,
                  i.per_buyer_limit AS "per_buyer_limit?", c.opens_at AS "opens_at?", c.closes_at AS "closes_at?"
           FROM stock s
           LEFT JOIN campaign_item i ON i.campaign_id = s.pool AND i.sku_id = s.sku_id
           LEFT JOIN campaign c ON c.campaign_id = s.pool
           WHERE (s.pool, s.sku_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
           ORDER BY s.pool, s.sku_id
           FOR UPDATE OF s"#,
        &pools as &[&str],
        &skus as &[&str]
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| {
            let level = LevelRow {
                pool: r.pool,
                sku_id: r.sku_id,
                on_hand: r.on_hand,
                held: r.held,
                committed: r.committed,
                backorder: r.backorder,
                version: r.version,
            };
            let account = AccountRow {
                level,
                per_buyer_limit: r.per_buyer_limit,
                opens_at: r.opens_at,
                closes_at: r.closes_at,
            };
            account.parse()
        })
        .collect()
}

/// One cell as it is, unlocked: its level, the number of its last movement and its terms are of one moment.
pub async fn account(conn: &mut PgConnection, key: &CellKey) -> Result<Option<Account>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT s.on_hand, s.held, s.committed, s.backorder, s.version,
                  i.per_buyer_limit AS "per_buyer_limit?", c.opens_at AS "opens_at?", c.closes_at AS "closes_at?"
           FROM stock s
           LEFT JOIN campaign_item i ON i.campaign_id = s.pool AND i.sku_id = s.sku_id
           LEFT JOIN campaign c ON c.campaign_id = s.pool
           WHERE s.pool = $1 AND s.sku_id = $2"#,
        key.pool.as_str(),
        key.sku.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| {
        let window = r.opens_at.zip(r.closes_at).map(|(opens_at, closes_at)| Window { opens_at, closes_at });
        let level = Level {
            on_hand: r.on_hand,
            held: r.held,
            committed: r.committed,
            backorder: r.backorder,
            version: r.version,
        };
        Account { level, terms: Terms { per_buyer_limit: r.per_buyer_limit, window } }
    }))
}

/// Locks every cell these reservations have lines in.
pub async fn lock_of(
    conn: &mut PgConnection,
    reservations: &[ReservationId],
) -> Result<HashMap<CellKey, Account>, sqlx::Error> {
    let ids: Vec<Uuid> = reservations.iter().map(|id| id.uuid()).collect();
    // The cells of a reservation never change, so they may be read before anything is locked.
    let rows = sqlx::query!(
        r#"SELECT DISTINCT l.pool AS "pool!", l.sku_id AS "sku_id!"
           FROM reservation r CROSS JOIN LATERAL unnest(r.pools, r.skus) AS l (pool, sku_id)
           WHERE r.reservation_id = ANY($1)"#,
        &ids
    )
    .fetch_all(&mut *conn)
    .await?;
    let cells = rows.iter().map(|r| cell(&r.pool, &r.sku_id)).collect::<Result<Vec<_>, _>>()?;
    lock(conn, &cells).await
}

/// The ledger's clock and so many movement numbers. Ask for them after the locks, so that a level's numbers only grow.
pub async fn stamp(
    conn: &mut PgConnection,
    numbers: usize,
) -> Result<(OffsetDateTime, Vec<i64>), sqlx::Error> {
    let numbers = i32::try_from(numbers).map_err(broken)?;
    let row = sqlx::query!(
        r#"SELECT clock_timestamp() AS "now!",
                  ARRAY(SELECT nextval('movement_sequence') FROM generate_series(1, $1)) AS "sequences!""#,
        numbers
    )
    .fetch_one(conn)
    .await?;
    Ok((row.now, row.sequences))
}

/// The same, and the windows as they are now: what waited for its locks has read them before somebody closed the campaign.
pub async fn stamp_windows(
    conn: &mut PgConnection,
    numbers: usize,
    accounts: &mut HashMap<CellKey, Account>,
) -> Result<(OffsetDateTime, Vec<i64>), sqlx::Error> {
    let numbers = i32::try_from(numbers).map_err(broken)?;
    let mut accounts: Vec<(&CellKey, &mut Account)> = accounts.iter_mut().collect();
    let (pools, _) = columns(accounts.iter().map(|(cell, _)| *cell));
    let row = sqlx::query!(
        r#"SELECT clock_timestamp() AS "now!",
                  ARRAY(SELECT nextval('movement_sequence') FROM generate_series(1, $1)) AS "sequences!",
                  ARRAY(SELECT c.closes_at FROM unnest($2::text[]) WITH ORDINALITY AS p (pool, place)
                        LEFT JOIN campaign c ON c.campaign_id = p.pool
                        ORDER BY p.place) AS "closes!: Vec<Option<OffsetDateTime>>""#,
        numbers,
        &pools as &[&str]
    )
    .fetch_one(conn)
    .await?;
    for ((_, account), closes_at) in accounts.iter_mut().zip(row.closes) {
        if let (Some(window), Some(closes_at)) = (&mut account.terms.window, closes_at) {
            window.closes_at = closes_at;
        }
    }
    Ok((row.now, row.sequences))
}

/// Appends the movements and sets the levels and quotas they lead to. The CHECKs are the last word.
pub async fn record(
    conn: &mut PgConnection,
    changes: &Changes,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let moved = &changes.movements;
    let (movement_pools, movement_skus) = columns(moved.iter().map(|m| &m.cell));
    let kinds: Vec<&str> = moved.iter().map(|m| m.kind.as_str()).collect();
    let sequences: Vec<i64> = moved.iter().map(|m| m.sequence).collect();
    let references: Vec<Option<Uuid>> = moved.iter().map(|m| m.reference).collect();
    let members: Vec<i32> = moved.iter().map(|m| m.members).collect();
    let deltas: Vec<_> = moved.iter().map(|m| m.kind.deltas(m.quantity)).collect();
    let (pools, skus) = columns(changes.levels.iter().map(|(cell, _)| cell));
    let level =
        |of: fn(&Level) -> i64| -> Vec<i64> { changes.levels.iter().map(|(_, level)| of(level)).collect() };
    quotas::write(conn, &changes.quotas).await?;
    sqlx::query!(
        "WITH moved AS (
             INSERT INTO movement
                 (sequence, pool, sku_id, kind, on_hand_delta, held_delta, committed_delta, reference, members, at)
             SELECT m.*, $9::timestamptz FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[],
                                                     $6::bigint[], $7::bigint[], $8::uuid[], $16::int[]) AS m
         )
         UPDATE stock s SET on_hand = l.on_hand, held = l.held, committed = l.committed, version = l.version,
                            changed_in = pg_current_xact_id()
         FROM unnest($10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
              AS l (pool, sku_id, on_hand, held, committed, version)
         WHERE s.pool = l.pool AND s.sku_id = l.sku_id",
        &sequences,
        &movement_pools as &[&str],
        &movement_skus as &[&str],
        &kinds as &[&str],
        &deltas.iter().map(|d| d.0).collect::<Vec<_>>(),
        &deltas.iter().map(|d| d.1).collect::<Vec<_>>(),
        &deltas.iter().map(|d| d.2).collect::<Vec<_>>(),
        &references as &[Option<Uuid>],
        at,
        &pools as &[&str],
        &skus as &[&str],
        &level(|l| l.on_hand),
        &level(|l| l.held),
        &level(|l| l.committed),
        &level(|l| l.version),
        &members,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens cells with units on hand, each with its first movement. False when one was there already: nothing was opened.
pub async fn open(conn: &mut PgConnection, pool: &Pool, units: &[(SkuId, i64)]) -> Result<(), sqlx::Error> {
    let skus: Vec<String> = units.iter().map(|(sku, _)| sku.as_str().to_owned()).collect();
    let on_hand: Vec<i64> = units.iter().map(|(_, units)| *units).collect();
    sqlx::query!(
        "WITH opened AS (
             INSERT INTO stock (pool, sku_id, on_hand, version)
             SELECT $1, o.sku_id, o.on_hand, nextval('movement_sequence')
             FROM unnest($2::text[], $3::bigint[]) AS o (sku_id, on_hand)
             RETURNING pool, sku_id, on_hand, version
         )
         INSERT INTO movement (sequence, pool, sku_id, kind, on_hand_delta)
         SELECT version, pool, sku_id, 'OPEN', on_hand FROM opened",
        pool.as_str(),
        &skus,
        &on_hand
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The levels of these cells, unlocked. Cells that do not exist are left out.
pub async fn read(
    conn: &mut PgConnection,
    cells: impl IntoIterator<Item = &CellKey>,
) -> Result<HashMap<CellKey, Level>, sqlx::Error> {
    let (pools, skus) = columns(cells);
    let rows = sqlx::query_as!(
        LevelRow,
        "SELECT pool, sku_id, on_hand, held, committed, backorder, version FROM stock
         WHERE (pool, sku_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        &pools as &[&str],
        &skus as &[&str]
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(LevelRow::parse).collect()
}

/// The levels of one SKU in every pool, the shelf among them.
pub async fn of_sku(conn: &mut PgConnection, sku: &SkuId) -> Result<Vec<(CellKey, Level)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        LevelRow,
        "SELECT pool, sku_id, on_hand, held, committed, backorder, version FROM stock WHERE sku_id = $1 ORDER BY pool",
        sku.as_str()
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(LevelRow::parse).collect()
}
