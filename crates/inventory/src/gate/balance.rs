//! Which cells have several buckets, and how units get where they are asked for. A bucket that is empty takes units from the richest
//! one; when there is little left in all of them they become one again, and only a cell of one bucket is ever called sold out. So no
//! buyer is turned away while any bucket has what they ask for.
//!
//! Units on the way from one bucket to another are in neither. A process that dies between the two loses them for the gate, not for
//! the ledger: the reconciler finds the difference.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::bucket::MAX_BUCKETS;
use super::cells::{Cell, Cells};
use super::{Failure, Gate, Shared, level, load};

/// How often is counted what each cell was asked for.
pub const EVERY: Duration = Duration::from_secs(1);

/// When a cell is divided: only where it helps.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub most: u32,
    pub min_stock: i64,
    pub min_rate: u64,
    /// On a single node all buckets wait for the same thread.
    pub is_cluster: bool,
}

impl Rule {
    pub const fn is_on(&self) -> bool {
        self.most > 1 && self.is_cluster
    }

    /// Into how many buckets a cell should be divided that is divided into `now`, has so many units and is asked so often a second.
    /// What is divided stays so whatever the rate, so that processes with different rates do not undo each other's choice.
    pub const fn layout(&self, now: u32, available: i64, rate: u64) -> u32 {
        if !self.is_on() {
            1
        } else if now > 1 {
            if available < self.merge_below() { 1 } else { now }
        } else if available >= self.min_stock && rate >= self.min_rate {
            if self.most < MAX_BUCKETS { self.most } else { MAX_BUCKETS }
        } else {
            1
        }
    }

    /// Well below what divides a cell, so that a few returns do not divide it again.
    pub const fn merge_below(&self) -> i64 {
        self.min_stock / 2
    }
}

/// Gets units into a bucket that has less than `need`: from the richest one, or by making all buckets one.
pub async fn fill(gate: &Gate, cell: &Arc<Cell>, bucket: u32, layout: u32, need: i64) -> Result<(), Failure> {
    let _one_at_a_time = cell.buckets().balancing.lock().await;
    if cell.buckets().layout() != layout {
        return Ok(());
    }
    let Some(levels) = level::of_buckets(&gate.shared, cell, layout).await? else {
        cell.invalidate();
        return Ok(());
    };
    let own = levels.get(bucket as usize).copied().unwrap_or(0);
    if own >= need {
        // Somebody filled it meanwhile.
        return Ok(());
    }
    let others = levels.iter().enumerate().filter(|(at, _)| *at != bucket as usize);
    let Some((richest, most)) = others.max_by_key(|(_, free)| **free) else { return Ok(()) };
    if levels.iter().sum::<i64>() < gate.shared.rule.merge_below() || own + most < need {
        return load::merge(&gate.shared, cell).await;
    }
    let units = (need - own).max((most - own) / 2);
    let from = u32::try_from(richest).unwrap_or(0);
    let (taken, number) = shift(&gate.shared, cell, from, layout, -units, 0).await?;
    if taken > 0 {
        shift(&gate.shared, cell, bucket, layout, taken, number).await?;
    }
    Ok(())
}

async fn shift(
    gate: &Shared,
    cell: &Cell,
    bucket: u32,
    layout: u32,
    units: i64,
    number: i64,
) -> Result<(i64, i64), Failure> {
    let mut call = gate.scripts.shift.call(1);
    call.arg(&cell.buckets().keys(bucket)[0]).arg(layout).arg(units).arg(number);
    Ok(gate.link.script(cell.lane, &gate.scripts.shift, &call).await?)
}

/// Divides cells that have become hot, until the gate is gone.
pub async fn watch(gate: Weak<Shared>, cells: Weak<Cells>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let (Some(gate), Some(cells)) = (gate.upgrade(), cells.upgrade()) else { return };
        for cell in cells.all() {
            let (rate, available) = cell.buckets().count();
            let layout = cell.buckets().layout();
            if gate.rule.layout(layout, available, rate) > layout
                && cell.is_loaded(gate.link.generation(cell.lane))
                && let Err(error) = load::divide(&gate, &cell).await
            {
                tracing::warn!(%error, "a cell was not divided");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { most: 8, min_stock: 1_000, min_rate: 50, is_cluster: true };

    #[test]
    fn only_large_hot_cells_of_a_cluster_are_divided() {
        assert_eq!(RULE.layout(1, 1_000, 50), 8);
        assert_eq!(RULE.layout(1, 999, 50_000), 1, "small");
        assert_eq!(RULE.layout(1, 1_000_000, 49), 1, "not hot");
        assert_eq!(Rule { is_cluster: false, ..RULE }.layout(1, 1_000_000, 50_000), 1, "one node");
        assert_eq!(Rule { most: 1, ..RULE }.layout(1, 1_000_000, 50_000), 1, "switched off");
    }

    #[test]
    fn what_is_divided_stays_so_until_little_is_left() {
        assert_eq!(RULE.layout(4, 500, 0), 4);
        assert_eq!(RULE.layout(4, 499, 50_000), 1);
    }
}
