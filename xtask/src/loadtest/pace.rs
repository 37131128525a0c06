//! When each request is due and what it was like. Open loop: a request is due at its own time whether or not the ones
//! before it have been answered, and its latency counts from when it was due (no coordinated omission).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Longest latency told apart from others; slower ones count as this.
const LONGEST_US: u64 = 60_000_000;

/// Hands out requests in order, each with the time it is due.
pub struct Pace {
    began: Instant,
    rate_per_s: u64,
    total: u64,
    until: Instant,
    next: AtomicU64,
}

/// One request to send: its number and when it is due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub number: u64,
    pub at: Instant,
}

impl Pace {
    /// `rate_per_s` 0 means as fast as the connections take it; then a request is due when it is picked up.
    pub fn new(rate_per_s: u64, duration: Duration) -> Self {
        let began = Instant::now() + Duration::from_millis(50);
        let total = if rate_per_s == 0 { u64::MAX } else { rate_per_s * duration.as_millis() as u64 / 1_000 };
        Self { began, rate_per_s, total, until: began + duration, next: AtomicU64::new(0) }
    }

    /// The next request, or nothing when the run is over.
    pub fn next(&self) -> Option<Due> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if number >= self.total || (self.rate_per_s == 0 && now >= self.until) {
            return None;
        }
        let at = match self.rate_per_s {
            0 => now.max(self.began),
            rate => {
                self.began
                    + Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(rate)) as u64)
            }
        };
        Some(Due { number, at })
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

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
    use super::*;

    #[tokio::test]
    async fn requests_are_due_at_the_rate_and_stop_at_the_end() {
        let pace = Pace::new(1_000, Duration::from_millis(10));
        let due: Vec<Due> = std::iter::from_fn(|| pace.next()).collect();
        assert_eq!(due.len(), 10);
        assert_eq!(due[9].at - due[0].at, Duration::from_millis(9));
    }

    #[tokio::test(start_paused = true)]
    async fn latency_counts_from_when_a_request_was_due() {
        let due = Due { number: 0, at: Instant::now() };
        tokio::time::advance(Duration::from_millis(250)).await;
        let mut tally = Tally::new();
        tally.record(due, Outcome::Refused("OUT_OF_STOCK".into()));
        assert!((249.0..252.0).contains(&tally.latency_ms(0.5)), "{}", tally.latency_ms(0.5));
        assert_eq!(tally.refused_with("OUT_OF_STOCK"), 1);
    }
}
