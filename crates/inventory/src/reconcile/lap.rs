//! Once around the whole ledger, in steps of bounded work: levels against movements, reservations and quotas, and on the way
//! what the gate has of each cell. A verdict about the ledger is read at one instant, so the shop may go on meanwhile; it is
//! reported and never mended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::buyers::Buyers;
use super::report::Reporter;
use super::view::View;
use crate::domain::CellKey;
use crate::domain::drift::Action;
use crate::domain::drift::{
    Difference, Kind, Sums, Tally, against_movements, against_reservations, nobody_says,
};
use crate::gate::Cell;
use crate::inventory::Inventory;
use crate::store;
use crate::store::audit::Standing;

/// A movement is verified again once this many have followed it: a checkpoint is a write.
const CHECKPOINT_AFTER: i64 = 64;
/// Buyers of one cell that are named in one lap.
const MAX_BUYERS: i64 = 100;

/// How much one step may read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Cells of one page.
    pub cells: i64,
    /// Movements of one cell that are added up in one statement.
    pub movements: i64,
    /// Reservations of one page.
    pub reservations: i64,
    /// Cells whose reservations are counted in one sweep.
    pub section: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cells: 500, movements: 5_000, reservations: 5_000, section: 50_000 }
    }
}

/// What the steps of a lap work on.
pub struct Tools<'a> {
    pub inventory: &'a Inventory,
    pub conn: &'a mut PgConnection,
    pub reporter: &'a Reporter,
    pub view: &'a mut View,
    pub buyers: &'a mut Buyers,
}

/// A cell with more movements than one statement adds up: what has been added up so far.
#[derive(Debug)]
struct Recount {
    cell: CellKey,
    sequence: i64,
    sums: Sums,
    from_the_beginning: bool,
}

/// How far a lap has come.
#[derive(Debug)]
pub struct Lap {
    limits: Limits,
    from_the_beginning: bool,
    after: Option<CellKey>,
    all_cells: bool,
    recounts: VecDeque<Recount>,
    tallies: HashMap<CellKey, Tally>,
    swept: Option<Uuid>,
    /// Cells whose reservations do not add up, and cells whose quotas do not.
    suspects: Vec<(CellKey, Kind)>,
    /// Cells that were compared.
    pub cells: u64,
}

impl Lap {
    pub const fn is_from_the_beginning(&self) -> bool {
        self.from_the_beginning
    }

    /// `from_the_beginning` trusts no checkpoint.
    pub fn new(limits: Limits, from_the_beginning: bool) -> Self {
        Self {
            limits,
            from_the_beginning,
            after: None,
            all_cells: false,
            recounts: VecDeque::new(),
            tallies: HashMap::new(),
            swept: None,
            suspects: Vec::new(),
            cells: 0,
        }
    }

