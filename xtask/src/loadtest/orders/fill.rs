//! Orders of years gone by, put into the order service's tables as it would have left them, while it is down: completed, one line
//! each, one every three seconds, the youngest of yesterday. It never touches what is not its own.

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
    for settled in ["VACUUM ANALYZE orders", "CHECKPOINT"] {
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
        // An id begins with its day (RequestId::order) and goes on with a hash.
        sqlx::query(
            "INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                                 subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint,
                                 payment_id, payment_attempt, expires_at, created_at, updated_at, delivered_at, lines)
             SELECT id, 'fill-' || lpad((n / $3)::text, 9, '0'), 'COMPLETED', 'PAID', 'COMMITTED', 'DELIVERED', 'EUR',
                    999, 0, 999, id, decode(md5(n::text) || md5(n::text), 'hex'), id, 1, at, at, at, at,
                    '[{\"sku_id\": \"FILL\", \"quantity\": 1, \"title\": \"Filled in\", \"unit_price_minor\": 999,
                       \"discount_minor\": 0, \"total_minor\": 999}]'
             FROM (SELECT n, at, (lpad(to_hex(floor(extract(epoch FROM at) / 86400)::bigint), 4, '0')
                                  || substr(md5(n::text), 5))::uuid AS id
                   FROM (SELECT n, now() - interval '2 days' - ($2 - n) * interval '3 seconds' AS at
                         FROM generate_series($1, $4 - 1) AS n) AS counted) AS old",
        )
        .bind(at)
        .bind(all)
        .bind(ORDERS_A_BUYER)
        .bind(end)
        .execute(&mut session)
        .await
        .context("filling in orders")?;
        at = end;
    }
    Ok(())
}
