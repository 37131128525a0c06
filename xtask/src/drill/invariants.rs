//! What must be true when a drill is over, whatever was hurt. Pure: what the buyers were told and what the stores say go in,
//! every broken promise comes out by name.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::books::{Books, Level, Row, Sides, State};
use super::told::{Fate, Purchase, Told};

/// Everything a drill saw.
#[derive(Debug)]
pub struct Seen {
    pub told: Told,
    /// Gate and ledger after the load has settled, before the closing sale.
    pub settled: Vec<Sides>,
    /// And when everything was over.
    pub at_last: Vec<Sides>,
    pub books: Books,
    /// Somebody bought after healing.
    pub reopened: bool,
    /// The drill ended a process that buyers were connected to: connections may break.
    pub connections_may_break: bool,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    Oversold { sku: usize, units: i64 },
    Unsold { sku: usize, units: i64 },
    Drift { sku: usize, gate: i64, ledger: i64 },
    GateAway { sku: usize },
    NeverReopened,
    AcceptedMissing { id: Uuid },
    AcceptedTwice { id: Uuid },
    AcceptedOtherwise { id: Uuid },
    RefusedTaken { id: Uuid },
    ReturnedTaken { id: Uuid },
    Stranger { id: Uuid },
    NeverKnown { id: Uuid },
    Changed { id: Uuid },
    BuyerOverLimit { sku: usize, buyer: String, units: i64, limit: i64 },
    LevelsAndMovements { sku: usize, level: Level, moved: Level },
    LevelsAndReservations { sku: usize, level: Level, held: i64, committed: i64 },
    QuotaAndReservations { sku: usize, buyer: String, used: i64, reserved: i64 },
    Unclear { answer: String, times: u64 },
    ConnectionsLost { times: u64 },
}

/// The promises by name, in the order they are reported in.
pub const CHECKS: [&str; 13] = [
    "never_oversold",
    "everything_sold",
    "gate_equals_ledger",
    "gate_came_back",
    "sale_reopened",
    "accepted_once",
    "refused_holds_nothing",
    "every_answer_known",
    "repeats_answered_alike",
    "buyers_within_limit",
    "levels_equal_movements",
    "levels_equal_reservations",
    "refusals_clear",
];

impl Violation {
    /// The promise it breaks: one of [`CHECKS`].
    pub fn check(&self) -> &'static str {
        match self {
            Self::Oversold { .. } => "never_oversold",
            Self::Unsold { .. } => "everything_sold",
            Self::Drift { .. } => "gate_equals_ledger",
            Self::GateAway { .. } => "gate_came_back",
            Self::NeverReopened => "sale_reopened",
            Self::AcceptedMissing { .. } | Self::AcceptedTwice { .. } | Self::AcceptedOtherwise { .. } => {
                "accepted_once"
            }
            Self::RefusedTaken { .. } | Self::ReturnedTaken { .. } | Self::Stranger { .. } => {
                "refused_holds_nothing"
            }
            Self::NeverKnown { .. } => "every_answer_known",
            Self::Changed { .. } => "repeats_answered_alike",
            Self::BuyerOverLimit { .. } => "buyers_within_limit",
            Self::LevelsAndMovements { .. } => "levels_equal_movements",
            Self::LevelsAndReservations { .. } | Self::QuotaAndReservations { .. } => {
                "levels_equal_reservations"
            }
            Self::Unclear { .. } | Self::ConnectionsLost { .. } => "refusals_clear",
        }
    }
}

impl Violation {
    /// The purchase it is about.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::AcceptedMissing { id }
            | Self::AcceptedTwice { id }
            | Self::AcceptedOtherwise { id }
            | Self::RefusedTaken { id }
            | Self::ReturnedTaken { id }
            | Self::Stranger { id }
            | Self::NeverKnown { id }
            | Self::Changed { id } => Some(*id),
            Self::Oversold { .. }
            | Self::Unsold { .. }
            | Self::Drift { .. }
            | Self::GateAway { .. }
            | Self::NeverReopened
            | Self::BuyerOverLimit { .. }
            | Self::LevelsAndMovements { .. }
            | Self::LevelsAndReservations { .. }
            | Self::QuotaAndReservations { .. }
            | Self::Unclear { .. }
            | Self::ConnectionsLost { .. } => None,
        }
    }
}

impl Books {
    /// Units sold or held beyond what was put on sale, by whichever account says most.
    pub fn oversold(&self, sku: usize) -> i64 {
        let cell = &self.cells[sku];
        let reserved: i64 = self.rows.iter().filter(|row| row.sku == sku).map(Row::taken).sum();
        let gone = [cell.level, cell.moved].map(|level| level.held + level.committed);
        (gone[0].max(gone[1]).max(reserved) - cell.on_sale).max(0)
    }

    /// Units nobody could buy although somebody asked until the end.
    pub fn unsold(&self, sku: usize) -> i64 {
        self.cells[sku].level.free().max(0)
    }
}

impl Sides {
    /// Units by which gate and ledger differ.
    pub fn drift(&self) -> i64 {
        self.gate.map_or(0, |gate| (gate - self.ledger.free()).abs())
    }
}

