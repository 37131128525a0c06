//! `stock rebuild`: every level rebuilt from the movements alone, and counted again from the reservations, over the database of
//! what `up` runs. Everything is compared at one instant and where it lies; only what differs travels. With `--check` it only
//! reads; without, levels become what the movements say, in one transaction, and only while no inventory has a session open.

use anyhow::{Context as _, bail};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use crate::servers::Servers;
use crate::terminal::say;
use crate::{home, servers, stack};

/// Differences listed; they are counted to the last.
const MAX_LISTED: i64 = 1_000;

/// Movements of a cell, added up.
const REBUILT: &str = "
    SELECT pool, sku_id, sum(on_hand_delta)::bigint AS on_hand, sum(held_delta)::bigint AS held,
           sum(committed_delta)::bigint AS committed, sum(backorder_delta)::bigint AS backorder, max(sequence) AS last
    FROM movement GROUP BY pool, sku_id";

/// Lines of reservations that hold or have sold something.
const LINES: &str = "
    SELECT l.pool, l.sku_id, r.buyer_id, r.state, l.quantity - coalesce(l.returned, 0) AS units
    FROM reservation r
    CROSS JOIN LATERAL unnest(r.pools, r.skus, coalesce(r.quantities, r.asked), r.returned)
        AS l (pool, sku_id, quantity, returned)
    WHERE r.state IN ('PENDING', 'COMMITTED')";

/// One number, what the ledger's row says of it, and what the other side says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub pool: String,
    pub sku_id: String,
    /// ON_HAND, HELD, COMMITTED, BACKORDER, or QUOTA.
    pub number: String,
    /// The buyer of a quota; empty for a level.
    pub buyer: String,
    /// None where there is no row at all.
    pub ledger: Option<i64>,
    /// `movements` or `reservations`.
    pub against: String,
    pub other: Option<i64>,
}

/// What was compared, and what was not as it should be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub levels: i64,
    pub movements: i64,
    pub reservations: i64,
    pub differences: i64,
    pub changed: bool,
    pub listed: Vec<Difference>,
}

/// Whether everything is, or now is, what the movements say.
pub async fn run(check: bool, as_json: bool) -> anyhow::Result<bool> {
    let dir = home::dev();
    let servers = Servers::running(&dir)?
        .context("the servers do not run; start them with `cargo xtask servers start` or `cargo xtask up`")?;
    let runs = |process: &servers::Status| process.name.starts_with("inventory") && process.pid.is_some();
    if !check && stack::status(&dir)?.iter().any(runs) {
        bail!("inventory runs: levels are rebuilt only while nobody sells; stop it with `cargo xtask down`");
    }
    let mut conn = PgConnection::connect(&servers.database_url("inventory"))
        .await
        .context("the database of inventory does not answer")?;
    let report = if check { compare(&mut conn).await? } else { rebuild(&mut conn).await? };
    if as_json {
        say(serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(check_passes(&report))
}

/// Reads everything at one instant; changes nothing.
pub async fn compare(conn: &mut PgConnection) -> anyhow::Result<Report> {
    let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut report = counts(&mut tx).await?;
    for statement in [against_movements(), against_reservations(), against_quotas()] {
        list(&mut tx, &statement, &mut report).await?;
    }
    tx.rollback().await?;
    Ok(report)
}

/// Sets the levels to what the movements say, in one transaction; what was changed.
pub async fn rebuild(conn: &mut PgConnection) -> anyhow::Result<Report> {
    let mut tx = conn.begin().await?;
    // Nobody begins to sell while it lasts.
    sqlx::query("LOCK TABLE stock, movement IN EXCLUSIVE MODE NOWAIT")
        .execute(&mut *tx)
        .await
        .context("somebody works with the stock: levels are rebuilt only while nobody sells")?;
    let sellers: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'inventory'",
    )
    .fetch_one(&mut *tx)
    .await?;
    if sellers > 0 {
        bail!("an inventory is connected: levels are rebuilt only while nobody sells");
    }
    let mut report = counts(&mut tx).await?;
    list(&mut tx, &against_movements(), &mut report).await?;
    let statement = format!(
        "UPDATE stock s SET on_hand = m.on_hand, held = m.held, committed = m.committed, backorder = m.backorder,
                            version = greatest(s.version, m.last), changed_in = pg_current_xact_id()
         FROM ({REBUILT}) m
         WHERE m.pool = s.pool AND m.sku_id = s.sku_id
           AND (s.on_hand, s.held, s.committed, s.backorder) <> (m.on_hand, m.held, m.committed, m.backorder)"
    );
    let updated = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await;
    let updated = updated.context("the movements say what no level may be: nothing was changed")?;
    tx.commit().await?;
    report.changed = updated.rows_affected() > 0;
    Ok(report)
}

fn check_passes(report: &Report) -> bool {
    report.differences == 0 || report.changed
}

async fn counts(conn: &mut PgConnection) -> anyhow::Result<Report> {
    let (levels, movements, reservations): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM stock), (SELECT count(*) FROM movement), (SELECT count(*) FROM reservation)",
    )
    .fetch_one(conn)
    .await?;
    Ok(Report { levels, movements, reservations, differences: 0, changed: false, listed: Vec::new() })
}

