//! What became of each request, refusals by their reason. It never decides when one is due.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::generator::pace::Due;

/// Longest latency told apart from others; slower ones count as this.
const LONGEST_US: u64 = 60_000_000;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// Refused, with the reason word of the contract.
    Refused(String),
    /// No answer, or one that says nothing of the contract's.
    Broken(String),
}

/// What one connection, or all of them together, have seen.
pub struct Tally {
    pub offered: u64,
    pub accepted: u64,
    pub refused: BTreeMap<String, u64>,
    pub broken: BTreeMap<String, u64>,
    latency_us: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3)
            .expect("1 us to 60 s with 3 digits is a valid histogram");
        Self { offered: 0, accepted: 0, refused: BTreeMap::new(), broken: BTreeMap::new(), latency_us }
    }

    pub fn record(&mut self, due: Due, outcome: Outcome) {
        self.offered += 1;
        let micros = u64::try_from(due.at.elapsed().as_micros()).unwrap_or(LONGEST_US);
        self.latency_us.saturating_record(micros.max(1));
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused(reason) => *self.refused.entry(reason).or_default() += 1,
            Outcome::Broken(how) => *self.broken.entry(how).or_default() += 1,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.accepted += other.accepted;
        for (mine, theirs) in [(&mut self.refused, &other.refused), (&mut self.broken, &other.broken)] {
            for (reason, count) in theirs {
                *mine.entry(reason.clone()).or_default() += count;
            }
        }
        self.latency_us.add(&other.latency_us).expect("both histograms have the same bounds");
    }

    pub fn refused_with(&self, reason: &str) -> u64 {
        self.refused.get(reason).copied().unwrap_or(0)
    }

    /// The latency below which `quantile` of all requests lie, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let at = Instant::now().checked_sub(Duration::from_millis(250)).unwrap();
        let mut tally = Tally::new();
        tally.record(Due { number: 0, at }, Outcome::Refused("OUT_OF_STOCK".into()));
        assert!(tally.latency_ms(0.5) >= 249.0, "{}", tally.latency_ms(0.5));
        assert_eq!(tally.refused_with("OUT_OF_STOCK"), 1);
    }
}
