//! Loading: a cell of the gate made from the ledger, while both go on.
//!
//! Nothing is locked. A level is read with the number of the ledger's last decision on the cell, and every decision is told to the
//! gate with its number. The load script refuses a level that is older than what the bucket has heard of, so a load that was overtaken,
//! or that a frozen Redis carries out much later, changes nothing and is made again; the settling script counts a decision only when
//! its number is above the one the cell was loaded at. So at any moment
//!
//! > free = the ledger's available units at the loaded number, less what is put aside for requests on their way to the ledger,
//! > and what was told of later decisions
//!
//! Requests on their way stay put aside across a load, so that a load of a cell that sells is not too open: at most for `IN_FLIGHT`,
//! after which nobody will say how they ended (their process died, or the telling was lost). Until then such units are not sold.
//! Two processes may load a cell at once: the newer level stands. A ledger that was put back to an earlier day is behind what the
//! gate has heard of, and stays so: a level read after the refusal that is still older says it, and the cell is forgotten first. What no number can find (a process that died before it told, a Redis
//! that lost its last second) shows as a difference that stays, and the reconciler loads the cell.
//!
//! A load also divides a cell into buckets, or makes them one: then what is on its way is forgotten rather than put aside, because its
//! buyer may belong to another bucket. The numbers count it once all the same; until it is told, the gate is too open by that much.
//!
//! What buyers have used is not read: at a million buyers a load would read a million rows (0.7 s) and write a million fields (4 s of
//! Redis's one thread, 100 MB), most for buyers who never come again. A loaded cell counts from nothing, so a buyer who comes
//! again is decided by the ledger, once: a refusal for the limit tells the gate what the buyer has used.

use std::sync::Arc;

use time::OffsetDateTime;

use super::bucket::KEYS;
use super::cells::Cell;
use super::{Failure, Shared, level};
use crate::domain::Account;
use crate::store;

/// How long a request may take from the gate to the ledger's answer; the slowest are cut off by the ledger's own timeouts.
const IN_FLIGHT_US: i64 = 5_000_000;
/// A level that was overtaken is read again. The ledger decides some hundred times a second and a load takes about a millisecond.
const ATTEMPTS: usize = 5;
/// For ever, for a pool without a window; the last millisecond Lua's numbers hold exactly.
const NEVER_MS: i64 = 1 << 53;

/// Whether what buyers have used is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buyers {
    Forgotten,
    Kept,
}

/// Into how many buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Division {
    ByRule,
    None,
}

/// Loads the cell unless somebody has done it meanwhile.
pub async fn load(gate: &Shared, cell: &Arc<Cell>) -> Result<(), Failure> {
    let failures = cell.failures();
    let _one_at_a_time = cell.loading.lock().await;
    let generation = gate.link.generation(cell.lane);
    if cell.is_loaded(generation) {
        return Ok(());
    }
    if gate.link.is_resting(cell.lane) {
        return Err(Failure::Down);
    }
    if cell.failures() != failures {
        // Of hundreds that wait for the ledger one asks it; the others share its answer.
        return Err(Failure::Unavailable);
    }
    match take(gate, cell, Buyers::Forgotten, Division::ByRule).await {
        Ok(()) => {}
        // Nothing is wrong with anybody: each who waits tries for itself.
        Err(Failure::Overtaken) => return Err(Failure::Overtaken),
        Err(failure @ (Failure::Down | Failure::Ledger(_) | Failure::Unavailable)) => {
            cell.failed();
            return Err(failure);
        }
    }
    cell.set_loaded(generation);
    gate.metrics.gate_loads.add(1, &[]);
    let (pool, sku) = (cell.key.pool.as_str(), cell.key.sku.as_str());
    tracing::debug!(pool, sku, "the gate was loaded from the ledger");
    Ok(())
}

/// Takes the ledger's level for a cell that stays in use: after the ledger refused what the gate had admitted.
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
    take(gate, cell, Buyers::Kept, Division::ByRule).await
}

/// Divides a loaded cell as the rule says now.
pub async fn divide(gate: &Shared, cell: &Arc<Cell>) -> Result<(), Failure> {
    let _one_at_a_time = cell.loading.lock().await;
    take(gate, cell, Buyers::Forgotten, Division::ByRule).await
}

/// Makes one bucket of several.
pub async fn merge(gate: &Shared, cell: &Arc<Cell>) -> Result<(), Failure> {
    let _one_at_a_time = cell.loading.lock().await;
    if cell.buckets().layout() == 1 {
        // Somebody has done it.
        return Ok(());
    }
    take(gate, cell, Buyers::Forgotten, Division::None).await
}

