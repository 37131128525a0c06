//! Counting buyers' units before deciding. Where a limit counts each buyer, a batch that can be granted whole, which is nearly every
//! one behind the gate, counts all its units with one statement that refuses what is above a limit, and reads nothing. It only
//! looks: what cannot be granted whole is decided one by one, by what the rows say.

use std::collections::{HashMap, HashSet};

use stampede_types::{BuyerId, ReservationId};
use time::OffsetDateTime;

use crate::domain::campaign::CampaignState;
use crate::domain::{Account, CellKey, Demand, QuotaChange, Reservation};

/// What new demands ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How many they are: an id counts once.
    pub demands: usize,
    /// What each buyer asks for of each cell with a limit.
    pub more: Vec<QuotaChange>,
}

/// What the new ones among these ask for, or nothing when not all of it can be granted: a window is closed, units are too
/// few, one asks for more than the limit alone.
pub fn wanted(
    demands: &[Demand],
    known: &[Reservation],
    accounts: &HashMap<CellKey, Account>,
    now: OffsetDateTime,
) -> Option<Wanted> {
    let mut seen: HashSet<ReservationId> = known.iter().map(|reservation| reservation.id).collect();
    let mut units: HashMap<&CellKey, i64> = HashMap::new();
    let mut more: HashMap<(&CellKey, &BuyerId), QuotaChange> = HashMap::new();
    let mut counted = 0;
    for demand in demands.iter().filter(|demand| seen.insert(demand.id)) {
        counted += 1;
        for line in demand.lines() {
            *units.entry(&line.cell).or_default() += line.quantity;
            let Some(limit) = accounts.get(&line.cell)?.terms.per_buyer_limit else { continue };
            let none =
                || QuotaChange { cell: line.cell.clone(), buyer: demand.buyer.clone(), used: 0, limit };
            more.entry((&line.cell, &demand.buyer)).or_insert_with(none).used += line.quantity;
        }
    }
    let is_there = |(cell, units): (&&CellKey, &i64)| {
        accounts.get(cell).is_some_and(|account| {
            let window = account.terms.window;
            let is_open = window.is_none_or(|window| window.state(now) == CampaignState::Open);
            is_open && *units <= account.level.available()
        })
    };
    let can_be = units.iter().all(is_there) && more.values().all(|change| change.used <= change.limit);
    can_be.then(|| Wanted { demands: counted, more: more.into_values().collect() })
}

#[cfg(test)]
mod tests {
    use stampede_types::Pool;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Level, Line, Terms};

    fn cell() -> CellKey {
        CellKey { pool: Pool::Shelf, sku: "tee".parse().unwrap() }
    }

    fn demand(id: u128, buyer: &str, quantity: i64) -> Demand {
        let lines = vec![Line { cell: cell(), quantity }];
        Demand::new(ReservationId::new(Uuid::from_u128(id)), buyer.parse().unwrap(), None, lines)
    }

    fn accounts(available: i64, limit: Option<i64>) -> HashMap<CellKey, Account> {
        let level = Level { on_hand: available, held: 0, committed: 0, backorder: 0, version: 1 };
        let account = Account { level, terms: Terms { per_buyer_limit: limit, window: None } };
        HashMap::from([(cell(), account)])
    }

    fn used(demands: &[Demand], accounts: &HashMap<CellKey, Account>) -> Option<Vec<i64>> {
        let mut used: Vec<i64> = wanted(demands, &[], accounts, OffsetDateTime::UNIX_EPOCH)?
            .more
            .into_iter()
            .map(|change| change.used)
            .collect();
        used.sort_unstable();
        Some(used)
    }

    #[test]
    fn a_buyers_units_are_summed_and_a_repeated_id_counts_once() {
        let demands =
            [demand(1, "alice", 1), demand(2, "alice", 2), demand(1, "alice", 1), demand(3, "bob", 1)];
        assert_eq!(used(&demands, &accounts(4, Some(3))), Some(vec![1, 3]));
        assert_eq!(used(&demands, &accounts(4, Some(2))), None, "alice alone is above the limit");
        assert_eq!(used(&demands, &accounts(3, Some(3))), None, "not all of it is there");
        assert_eq!(used(&demands, &accounts(4, None)), Some(vec![]), "nobody counts");
    }
}
