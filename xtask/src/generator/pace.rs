//! When each request is due. Open loop: a request is due at its own time whether or not the ones before it have been answered, and
//! its latency counts from when it was due (no coordinated omission). It never waits itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Hands out requests in order, each with the time it is due.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    rate_per_s: u64,
    /// The first number that is not handed out any more.
    end: u64,
    until: Option<Instant>,
    first: u64,
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
        let end = if rate_per_s == 0 { u64::MAX } else { rate_per_s * duration.as_millis() as u64 / 1_000 };
        let until = (rate_per_s == 0).then_some(began + duration);
        Self { began, rate_per_s, end, until, first: 0, next: AtomicU64::new(0) }
    }

    /// The same without an end; the first request has the number `first`.
    pub fn endless(rate_per_s: u64, first: u64) -> Self {
        let next = AtomicU64::new(first);
        Self { began: Instant::now(), rate_per_s, end: u64::MAX, until: None, first, next }
    }

    /// The next request, or nothing when the run is over.
    pub fn next(&self, now: Instant) -> Option<Due> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.end || self.until.is_some_and(|until| now >= until) {
            return None;
        }
        let at = match self.rate_per_s {
            0 => now.max(self.began),
            rate => {
                let nanos = u128::from(number - self.first) * 1_000_000_000 / u128::from(rate);
                self.began + Duration::from_nanos(nanos as u64)
            }
        };
        Some(Due { number, at })
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate_and_stop_at_the_end() {
        let pace = Pace::new(1_000, Duration::from_millis(10));
        let due: Vec<Due> = std::iter::from_fn(|| pace.next(Instant::now())).collect();
        assert_eq!(due.len(), 10);
        assert_eq!(due[9].at - due[0].at, Duration::from_millis(9));
    }

    #[test]
    fn without_a_rate_a_request_is_due_when_it_is_picked_up() {
        let (pace, later) = (Pace::endless(0, 7), Instant::now() + Duration::from_secs(5));
        let due = pace.next(later).unwrap();
        assert_eq!((due.number, due.at), (7, later));
    }

    #[test]
    fn a_run_that_goes_on_keeps_its_rate_from_its_own_first_number() {
        let pace = Pace::endless(1_000, 500);
        let due = [pace.next(Instant::now()).unwrap(), pace.next(Instant::now()).unwrap()];
        assert_eq!(due[0].number, 500);
        assert_eq!(due[1].at - due[0].at, Duration::from_millis(1));
    }
}
