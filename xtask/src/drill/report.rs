//! What a drill says of itself: one table for people, one JSON object for machines.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::faults::Name;
use super::invariants::{CHECKS, Seen, Violation, violations};
use super::sale::SKUS;
use crate::terminal::say;

/// Violations of one promise that are written out; the rest is counted.
const WRITTEN_OUT: usize = 5;

/// One drill. Field names are the interface: scripts read them.
#[derive(Debug, Serialize)]
pub struct Report {
    pub name: &'static str,
    pub passed: bool,
    pub oversold: i64,
    pub unsold_after_recovery: i64,
    /// Units by which gate and ledger differed when both had settled, before the closing sale and after it.
    pub drift: i64,
    pub errors_by_reason: BTreeMap<String, u64>,
    pub seconds_to_reopen: Option<f64>,
    pub longest_pause_s: f64,
    /// From the end of the load until gate and ledger agreed.
    pub seconds_to_settle: f64,
    /// And whether they did so before anybody asked for anything.
    pub settled_by_itself: bool,
    /// Holds and deductions that were answered with yes.
    pub accepted: u64,
    pub units_on_sale: i64,
    pub units_sold: i64,
    /// Sold-out answers for a SKU that never ran out under the load.
    pub false_sold_out: u64,
    /// Every promise, and whether it held.
    pub checks: BTreeMap<&'static str, bool>,
    /// Every broken promise, as a sentence. Empty is what passes.
    pub violations: Vec<String>,
}

impl Report {
    pub fn new(name: Name, seen: &Seen, settled_in: Duration, by_itself: bool) -> Report {
        let found = violations(seen);
        let mut broken: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for violation in &found {
            broken.entry(violation.check()).or_default().push(sentence(violation, seen));
        }
        let checks = CHECKS.map(|check| (check, !broken.contains_key(check)));
        let skus = 0..SKUS.len();
        let cells = &seen.books.cells;
        Report {
            name: name.word(),
            passed: found.is_empty(),
            oversold: skus.clone().map(|sku| seen.books.oversold(sku)).sum(),
            unsold_after_recovery: skus.map(|sku| seen.books.unsold(sku)).sum(),
            drift: seen.settled.iter().chain(&seen.at_last).map(super::books::Sides::drift).sum(),
            errors_by_reason: seen.told.errors.clone(),
            seconds_to_reopen: seen.told.times.to_reopen().map(|time| time.as_secs_f64()),
            longest_pause_s: seen.told.times.longest_pause().as_secs_f64(),
            seconds_to_settle: settled_in.as_secs_f64(),
            settled_by_itself: by_itself,
            accepted: seen.told.times.accepted,
            units_on_sale: cells.iter().map(|cell| cell.on_sale).sum(),
            units_sold: cells.iter().map(|cell| cell.level.committed).sum(),
            false_sold_out: seen.told.false_sold_out,
            checks: checks.into(),
            violations: broken
                .into_iter()
                .flat_map(|(check, sentences)| shortened(check, sentences))
                .collect(),
        }
    }

    pub fn print(&self) {
        let reopened =
            self.seconds_to_reopen.map_or("never".to_owned(), |seconds| format!("after {seconds:.2} s"));
        say(format!("{}: {}", self.name, if self.passed { "every promise held" } else { "BROKEN" }));
        say(format!("  oversold               {}", self.oversold));
        say(format!("  unsold_after_recovery  {}", self.unsold_after_recovery));
        let how = if self.settled_by_itself { "by itself" } else { "when somebody asked" };
        say(format!(
            "  drift                  {}, settled {how} in {:.1} s",
            self.drift, self.seconds_to_settle
        ));
        say(format!("  seconds_to_reopen      {reopened}, longest pause {:.2} s", self.longest_pause_s));
        say(format!(
            "  accepted               {}; {} of {} units sold, {} told wrongly that they were",
            self.accepted, self.units_sold, self.units_on_sale, self.false_sold_out
        ));
        for (reason, times) in &self.errors_by_reason {
            say(format!("  {reason:<22} {times}"));
        }
        for violation in &self.violations {
            say(format!("  BROKEN  {violation}"));
        }
    }
}

/// The violation, with everything the buyer asked and was told.
fn sentence(violation: &Violation, seen: &Seen) -> String {
    let purchase = violation.id().and_then(|id| seen.told.purchases.iter().find(|p| p.id == id));
    purchase.map_or_else(|| format!("{violation:?}"), |purchase| format!("{violation:?}: {purchase:?}"))
}

fn shortened(check: &str, sentences: Vec<String>) -> Vec<String> {
    let more = sentences.len().saturating_sub(WRITTEN_OUT);
    let mut said: Vec<String> =
        sentences.into_iter().take(WRITTEN_OUT).map(|sentence| format!("{check}: {sentence}")).collect();
    if more > 0 {
        said.push(format!("{check}: {more} more like these"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_violations_of_one_promise_a_few_are_written_out_and_the_rest_counted() {
        let said = shortened("accepted_once", (0..7).map(|n| n.to_string()).collect());
        assert_eq!(said.len(), WRITTEN_OUT + 1);
        assert_eq!(said[WRITTEN_OUT], "accepted_once: 2 more like these");
    }
}
