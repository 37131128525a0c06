//! What the load has seen: answers by gRPC status, latencies, and counters that are read while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

/// gRPC has so many statuses.
pub const STATUSES: usize = 17;
/// Longest latency told apart from others; slower ones count as this.
const LONGEST_US: u64 = 60_000_000;

/// Shared by all connections and whoever measures them.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers by gRPC status.
    by_status: [AtomicU64; STATUSES],
    broken: AtomicU64,
    /// No more requests.
    pub stop: AtomicBool,
    /// Latencies count.
    pub measuring: AtomicBool,
}

/// Answers so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub by_status: [u64; STATUSES],
    pub broken: u64,
}

impl Count {
    pub fn accepted(&self) -> u64 {
        self.by_status[0]
    }

    pub fn refused(&self) -> u64 {
        self.by_status[1..].iter().sum()
    }

    pub fn answered(&self) -> u64 {
        self.accepted() + self.refused() + self.broken
    }

    pub fn since(&self, earlier: &Count) -> Count {
        Count {
            by_status: std::array::from_fn(|status| self.by_status[status] - earlier.by_status[status]),
            broken: self.broken - earlier.broken,
        }
    }
}

impl Counters {
    /// Adds what a connection has not told yet.
    pub fn publish(&self, tally: &mut Tally) {
        let told = std::mem::take(&mut tally.untold);
        for (sum, count) in self.by_status.iter().zip(told.by_status) {
            if count > 0 {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        }
        if told.broken > 0 {
            self.broken.fetch_add(told.broken, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> Count {
        Count {
            by_status: std::array::from_fn(|status| self.by_status[status].load(Ordering::Relaxed)),
            broken: self.broken.load(Ordering::Relaxed),
        }
    }
}

/// What one connection, or all of them together, have seen.
#[derive(Debug)]
pub struct Tally {
    untold: Count,
    /// Requests that were never answered.
    pub unanswered: u64,
    latency_us: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Tally {
        let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3)
            .expect("1 us to 60 s with 3 digits is a valid histogram");
        Tally { untold: Count::default(), unanswered: 0, latency_us }
    }

    /// No status: the stream was broken off. No latency: it does not count.
    pub fn record(&mut self, status: Option<u8>, latency: Option<Duration>) {
        match status.and_then(|status| self.untold.by_status.get_mut(usize::from(status))) {
            Some(count) => *count += 1,
            None => self.untold.broken += 1,
        }
        if let Some(latency) = latency {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
            self.latency_us.saturating_record(micros.max(1));
        }
    }

    pub fn add(&mut self, other: &Tally) {
        self.unanswered += other.unanswered;
        self.latency_us.add(&other.latency_us).expect("both histograms have the same bounds");
    }

    /// The mean of all latencies, in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.latency_us.mean() / 1_000.0
    }

    /// The latency below which `quantile` of all requests lie, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_once_and_counted_by_status() {
        let (counters, mut tally) = (Counters::default(), Tally::new());
        tally.record(Some(0), Some(Duration::from_millis(2)));
        tally.record(Some(9), None);
        tally.record(Some(99), None);
        tally.record(None, None);
        counters.publish(&mut tally);
        counters.publish(&mut tally);
        let count = counters.read();
        assert_eq!((count.accepted(), count.refused(), count.broken, count.answered()), (1, 1, 2, 4));
        assert_eq!(count.by_status[9], 1);
        assert_eq!(count.since(&count), Count::default());
        assert!((1.9..2.1).contains(&tally.latency_ms(0.5)), "only what was measured has a latency");
    }
}
