//! How long to wait before a step is tried again, and how long an answer may stay unknown. A peer that is away is asked for as
//! long as it is away: an outage is never a reason for a person to look at an order.

use std::time::Duration;

/// How long a peer may go on answering that it does not know yet, before a person looks. Longer than any settlement of a
/// provider's own books takes, which is a day.
pub const UNKNOWN_AT_MOST: Duration = Duration::from_hours(26);
/// The first delay; each one after is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// No delay for a peer that is away is longer: what waits goes on soon after it is back.
const LONGEST_AWAY: Duration = Duration::from_secs(15);
/// No delay for an answer that is not known yet is longer. The peer asks others at this pace itself, and its event
/// shortens the wait.
const LONGEST_UNKNOWN: Duration = Duration::from_mins(1);

/// The same for a provider that refuses to give what it holds: it is asked at this pace until the hold ends, and beyond.
const LONGEST_REFUSED: Duration = Duration::from_hours(1);
/// Tries after which a person looks: more than a week of them, as long as any hold lasts.
pub const MOST_REFUSALS: u32 = 200;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A peer that does not answer.
    Away,
    /// A peer that has answered that it does not know yet.
    Unknown,
    /// A provider that refuses what it may give later.
    Refused,
}

/// The delay after the given number of failed tries. `jitter` is 0 to 1 and takes off up to half, so that what failed
/// together does not come back together.
#[must_use]
pub fn delay(pace: Pace, attempt: u32, jitter: f64) -> Duration {
    let longest = match pace {
        Pace::Away => LONGEST_AWAY,
        Pace::Unknown => LONGEST_UNKNOWN,
        Pace::Refused => LONGEST_REFUSED,
    };
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(longest).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_ceiling_and_never_vanish() {
        let paces =
            [(Pace::Away, LONGEST_AWAY), (Pace::Unknown, LONGEST_UNKNOWN), (Pace::Refused, LONGEST_REFUSED)];
        for (pace, ceiling) in paces {
            assert_eq!(delay(pace, 1, 0.0), Duration::from_millis(100));
            assert_eq!(delay(pace, 3, 0.0), Duration::from_millis(400));
            assert_eq!(delay(pace, u32::MAX, 0.0), ceiling);
            assert_eq!(delay(pace, 1, 1.0), Duration::from_millis(50));
            assert_eq!(delay(pace, 0, 0.0), FIRST);
        }
    }
}