async fn take(gate: &Shared, cell: &Arc<Cell>, buyers: Buyers, division: Division) -> Result<(), Failure> {
    let mut heard_of = 0;
    for _ in 0..ATTEMPTS {
        // Whoever is told to divide nothing still makes one of what others have divided.
        let before = if gate.rule.is_cluster { level::layout(gate, cell).await? } else { 1 };
        let mut account = read(gate, cell).await?;
        if account.level.version < heard_of {
            // What the gate is told of is committed, and this was read after it.
            tracing::warn!(cell = ?cell.key, "the ledger is behind what the gate was told: it was put back to an earlier state");
            level::forget(gate, cell, 0..before.max(cell.buckets().layout())).await?;
        }
        let layout = match division {
            Division::ByRule => gate.rule.layout(before, account.level.available(), cell.buckets().rate()),
            Division::None => 1,
        };
        if layout < before {
            // What goes is gone before the rest has its units. The level is read after that: what is told to a bucket that is no
            // more has happened before.
            level::forget(gate, cell, layout..before).await?;
            account = read(gate, cell).await?;
        }
        let buyers = if layout == before { buyers } else { Buyers::Forgotten };
        match write(gate, cell, &account, buyers, layout).await? {
            Written::At(version) => {
                if layout < before {
                    // Somebody who had not heard of it may have written the others in between.
                    level::forget(gate, cell, layout..before).await?;
                }
                cell.buckets().set_layout(layout);
                if account.level.available() > 0 {
                    cell.reopen(version);
                }
                return Ok(());
            }
            Written::TooOld(number) => heard_of = number,
        }
    }
    tracing::warn!("a cell was not loaded: the ledger decided faster than it was read");
    Err(Failure::Overtaken)
}

async fn read(gate: &Shared, cell: &Cell) -> Result<Account, Failure> {
    let mut conn = gate.db.acquire().await?;
    let account = store::levels::account(&mut conn, &cell.key).await?;
    // Cells are met because the ledger has them, and the ledger forgets none.
    account.ok_or(Failure::Ledger(sqlx::Error::RowNotFound))
}

/// What came of writing a level.
#[derive(Debug, Clone, Copy)]
enum Written {
    /// The gate's version of the cell.
    At(i64),
    /// The ledger's last decision that a bucket has heard of: the level was older.
    TooOld(i64),
}

async fn write(
    gate: &Shared,
    cell: &Cell,
    account: &Account,
    buyers: Buyers,
    layout: u32,
) -> Result<Written, Failure> {
    let window = account.terms.window;
    let (opens_ms, closes_ms) =
        window.map_or((0, NEVER_MS), |window| (millis(window.opens_at), millis(window.closes_at)));
    let available = account.level.available();
    let writes = (0..layout).map(async |bucket| {
        let mut call = gate.scripts.load.call(KEYS);
        for key in cell.buckets().keys(bucket) {
            call.arg(key);
        }
        call.arg(account.level.version)
            .arg(share(available, bucket, layout))
            .arg(account.terms.per_buyer_limit.unwrap_or(0))
            .arg(opens_ms)
            .arg(closes_ms)
            .arg(layout)
            .arg(IN_FLIGHT_US)
            .arg(i64::from(buyers == Buyers::Forgotten));
        gate.link.script::<(i64, i64)>(cell.lane, &gate.scripts.load, &call).await
    });
    let (mut version, mut heard_of) = (0, None);
    for written in futures::future::join_all(writes).await {
        let (taken, number) = written?;
        if taken == 1 {
            version = number.max(version);
        } else {
            heard_of = heard_of.max(Some(number));
        }
    }
    Ok(heard_of.map_or(Written::At(version), Written::TooOld))
}

/// What a bucket gets of so many units: the same as the others, and one more where that leaves some over.
fn share(units: i64, bucket: u32, layout: u32) -> i64 {
    let (bucket, layout) = (i64::from(bucket), i64::from(layout));
    units.div_euclid(layout) + i64::from(bucket < units.rem_euclid(layout))
}

fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(NEVER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_buckets_are_the_whole() {
        for (units, layout) in [(0, 1), (10, 1), (10, 3), (2, 8), (-5, 4), (1_000_001, 8)] {
            let shares: Vec<i64> = (0..layout).map(|bucket| share(units, bucket, layout)).collect();
            assert_eq!(shares.iter().sum::<i64>(), units, "{shares:?}");
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }
}
