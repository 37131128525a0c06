//! How long to wait before a failed step is tried again, and how often it is tried at all.

use std::time::Duration;

/// Tries of one step before a person has to look: with the delays below about nine minutes, longer than any deploy.
pub const MAX_ATTEMPTS: u32 = 40;
/// The first delay; each one after is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// No delay is longer.
const LONGEST: Duration = Duration::from_secs(15);

/// The delay after the given number of failed tries. `jitter` is 0 to 1 and takes off up to half, so that what failed
/// together does not come back together.
#[must_use]
pub fn delay(attempt: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_ceiling_and_never_vanish() {
        assert_eq!(delay(1, 0.0), Duration::from_millis(100));
        assert_eq!(delay(3, 0.0), Duration::from_millis(400));
        assert_eq!(delay(u32::MAX, 0.0), LONGEST);
        assert_eq!(delay(1, 1.0), Duration::from_millis(50));
        assert_eq!(delay(0, 0.0), FIRST);
    }
}
