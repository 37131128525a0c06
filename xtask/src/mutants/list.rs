//! The mutations: each takes one guard out of the ledger or of the gate's scripts, and names the tests of inventory that have to
//! notice. One that no test notices is a guard that nothing holds.

/// One guard, changed.
#[derive(Debug)]
pub struct Mutation {
    /// What is no longer true.
    pub name: &'static str,
    pub file: &'static str,
    /// Occurs once in the file.
    pub old: &'static str,
    pub new: &'static str,
    /// Tests of inventory that run, as nextest filters them.
    pub tests: &'static str,
}

const BOOKS: &str = "crates/inventory/src/domain/books.rs";
const RESERVATION: &str = "crates/inventory/src/domain/reservation.rs";
const STORED: &str = "crates/inventory/src/store/reservations.rs";
const SCHEMA: &str = "migrations/inventory/0003_ledger.sql";
const BATCHES: &str = "migrations/inventory/0004_batches.sql";
const ADMIT: &str = "crates/inventory/src/gate/admit.lua";
const SETTLE: &str = "crates/inventory/src/gate/settle.lua";

const SALES: &str = "test(books) | test(reserve::) | test(deduct::)";
const ENDINGS: &str = "test(reservation::) | test(books) | test(resolve::)";
const CHECKS: &str = "test(checks)";
const SCRIPTS: &str = "test(gate_scripts) | test(gate::)";

pub const ALL: [Mutation; 18] = [
    Mutation {
        name: "the ledger sells one more than there is",
        file: BOOKS,
        old: "if line.quantity > level.available() {",
        new: "if line.quantity > level.available() + 1 {",
        tests: SALES,
    },
    Mutation {
        name: "the ledger sells nothing that is the last",
        file: BOOKS,
        old: "if line.quantity > level.available() {",
        new: "if line.quantity >= level.available() {",
        tests: SALES,
    },
    Mutation {
        name: "a buyer may have one more than the limit",
        file: BOOKS,
        old: "if used + line.quantity > limit {",
        new: "if used + line.quantity > limit + 1 {",
        tests: SALES,
    },
    Mutation {
        name: "a campaign that has closed sells on",
        file: BOOKS,
        old: "Some(CampaignState::Closed) => return Err(Denied::Closed { cell: cell() }),",
        new: "Some(CampaignState::Closed) => {}",
        tests: "test(books) | test(reserve::) | test(close) | test(gate::without_redis)",
    },
    Mutation {
        name: "a hold may be committed in the instant it expires",
        file: RESERVATION,
        old: "expiry <= now",
        new: "expiry < now",
        tests: ENDINGS,
    },
    Mutation {
        name: "a hold that has expired may be committed until it is swept",
        file: RESERVATION,
        old: "ReservationState::Pending if past => ReservationState::Expired,",
        new: "ReservationState::Pending if past => ReservationState::Pending,",
        tests: ENDINGS,
    },
    Mutation {
        name: "a release of what is sold frees it",
        file: RESERVATION,
        old: "(Resolution::Release, Committed) => Resolved::Lost(Committed),",
        new: "(Resolution::Release, Committed) => Resolved::Now(Released),",
        tests: ENDINGS,
    },
    Mutation {
        name: "what has ended may be ended again by a writer without the lock",
        file: STORED,
        old: "WHERE r.reservation_id = e.reservation_id AND r.resolved_at IS NULL\n           AND",
        new: "WHERE r.reservation_id = e.reservation_id\n           AND",
        tests: "test(predicate)",
    },
    Mutation {
        name: "the ledger writes a commit of what has expired",
        file: STORED,
        old: "AND (r.expires_at > $4) = (e.state <> 'EXPIRED')\"",
        new: "AND (r.expires_at > $4) IS NOT NULL\"",
        tests: "test(predicate)",
    },
    Mutation {
        name: "no CHECK against overselling",
        file: BATCHES,
        old: "CHECK (held + committed <= on_hand + backorder)",
        new: "CHECK (held + committed <= on_hand + backorder + 1000)",
        tests: CHECKS,
    },
    Mutation {
        name: "no CHECK against held units below zero",
        file: SCHEMA,
        old: "CHECK (held >= 0)",
        new: "CHECK (held >= -1000)",
        tests: CHECKS,
    },
    Mutation {
        name: "no CHECK of the buyer's limit",
        file: SCHEMA,
        old: "CHECK (used <= max)",
        new: "CHECK (used <= max + 1000)",
        tests: CHECKS,
    },
    Mutation {
        name: "no CHECK that what is pending has not ended",
        file: SCHEMA,
        old: "CHECK ((state = 'PENDING') = (resolved_at IS NULL))",
        new: "CHECK ((state = 'PENDING') = (resolved_at IS NULL) OR true)",
        tests: CHECKS,
    },
    Mutation {
        name: "no CHECK that nothing comes back twice",
        file: BATCHES,
        old: "CHECK (returned IS NULL OR each_at_most(returned, coalesce(quantities, asked)))",
        new: "CHECK (returned IS NULL OR cardinality(returned) > 0)",
        tests: CHECKS,
    },
    Mutation {
        name: "the gate admits one more than there is",
        file: ADMIT,
        old: "if quantity > cell.free then return SOLD_OUT, cell end",
        new: "if quantity > cell.free + 1 then return SOLD_OUT, cell end",
        tests: SCRIPTS,
    },
    Mutation {
        name: "the gate forgets the buyer's limit",
        file: ADMIT,
        old: "if cell.limit > 0 and cell.used[buyer] + quantity > cell.limit then",
        new: "if cell.limit > 0 and cell.used[buyer] > cell.limit then",
        tests: SCRIPTS,
    },
    Mutation {
        name: "the gate sells after closing",
        file: ADMIT,
        old: "if now_ms >= cell.closes_ms then return CLOSED, cell end",
        new: "if now_ms > cell.closes_ms then return CLOSED, cell end",
        tests: SCRIPTS,
    },
    Mutation {
        name: "the gate gives units back that were not put aside",
        file: SETTLE,
        old: "elseif (what == 'refused' or what == 'over') and held then",
        new: "elseif what == 'refused' or what == 'over' then held = held or (units .. ':0:' .. buyer)",
        tests: SCRIPTS,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home;

    #[test]
    fn every_mutation_still_applies_to_exactly_one_place() {
        for mutation in &ALL {
            let text = std::fs::read_to_string(home::root().join(mutation.file)).unwrap();
            assert_eq!(text.matches(mutation.old).count(), 1, "{}: {}", mutation.file, mutation.name);
            assert_ne!(mutation.old, mutation.new);
        }
    }

    #[test]
    fn every_mutation_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|mutation| mutation.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
