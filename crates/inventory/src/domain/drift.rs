//! What the reconciler compares, as values: who says what of one number, and what follows from it. It repairs nothing.

use super::reservation::ReservationState;
use super::stock::{CellKey, Level};

/// The number that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Available units of a cell, at the gate.
    GateUnits,
    /// What the gate counts for one buyer.
    GateQuota,
    /// Units the gate has put aside for an id for longer than any request takes to the ledger.
    GateToken,
    /// A level's units on hand.
    OnHand,
    /// A level's held units.
    Held,
    /// A level's committed units.
    Committed,
    /// A level's units that may be promised beyond what is on hand.
    Backorder,
    /// What the ledger counts for one buyer.
    Quota,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::GateUnits,
        Self::GateQuota,
        Self::GateToken,
        Self::OnHand,
        Self::Held,
        Self::Committed,
        Self::Backorder,
        Self::Quota,
    ];

    /// The word in audit rows and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GateUnits => "GATE_UNITS",
            Self::GateQuota => "GATE_QUOTA",
            Self::GateToken => "GATE_TOKEN",
            Self::OnHand => "ON_HAND",
            Self::Held => "HELD",
            Self::Committed => "COMMITTED",
            Self::Backorder => "BACKORDER",
            Self::Quota => "QUOTA",
        }
    }

    /// The ledger disagrees with itself: no machine knows which side is right.
    #[must_use]
    pub const fn is_ledgers(self) -> bool {
        match self {
            Self::GateUnits | Self::GateQuota | Self::GateToken => false,
            Self::OnHand | Self::Held | Self::Committed | Self::Backorder | Self::Quota => true,
        }
    }
}

/// One number of one cell, and what each side says of it; none where a side has no say or was not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub cell: CellKey,
    pub kind: Kind,
    /// The buyer or the token it is about; empty for the cell itself.
    pub subject: String,
    pub gate: Option<i64>,
    pub ledger: Option<i64>,
    pub movements: Option<i64>,
    pub reservations: Option<i64>,
}

impl Difference {
    /// Units between the two sides that are furthest apart.
    #[must_use]
    pub fn units(&self) -> i64 {
        let said = [self.gate, self.ledger, self.movements, self.reservations];
        let said = said.into_iter().flatten();
        said.clone().max().unwrap_or(0).saturating_sub(said.min().unwrap_or(0))
    }
}

/// What was done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Nothing: the ledger's truth is a human's to mend.
    Reported,
    /// Nothing: this was a dry run.
    WouldRepair,
    /// The gate took the cell from the ledger.
    Reloaded,
    /// The gate took the buyer's units from the ledger.
    QuotaSet,
    /// The token's units are free again at the gate.
    GivenBack,
    /// The token was removed: the ledger has taken its units.
    Forgotten,
    /// The gate did not answer, or had moved on.
    NotRepaired,
}

impl Action {
    /// The word in audit rows and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "REPORTED",
            Self::WouldRepair => "WOULD_REPAIR",
            Self::Reloaded => "RELOADED",
            Self::QuotaSet => "QUOTA_SET",
            Self::GivenBack => "GIVEN_BACK",
            Self::Forgotten => "FORGOTTEN",
            Self::NotRepaired => "NOT_REPAIRED",
        }
    }
}

/// The numbers of a level as one side has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    pub on_hand: i64,
    pub held: i64,
    pub committed: i64,
    pub backorder: i64,
}

impl std::ops::Add for Sums {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            on_hand: self.on_hand + more.on_hand,
            held: self.held + more.held,
            committed: self.committed + more.committed,
            backorder: self.backorder + more.backorder,
        }
    }
}

/// Where a level is not what its movements add up to.
#[must_use]
pub fn against_movements(cell: &CellKey, level: &Level, movements: Sums) -> Vec<Difference> {
    let pairs = [
        (Kind::OnHand, level.on_hand, movements.on_hand),
        (Kind::Held, level.held, movements.held),
        (Kind::Committed, level.committed, movements.committed),
        (Kind::Backorder, level.backorder, movements.backorder),
    ];
    let differ = pairs.into_iter().filter(|(_, ledger, movements)| ledger != movements);
    differ
        .map(|(kind, ledger, movements)| Difference {
            ledger: Some(ledger),
            movements: Some(movements),
            ..nobody_says(cell, kind)
        })
        .collect()
}

/// Where a level is not what its reservations hold and have sold.
#[must_use]
pub fn against_reservations(cell: &CellKey, level: Sums, reservations: Sums) -> Vec<Difference> {
    let pairs = [
        (Kind::Held, level.held, reservations.held),
        (Kind::Committed, level.committed, reservations.committed),
    ];
    let differ = pairs.into_iter().filter(|(_, ledger, reservations)| ledger != reservations);
    differ
        .map(|(kind, ledger, reservations)| Difference {
            ledger: Some(ledger),
            reservations: Some(reservations),
            ..nobody_says(cell, kind)
        })
        .collect()
}

/// A difference nobody has said anything of yet.
#[must_use]
pub fn nobody_says(cell: &CellKey, kind: Kind) -> Difference {
    Difference {
        cell: cell.clone(),
        kind,
        subject: String::new(),
        gate: None,
        ledger: None,
        movements: None,
        reservations: None,
    }
}

/// One line of a reservation as a sweep meets it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub state: ReservationState,
    /// The movement that made it; 0 when that is not known, which was long ago.
    pub made_by: i64,
    /// The movement that ended it; 0 when it has not ended or that is not known.
    pub ended_by: i64,
    pub quantity: i64,
    pub returned: i64,
}

/// What reservations say of one level as it stood at its version, counted one by one while the shop goes on: a transaction
/// takes its movement numbers when it has its locks, so of two that touch one level every number of the earlier is lower.
/// Parts that came back or were given up since are missed, so a tally that does not agree is a suspicion, no verdict.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    version: i64,
    expected: Sums,
    counted: Sums,
}

impl Tally {
    /// `level` without the units of reservations that were pruned.
    #[must_use]
    pub fn new(version: i64, level: Sums) -> Self {
        Self { version, expected: level, counted: Sums::default() }
    }

    pub fn count(&mut self, seen: &Seen) {
        use ReservationState::{Committed, Expired, Pending, Released};
        if seen.made_by > self.version {
            return;
        }
        let ended = seen.ended_by <= self.version;
        match seen.state {
            Committed if ended => self.counted.committed += seen.quantity - seen.returned,
            Released | Expired if ended => {}
            Pending | Committed | Released | Expired => self.counted.held += seen.quantity,
        }
    }

    #[must_use]
    pub fn agrees(&self) -> bool {
        self.expected.held == self.counted.held && self.expected.committed == self.counted.committed
    }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