    /// Takes one step; false when there was none left.
    pub async fn step(&mut self, tools: &mut Tools<'_>) -> Result<bool, sqlx::Error> {
        if let Some(recount) = self.recounts.pop_front() {
            self.recount(tools, recount).await?;
        } else if !tools.buyers.is_idle() {
            tools.buyers.step(tools.inventory, tools.conn).await?;
        } else if !self.all_cells && self.swept.is_none() && self.tallies.len() < self.limits.section {
            self.page(tools).await?;
        } else if !self.tallies.is_empty() {
            self.sweep(tools).await?;
        } else if let Some((cell, kind)) = self.suspects.pop() {
            judge(tools, &cell, kind).await?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    async fn page(&mut self, tools: &mut Tools<'_>) -> Result<(), sqlx::Error> {
        let Limits { cells, movements, .. } = self.limits;
        let page =
            store::audit::page(tools.conn, self.after.as_ref(), cells, movements, self.from_the_beginning)
                .await?;
        let Some(last) = page.last() else {
            self.all_cells = true;
            return Ok(());
        };
        self.after = Some(last.cell.clone());
        self.cells += page.len() as u64;
        let mut verified = Vec::new();
        for standing in &page {
            self.check(tools, standing, &mut verified).await;
        }
        if !verified.is_empty() && !tools.reporter.dry_run {
            store::audit::verified(tools.conn, &verified).await?;
        }
        look_at_the_gate(tools, &page).await
    }

    /// Compares a level with its movements, and notes what its reservations should add up to.
    async fn check(
        &mut self,
        tools: &mut Tools<'_>,
        standing: &Standing,
        verified: &mut Vec<(CellKey, i64, Sums)>,
    ) {
        let Standing { cell, level, sequence, .. } = standing;
        let sums = standing.base + standing.moved;
        let from_the_beginning = self.from_the_beginning || standing.base_sequence == 0;
        let differences = against_movements(cell, level, sums);
        let recount = |sequence, sums, from_the_beginning| Recount {
            cell: cell.clone(),
            sequence,
            sums,
            from_the_beginning,
        };
        if standing.rows >= self.limits.movements {
            self.recounts.push_back(recount(*sequence, sums, from_the_beginning));
        } else if differences.is_empty() {
            if standing.rows >= CHECKPOINT_AFTER {
                verified.push((cell.clone(), *sequence, sums));
            }
        } else if from_the_beginning {
            report_all(tools, differences).await;
        } else {
            // The checkpoint may be what is wrong: only all movements together say so.
            self.recounts.push_back(recount(0, Sums::default(), true));
        }

        let promised = Sums {
            on_hand: level.on_hand,
            held: level.held,
            committed: level.committed - standing.settled,
            backorder: level.backorder,
        };
        self.tallies.insert(cell.clone(), Tally::new(level.version, promised));
        if standing.quotas.is_some_and(|used| used != level.held + level.committed) {
            self.suspects.push((cell.clone(), Kind::Quota));
        }
    }

    async fn recount(&mut self, tools: &mut Tools<'_>, recount: Recount) -> Result<(), sqlx::Error> {
        let Recount { cell, sequence, sums, from_the_beginning } = recount;
        let limit = self.limits.movements;
        let standing = store::audit::standing(tools.conn, &cell, sequence, sums, limit).await?;
        let Some(standing) = standing else { return Ok(()) };
        let sums = standing.base + standing.moved;
        let sequence = standing.sequence;
        let again = |sequence, sums, from_the_beginning| Recount {
            cell: cell.clone(),
            sequence,
            sums,
            from_the_beginning,
        };
        if standing.rows >= limit {
            self.recounts.push_front(again(sequence, sums, from_the_beginning));
            return Ok(());
        }
        let differences = against_movements(&cell, &standing.level, sums);
        if differences.is_empty() {
            if !tools.reporter.dry_run {
                store::audit::verified(tools.conn, &[(cell.clone(), sequence, sums)]).await?;
            }
        } else if from_the_beginning {
            // Between two pages the pruner may have folded what was added up: only all movements at one instant accuse.
            let whole = store::audit::standing(tools.conn, &cell, 0, Sums::default(), i64::MAX).await?;
            let differences =
                whole.map(|whole| against_movements(&cell, &whole.level, whole.base + whole.moved));
            report_all(tools, differences.unwrap_or_default()).await;
        } else {
            self.recounts.push_front(again(0, Sums::default(), true));
        }
        Ok(())
    }

    /// Counts a page of reservations; at the end of them all, what does not add up is judged.
    async fn sweep(&mut self, tools: &mut Tools<'_>) -> Result<(), sqlx::Error> {
        let after = self.swept.unwrap_or(Uuid::nil());
        if let Some((last, lines)) = store::audit::sweep(tools.conn, after, self.limits.reservations).await? {
            self.swept = Some(last);
            for (cell, seen) in &lines {
                if let Some(tally) = self.tallies.get_mut(cell) {
                    tally.count(seen);
                }
            }
            return Ok(());
        }
        let wrong = self.tallies.drain().filter(|(_, tally)| !tally.agrees());
        self.suspects.extend(wrong.map(|(cell, _)| (cell, Kind::Held)));
        self.swept = None;
        Ok(())
    }
}

/// A suspicion becomes a report or nothing.
async fn judge(tools: &mut Tools<'_>, cell: &CellKey, kind: Kind) -> Result<(), sqlx::Error> {
    if kind == Kind::Quota {
        let wrong = store::audit::wrong_quotas(tools.conn, cell, MAX_BUYERS).await?;
        let differences = wrong.into_iter().map(|(subject, used, units)| Difference {
            subject,
            ledger: Some(used),
            reservations: Some(units),
            ..nobody_says(cell, Kind::Quota)
        });
        report_all(tools, differences.collect()).await;
    } else if let Some((level, reservations)) = store::audit::verdict(tools.conn, cell).await? {
        report_all(tools, against_reservations(cell, level, reservations)).await;
    }
    Ok(())
}

async fn report_all(tools: &mut Tools<'_>, differences: Vec<Difference>) {
    for difference in differences {
        tools.reporter.report(tools.inventory, difference, Action::Reported).await;
    }
}

/// Every cell is looked at, not only those this process has loaded: who loaded one may have died.
async fn look_at_the_gate(tools: &mut Tools<'_>, page: &[Standing]) -> Result<(), sqlx::Error> {
    let gate = &tools.inventory.gate;
    let cells: Vec<Arc<Cell>> = page.iter().map(|standing| gate.peek(&standing.cell)).collect();
    let Some(levels) = gate.levels(&cells).await else { return Ok(()) };
    let has_limit = page.iter().map(|standing| standing.quotas.is_some());
    let loaded: Vec<_> =
        cells.iter().zip(has_limit).zip(levels).filter_map(|(cell, level)| level.map(|_| cell)).collect();
    for (cell, has_limit) in &loaded {
        tools.buyers.enqueue(Arc::clone(cell), *has_limit);
    }
    let loaded: Vec<_> = loaded.into_iter().map(|(cell, _)| Arc::clone(cell)).collect();
    tools.view.visit(tools.inventory, tools.reporter, &loaded).await
}
