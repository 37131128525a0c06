//! A token bucket that many threads take from without a lock (the generic cell rate algorithm): so many a second, and so many at once
//! after a rest. It never waits; who finds it empty is told when there is one again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;
/// A nanosecond each is the most a bucket can give.
const MAX_RATE: u64 = SECOND;

pub struct Bucket {
    start: Instant,
    /// When everything that was taken will have been earned, in nanoseconds since the start.
    earned_at: AtomicU64,
    /// Nanoseconds in which one is earned.
    every: u64,
    /// How far that may lie ahead.
    ahead: u64,
}

impl Bucket {
    /// `rate` a second, `burst` at once; both at least one. It begins full.
    #[must_use]
    pub fn new(rate: u64, burst: u64) -> Self {
        let every = SECOND / rate.clamp(1, MAX_RATE);
        let ahead = every.saturating_mul(burst.max(1) - 1);
        Bucket { start: Instant::now(), earned_at: AtomicU64::new(0), every, ahead }
    }

    /// Takes one.
    ///
    /// # Errors
    /// There is none for this long.
    pub fn take(&self) -> Result<(), Duration> {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.take_at(now)
    }

    fn take_at(&self, now: u64) -> Result<(), Duration> {
        let taken = self.earned_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |earned_at| {
            let earned_at = earned_at.max(now);
            (earned_at - now <= self.ahead).then(|| earned_at.saturating_add(self.every))
        });
        match taken {
            Ok(_) => Ok(()),
            Err(earned_at) => {
                Err(Duration::from_nanos(earned_at.saturating_sub(now).saturating_sub(self.ahead)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_given_at_once_and_then_one_as_each_is_earned() {
        let bucket = Bucket::new(10, 3);
        for _ in 0..3 {
            assert_eq!(bucket.take_at(0), Ok(()));
        }
        assert_eq!(bucket.take_at(0), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take_at(99_999_999), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.take_at(100_000_000), Ok(()));
        assert!(bucket.take_at(100_000_000).is_err());
        // A rest fills it and no further.
        let later = 60 * SECOND;
        assert_eq!((0..10).filter(|_| bucket.take_at(later).is_ok()).count(), 3);
    }

    #[test]
    fn many_threads_get_no_more_than_there_is() {
        let bucket = Bucket::new(1, 1_000);
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter(|_| bucket.take_at(0).is_ok()).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn zero_is_one() {
        let bucket = Bucket::new(0, 0);
        assert_eq!(bucket.take_at(0), Ok(()));
        assert_eq!(bucket.take_at(0), Err(Duration::from_secs(1)));
    }
}
