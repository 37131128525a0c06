//! The ledger's writing alone: the rows of one batch, by the cheapest transaction that writes them, and for comparison one order at
//! a time on one hot row. On the same Postgres, in tables of its own that are copies of the ledger's with every index and
//! constraint. It decides nothing, so it is the floor under every decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use stampede_kit::task;
use uuid::Uuid;

use crate::measure::{Figures, Span};
use crate::processes::{Measured, Snapshot};

/// Reservations of one transaction: the ledger's own batch.
pub const BATCH: usize = 256;
const TABLES: [&str; 5] = ["reservation", "movement", "buyer_quota", "stock", "outbox"];
const POOL: &str = "bench-campaign";
const SKU: &str = "bench-sku";
const BUYERS: u64 = 100_000;

/// Same rows as the ledger's batch of deductions: reservations, one movement, one level, the buyers' quotas, one event.
const BATCH_SQL: &str = "
    WITH made AS (
        INSERT INTO bare_reservation (reservation_id, kind, buyer_id, state, created_at, resolved_at, remaining, made_by,
                                      pools, skus, asked)
        SELECT id, 'DEDUCTION', buyer, 'COMMITTED', now(), now(), 1000000, 1000000, ARRAY[$3], ARRAY[$4], ARRAY[1::bigint]
        FROM unnest($1::uuid[], $2::text[]) AS r (id, buyer)
    ), used AS (
        INSERT INTO bare_buyer_quota (pool, sku_id, buyer_id, used, max)
        SELECT $3, $4, buyer, 1, 1000 FROM unnest($2::text[]) AS r (buyer)
        ON CONFLICT (pool, sku_id, buyer_id) DO UPDATE SET used = bare_buyer_quota.used + 1
    ), event AS (
        INSERT INTO bare_outbox (event_id, subject, event_key, payload) VALUES ($5, 'inventory.moved', $5::text, $6)
    ), moved AS (
        INSERT INTO bare_movement (sequence, pool, sku_id, kind, committed_delta, members)
        VALUES (nextval('bare_sequence'), $3, $4, 'DEDUCT', cardinality($1), cardinality($1))
    )
    UPDATE bare_stock SET committed = committed + cardinality($1), version = version + 1, changed_in = pg_current_xact_id()
    WHERE pool = $3 AND sku_id = $4";

/// One order a transaction, in one statement, taking the hot row each time.
const SINGLE_SQL: &str = "
    WITH taken AS (
        UPDATE bare_stock SET committed = committed + 1, version = version + 1, changed_in = pg_current_xact_id()
        WHERE pool = $3 AND sku_id = $4 AND held + committed < on_hand
        RETURNING version
    ), made AS (
        INSERT INTO bare_reservation (reservation_id, kind, buyer_id, state, created_at, resolved_at, remaining, made_by,
                                      pools, skus, asked)
        SELECT $1, 'DEDUCTION', $2, 'COMMITTED', now(), now(), 1000000, version, ARRAY[$3], ARRAY[$4], ARRAY[1::bigint]
        FROM taken
    ), used AS (
        INSERT INTO bare_buyer_quota (pool, sku_id, buyer_id, used, max) SELECT $3, $4, $2, 1, 1000 FROM taken
        ON CONFLICT (pool, sku_id, buyer_id) DO UPDATE SET used = bare_buyer_quota.used + 1
    ), event AS (
        INSERT INTO bare_outbox (event_id, subject, event_key, payload)
        SELECT $5, 'inventory.moved', $5::text, $6 FROM taken
    )
    INSERT INTO bare_movement (sequence, pool, sku_id, kind, committed_delta)
    SELECT nextval('bare_sequence'), $3, $4, 'DEDUCT', 1 FROM taken";

/// Makes the tables, or empties them.
pub async fn prepare(db: &PgPool) -> anyhow::Result<()> {
    let mut statements = vec!["CREATE SEQUENCE IF NOT EXISTS bare_sequence".to_owned()];
    for table in TABLES {
        statements.push(format!("CREATE TABLE IF NOT EXISTS bare_{table} (LIKE {table} INCLUDING ALL)"));
        statements.push(format!("TRUNCATE bare_{table}"));
    }
    for statement in statements {
        // The only names in it stand above.
        sqlx::query(AssertSqlSafe(statement)).execute(db).await.context("the bare tables")?;
    }
    sqlx::query("INSERT INTO bare_stock (pool, sku_id, on_hand, version) VALUES ($1, $2, 1000000000, 1)")
        .bind(POOL)
        .bind(SKU)
        .execute(db)
        .await?;
    Ok(())
}

/// How reservations are written.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// Many a transaction, by so many writers.
    Batches(usize),
    /// One a transaction, by so many clients.
    RowLocks(usize),
}

/// Writes for a while; the figures are of reservations.
pub async fn write(
    db: &PgPool,
    url: &str,
    way: Way,
    span: Span,
    processes: &[Measured],
) -> anyhow::Result<Figures> {
    prepare(db).await?;
    let (clients, sql, batch) = match way {
        Way::Batches(writers) => (writers, BATCH_SQL, BATCH),
        Way::RowLocks(clients) => (clients, SINGLE_SQL, 1),
    };
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::with_capacity(clients);
    for client in 0..clients {
        let connection = PgConnection::connect(url).await?;
        let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
        writers.push(task::spawn("bare writer", writer(connection, client, sql, batch, stop, written)));
    }
    tokio::time::sleep(span.warm_up).await;
    let (cpu, count, began) = (Snapshot::take(processes), written.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(span.measured).await;
    let (later, took) = (Snapshot::take(processes), began.elapsed());
    let count = written.load(Ordering::Relaxed) - count;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.context("a writer panicked")??;
    }
    Ok(Figures::of_rate(count, took, &later.cpu_us_since(&cpu)))
}

async fn writer(
    mut connection: PgConnection,
    client: usize,
    sql: &'static str,
    batch: usize,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut buyer = client as u64;
    while !stop.load(Ordering::Relaxed) {
        let ids: Vec<Uuid> = (0..batch).map(|_| Uuid::now_v7()).collect();
        let buyers: Vec<String> = (0..batch)
            .map(|_| {
                buyer = (buyer + 7_919) % BUYERS;
                format!("buyer-{buyer:09}")
            })
            .collect();
        let event: Vec<u8> = ids.iter().zip(&buyers).flat_map(|(id, buyer)| fact(id, buyer)).collect();
        let query = match (batch, ids.as_slice(), buyers.as_slice()) {
            (1, [id], [buyer]) => sqlx::query(sql).bind(*id).bind(buyer),
            _ => sqlx::query(sql).bind(&ids).bind(&buyers),
        };
        query.bind(POOL).bind(SKU).bind(Uuid::now_v7()).bind(event).execute(&mut connection).await?;
        written.fetch_add(batch as u64, Ordering::Relaxed);
    }
    connection.close().await?;
    Ok(())
}

/// As many bytes as the event says of one deduction.
fn fact(id: &Uuid, buyer: &str) -> Vec<u8> {
    format!("{id}{buyer}{SKU}{POOL}").into_bytes()
}

/// Rows and levels agree: what was written was written whole.
pub async fn differences(db: &PgPool) -> anyhow::Result<Vec<String>> {
    let (rows, sold, moved): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM bare_reservation), (SELECT committed FROM bare_stock),
                (SELECT coalesce(sum(committed_delta), 0)::bigint FROM bare_movement)",
    )
    .fetch_one(db)
    .await?;
    let agree = rows == sold && sold == moved;
    Ok((!agree).then(|| format!("bare: {rows} rows, {sold} sold, {moved} moved")).into_iter().collect())
}