/// Every broken promise.
pub fn violations(seen: &Seen) -> Vec<Violation> {
    let mut found = Vec::new();
    of_stock(seen, &mut found);
    of_purchases(&seen.told, &seen.books, &mut found);
    of_buyers(&seen.books, &mut found);
    of_answers(seen, &mut found);
    found
}

fn of_stock(seen: &Seen, found: &mut Vec<Violation>) {
    for (sku, cell) in seen.books.cells.iter().enumerate() {
        let (oversold, unsold) = (seen.books.oversold(sku), seen.books.unsold(sku));
        if oversold > 0 {
            found.push(Violation::Oversold { sku, units: oversold });
        }
        if unsold > 0 {
            found.push(Violation::Unsold { sku, units: unsold });
        }
        if cell.level != cell.moved {
            found.push(Violation::LevelsAndMovements { sku, level: cell.level, moved: cell.moved });
        }
        let sum = |state: State| -> i64 {
            seen.books.rows.iter().filter(|row| row.sku == sku && row.state == state).map(Row::taken).sum()
        };
        let (held, committed) = (sum(State::Pending), sum(State::Committed));
        if (cell.level.held, cell.level.committed) != (held, committed) {
            found.push(Violation::LevelsAndReservations { sku, level: cell.level, held, committed });
        }
    }
    for (sku, sides) in seen.settled.iter().enumerate().chain(seen.at_last.iter().enumerate()) {
        match sides.gate {
            None => found.push(Violation::GateAway { sku }),
            Some(gate) if gate != sides.ledger.free() => {
                found.push(Violation::Drift { sku, gate, ledger: sides.ledger.free() });
            }
            Some(_) => {}
        }
    }
}

fn of_purchases(told: &Told, books: &Books, found: &mut Vec<Violation>) {
    let mut ledger: HashMap<Uuid, Vec<&Row>> = HashMap::new();
    for row in &books.rows {
        ledger.entry(row.id).or_default().push(row);
    }
    for purchase in &told.purchases {
        let rows = ledger.remove(&purchase.id).unwrap_or_default();
        found.extend(of_purchase(purchase, &rows));
    }
    let strangers = ledger.into_iter().filter(|(_, rows)| rows.iter().any(|row| row.taken() > 0));
    found.extend(strangers.map(|(id, _)| Violation::Stranger { id }));
}

fn of_purchase(purchase: &Purchase, rows: &[&Row]) -> Option<Violation> {
    let id = purchase.id;
    let takes = rows.iter().any(|row| row.taken() > 0);
    if purchase.taken && rows.is_empty() {
        return Some(Violation::AcceptedMissing { id });
    }
    match purchase.fate {
        Fate::Sold => {
            if rows.len() > purchase.lines.len() {
                return Some(Violation::AcceptedTwice { id });
            }
            let as_asked = |row: &&Row| {
                let asked = purchase.lines.iter().find(|line| line.sku == row.sku).map(|line| line.units);
                row.state == State::Committed && row.buyer == purchase.buyer && asked == Some(row.taken())
            };
            let alike = rows.len() == purchase.lines.len() && rows.iter().all(as_asked);
            (!alike).then_some(Violation::AcceptedOtherwise { id })
        }
        Fate::Returned => takes.then_some(Violation::ReturnedTaken { id }),
        Fate::Refused => takes.then_some(Violation::RefusedTaken { id }),
        Fate::Unknown => Some(Violation::NeverKnown { id }),
    }
}

fn of_buyers(books: &Books, found: &mut Vec<Violation>) {
    let mut bought: BTreeMap<(usize, &str), i64> = BTreeMap::new();
    for row in &books.rows {
        *bought.entry((row.sku, &row.buyer)).or_default() += row.taken();
    }
    let quotas: BTreeMap<(usize, &str), i64> =
        books.quotas.iter().map(|(sku, buyer, used)| ((*sku, buyer.as_str()), *used)).collect();
    for (&(sku, buyer), &units) in &bought {
        let limit = books.cells[sku].per_buyer_limit;
        if units > limit {
            found.push(Violation::BuyerOverLimit { sku, buyer: buyer.to_owned(), units, limit });
        }
    }
    let everybody = bought.keys().chain(quotas.keys()).collect::<std::collections::BTreeSet<_>>();
    for &(sku, buyer) in everybody {
        let (used, reserved) = (quotas.get(&(sku, buyer)), bought.get(&(sku, buyer)));
        let (used, reserved) = (used.copied().unwrap_or(0), reserved.copied().unwrap_or(0));
        if used != reserved {
            found.push(Violation::QuotaAndReservations { sku, buyer: buyer.to_owned(), used, reserved });
        }
    }
}

fn of_answers(seen: &Seen, found: &mut Vec<Violation>) {
    if !seen.reopened {
        found.push(Violation::NeverReopened);
    }
    found.extend(seen.told.changed.iter().map(|id| Violation::Changed { id: *id }));
    let unclear = seen.told.unclear.iter();
    found.extend(unclear.map(|(answer, times)| Violation::Unclear { answer: answer.clone(), times: *times }));
    if seen.told.lost > 0 && !seen.connections_may_break {
        found.push(Violation::ConnectionsLost { times: seen.told.lost });
    }
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
