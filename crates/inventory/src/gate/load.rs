//! Loading: a cell of the gate made from the ledger. The level's row stays locked while Redis is written, so that no
//! decision of the ledger falls between reading and writing; the gate's deadline bounds how long.

use std::sync::Arc;

use redis::Pipeline;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::cells::Cell;
use super::{Failure, Shared};
use crate::domain::Account;
use crate::store;

/// Fields written by one command.
const FIELDS: usize = 1_000;
/// For ever, for a pool without a window; the last millisecond Lua's numbers hold exactly.
const NEVER_MS: i64 = 1 << 53;

/// Loads the cell unless somebody has done it meanwhile: level, terms, quotas and the tokens of pending holds.
pub async fn load(gate: &Shared, cell: &Arc<Cell>) -> Result<(), Failure> {
    let _one_at_a_time = cell.loading.lock().await;
    let generation = gate.link.generation(cell.lane);
    if cell.is_loaded(generation) {
        return Ok(());
    }
    if gate.link.is_resting(cell.lane) {
        return Err(Failure::Down);
    }
    let mut tx = store::begin(&gate.db).await?;
    let (account, now) = lock(&mut tx, cell).await?;
    let pipeline = whole(&mut tx, cell, &account, now).await?;
    gate.link.pipeline::<()>(cell.lane, &pipeline).await?;
    if account.level.available() > 0 {
        cell.reopen(version(now));
    }
    cell.set_loaded(generation);
    tx.rollback().await?;
    gate.metrics.gate_loads.add(1, &[]);
    tracing::debug!(
        pool = cell.key.pool.as_str(),
        sku = cell.key.sku.as_str(),
        "the gate was loaded from the ledger"
    );
    Ok(())
}

/// Sets only the free units: after the ledger refused what the gate had admitted.
pub async fn level(gate: &Shared, cell: &Arc<Cell>) -> Result<(), Failure> {
    let begun = cell.levels_begun();
    let _one_at_a_time = cell.loading.lock().await;
    if cell.levels_begun() != begun {
        // Somebody began after this was asked for and is done: of hundreds that were refused together one or two ask.
        return Ok(());
    }
    if !cell.is_loaded(gate.link.generation(cell.lane)) {
        // It will be loaded as a whole before it is used again.
        return Ok(());
    }
    cell.begin_level();
    let mut tx = store::begin(&gate.db).await?;
    let (account, now) = lock(&mut tx, cell).await?;
    let mut call = gate.scripts.level.call(1);
    call.arg(&cell.keys[0]).arg(account.level.available()).arg(version(now));
    gate.link.script::<i64>(cell.lane, &gate.scripts.level, &call).await?;
    if account.level.available() > 0 {
        cell.reopen(version(now));
    }
    tx.rollback().await?;
    Ok(())
}

async fn lock(conn: &mut PgConnection, cell: &Cell) -> Result<(Account, OffsetDateTime), Failure> {
    let accounts = store::levels::lock(conn, [&cell.key]).await?;
    let (now, _) = store::levels::stamp(conn, 0).await?;
    let account = accounts.get(&cell.key).copied();
    // Cells are met because the ledger has them, and the ledger forgets none.
    account.map(|account| (account, now)).ok_or(Failure::Ledger(sqlx::Error::RowNotFound))
}

/// The counters come last: until then the cell reads as not loaded.
async fn whole(
    conn: &mut PgConnection,
    cell: &Cell,
    account: &Account,
    now: OffsetDateTime,
) -> Result<Pipeline, Failure> {
    let [counters, quotas, tokens] = &cell.keys;
    let mut pipeline = redis::pipe();
    pipeline.del(&[counters, quotas, tokens]).ignore();
    if account.terms.per_buyer_limit.is_some() {
        let used = store::quotas::of_cell(conn, &cell.key).await?;
        for part in used.chunks(FIELDS) {
            pipeline.hset_multiple(quotas, part).ignore();
        }
    }
    let pending = store::reservations::pending_on(conn, &cell.key).await?;
    for part in pending.chunks(FIELDS) {
        let fields: Vec<_> = part
            .iter()
            .map(|(id, buyer, units)| (id.uuid().as_bytes().to_vec(), format!("{units}:{buyer}")))
            .collect();
        pipeline.hset_multiple(tokens, &fields).ignore();
    }
    let millis =
        |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(NEVER_MS);
    let window = account.terms.window;
    pipeline
        .hset_multiple(
            counters,
            &[
                ("free", account.level.available()),
                ("limit", account.terms.per_buyer_limit.unwrap_or(0)),
                ("opens_ms", window.map_or(0, |window| millis(window.opens_at))),
                ("closes_ms", window.map_or(NEVER_MS, |window| millis(window.closes_at))),
                ("version", version(now)),
            ],
        )
        .ignore();
    Ok(pipeline)
}

/// Versions begin at the ledger's clock in microseconds, so that they grow even when Redis has forgotten everything.
fn version(now: OffsetDateTime) -> i64 {
    i64::try_from(now.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}