async fn list(conn: &mut PgConnection, statement: &str, report: &mut Report) -> anyhow::Result<()> {
    // Counted before it is cut: a ledger in ruins is told from one with a scratch.
    let whole = format!(
        "WITH wrong AS MATERIALIZED ({statement})
         SELECT *, (SELECT count(*) FROM wrong) AS count FROM wrong ORDER BY pool, sku_id, number, buyer LIMIT {MAX_LISTED}"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(whole)).fetch_all(conn).await?;
    for row in &rows {
        use sqlx::{FromRow as _, Row as _};
        if row.try_get::<i64, _>("count")? > 0 && std::ptr::eq(row, &raw const rows[0]) {
            report.differences += row.try_get::<i64, _>("count")?;
        }
        report.listed.push(Difference::from_row(row)?);
    }
    Ok(())
}

/// A cell that only one side knows differs in every number that is not zero on it.
fn against_movements() -> String {
    format!(
        "SELECT coalesce(s.pool, m.pool) AS pool, coalesce(s.sku_id, m.sku_id) AS sku_id, n.number, '' AS buyer,
                n.ledger, 'movements' AS against, n.other
         FROM stock s FULL JOIN ({REBUILT}) m ON m.pool = s.pool AND m.sku_id = s.sku_id
         CROSS JOIN LATERAL (VALUES ('ON_HAND', s.on_hand, m.on_hand), ('HELD', s.held, m.held),
             ('COMMITTED', s.committed, m.committed), ('BACKORDER', s.backorder, m.backorder)) AS n (number, ledger, other)
         WHERE n.ledger IS DISTINCT FROM n.other"
    )
}

fn against_reservations() -> String {
    format!(
        "SELECT coalesce(s.pool, r.pool) AS pool, coalesce(s.sku_id, r.sku_id) AS sku_id, n.number, '' AS buyer,
                n.ledger, 'reservations' AS against, n.other
         FROM (SELECT s.pool, s.sku_id, s.held, s.committed - coalesce(c.settled, 0) AS committed
               FROM stock s LEFT JOIN stock_checkpoint c ON c.pool = s.pool AND c.sku_id = s.sku_id) s
         FULL JOIN (SELECT pool, sku_id, coalesce(sum(units) FILTER (WHERE state = 'PENDING'), 0)::bigint AS held,
                           coalesce(sum(units) FILTER (WHERE state = 'COMMITTED'), 0)::bigint AS committed
                    FROM ({LINES}) l GROUP BY pool, sku_id) r ON r.pool = s.pool AND r.sku_id = s.sku_id
         CROSS JOIN LATERAL (VALUES ('HELD', s.held, r.held), ('COMMITTED', s.committed, r.committed))
             AS n (number, ledger, other)
         WHERE coalesce(n.ledger, 0) <> coalesce(n.other, 0)"
    )
}

/// Where reservations were pruned a buyer may have used more than the rest of them say, never less.
fn against_quotas() -> String {
    format!(
        "SELECT coalesce(q.pool, r.pool) AS pool, coalesce(q.sku_id, r.sku_id) AS sku_id, 'QUOTA' AS number,
                coalesce(q.buyer_id, r.buyer_id) AS buyer, coalesce(q.used, 0) AS ledger, 'reservations' AS against,
                coalesce(r.units, 0) AS other
         FROM buyer_quota q
         FULL JOIN (SELECT l.pool, l.sku_id, l.buyer_id, sum(l.units)::bigint AS units
                    FROM ({LINES}) l JOIN campaign_item i ON i.campaign_id = l.pool AND i.sku_id = l.sku_id
                    GROUP BY l.pool, l.sku_id, l.buyer_id) r
             ON r.pool = q.pool AND r.sku_id = q.sku_id AND r.buyer_id = q.buyer_id
         LEFT JOIN stock_checkpoint c
             ON c.pool = coalesce(q.pool, r.pool) AND c.sku_id = coalesce(q.sku_id, r.sku_id)
         WHERE coalesce(q.used, 0) < coalesce(r.units, 0)
            OR coalesce(q.used, 0) > coalesce(r.units, 0) AND coalesce(c.settled, 0) = 0"
    )
}

fn print(report: &Report) {
    for Difference { pool, sku_id, number, buyer, ledger, against, other } in &report.listed {
        let of = if buyer.is_empty() { String::new() } else { format!(" of {buyer}") };
        let said = |units: &Option<i64>| units.map_or("nothing".to_owned(), |units| units.to_string());
        say(format!(
            "{pool}/{sku_id} {number}{of}: the ledger says {}, the {against} say {}",
            said(ledger),
            said(other)
        ));
    }
    let Report { levels, movements, reservations, differences, changed, .. } = report;
    let done = if *changed { "; the levels are now what the movements say" } else { "" };
    say(format!(
        "{levels} levels, {movements} movements, {reservations} reservations: {differences} differences{done}"
    ));
}

#[cfg(test)]
#[path = "rebuild_tests.rs"]
mod tests;
