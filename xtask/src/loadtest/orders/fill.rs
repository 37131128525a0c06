//! Orders of years gone by, put into the order service's tables as it would have left them, while it is down: completed, one line
//! each, spread evenly over all ids. It never touches what is not its own.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::PgPool;

/// Filling takes longer than a statement of the service may, and what is lost with the machine is filled in again.
const SESSION: &str =
    "SET statement_timeout = 0; SET synchronous_commit = off; SET maintenance_work_mem = '256MB'";
/// Sessions that fill side by side, each its own part of the ids.
const SIDE_BY_SIDE: i64 = 2;
/// Orders of one statement.
const CHUNK: i64 = 250_000;
/// Orders each of the buyers of that time has.
const ORDERS_A_BUYER: i64 = 10;

/// Puts so many there and says how long it took.
pub async fn fill(db: &PgPool, orders: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let orders = i64::try_from(orders)?;
    let parts = (0..SIDE_BY_SIDE).map(|part| {
        let (from, to) = (orders * part / SIDE_BY_SIDE, orders * (part + 1) / SIDE_BY_SIDE);
        range(db, from, to, orders)
    });
    futures::future::try_join_all(parts).await?;
    let mut session = db.acquire().await?.detach();
    sqlx::raw_sql(SESSION).execute(&mut session).await?;
    // What a shop of that size has had long ago: statistics, clean pages, nothing waiting to be written.
    for settled in ["VACUUM ANALYZE orders", "VACUUM ANALYZE order_line", "CHECKPOINT"] {
        sqlx::raw_sql(settled).execute(&mut session).await?;
    }
    Ok(began.elapsed())
}

async fn range(db: &PgPool, from: i64, to: i64, all: i64) -> anyhow::Result<()> {
    let mut session = db.acquire().await?.detach();
    sqlx::raw_sql(SESSION).execute(&mut session).await?;
    let mut at = from;
    while at < to {
        let end = (at + CHUNK).min(to);
        // The first half of an id grows with the number, which fills the indexes from left to right; the second is its hash.
        sqlx::query(
            "WITH filled AS (
               INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                                   subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint,
                                   payment_id, payment_attempt, expires_at, created_at, updated_at, delivered_at)
               SELECT id, 'fill-' || lpad((n / $4)::text, 9, '0'), 'COMPLETED', 'PAID', 'COMMITTED', 'DELIVERED', 'EUR',
                      999, 0, 999, id, decode(md5(n::text) || md5(n::text), 'hex'), id, 1, day, day, day, day
               FROM (SELECT n, now() - interval '1 day' - n * interval '3 seconds' AS day,
                            (lpad(to_hex((n::float8 * 4294967295 / $3)::bigint), 8, '0') || substr(md5(n::text), 9))::uuid AS id
                     FROM generate_series($1, $2 - 1) AS n) AS old
               RETURNING order_id
             )
             INSERT INTO order_line (order_id, line_no, sku_id, campaign_id, quantity, title, unit_price_minor,
                                     discount_minor, total_minor)
             SELECT order_id, 1, 'FILL', '', 1, 'Filled in', 999, 0, 999 FROM filled",
        )
        .bind(at)
        .bind(end)
        .bind(all)
        .bind(ORDERS_A_BUYER)
        .execute(&mut session)
        .await
        .context("filling in orders")?;
        at = end;
    }
    Ok(())
}
