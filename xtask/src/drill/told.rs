//! What the buyers asked for and were told. Plain values: the calls are made elsewhere, and so are the judgements.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Units of one SKU of the sale, by its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub sku: usize,
    pub units: i64,
}

/// What a buyer means to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Take units at once and for good.
    Deduct,
    /// Hold, then buy.
    Buy,
    /// Hold, then give back.
    GiveBack,
    /// Hold for a moment and be heard of no more.
    Forget,
}

/// How a purchase ended, by what its buyer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The units are the buyer's.
    Sold,
    /// Units were held and are free again.
    Returned,
    /// Refused for good.
    Refused,
    /// Nobody ever said.
    Unknown,
}

/// One purchase: one id, whatever had to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    pub id: Uuid,
    pub buyer: String,
    pub lines: Vec<Line>,
    pub intent: Intent,
    /// Somebody was told that the units were taken, held or sold.
    pub taken: bool,
    pub fate: Fate,
    /// What a deduction was answered: units left, number of its movement.
    pub receipt: Option<(i64, i64)>,
    /// What each call was answered and when: what somebody reads who looks for a fault.
    pub trail: Vec<String>,
}

/// Everything the buyers were told.
#[derive(Debug, Default)]
pub struct Told {
    pub purchases: Vec<Purchase>,
    /// Every answer that was not a yes, by its reason; repeated ones count each time.
    pub errors: BTreeMap<String, u64>,
    /// Answers nobody can act on: no reason, a reason that does not fit, or no word on when to come back.
    pub unclear: BTreeMap<String, u64>,
    /// Calls whose connection broke under them.
    pub lost: u64,
    /// Sold-out answers for a SKU that had not run out.
    pub false_sold_out: u64,
    /// Ids that were answered otherwise when they were asked for again.
    pub changed: Vec<Uuid>,
    pub times: Times,
}

/// When units were taken: by deductions and holds, as their answers came in.
#[derive(Debug, Default)]
pub struct Times {
    pub accepted: u64,
    last: Option<Instant>,
    longest_pause: Duration,
    healed: Option<Instant>,
    reopened: Option<Instant>,
    over: bool,
}

impl Told {
    pub fn count(&mut self, reason: impl Into<String>) {
        *self.errors.entry(reason.into()).or_default() += 1;
    }

    pub fn count_unclear(&mut self, what: impl Into<String>) {
        *self.unclear.entry(what.into()).or_default() += 1;
    }
}

impl Times {
    pub fn accept(&mut self, at: Instant) {
        self.accepted += 1;
        if !self.over
            && let Some(last) = self.last.replace(at)
        {
            self.longest_pause = self.longest_pause.max(at.saturating_duration_since(last));
        }
        if self.reopened.is_none() && self.healed.is_some_and(|healed| at >= healed) {
            self.reopened = Some(at);
        }
    }

    pub fn heal(&mut self, at: Instant) {
        self.healed = Some(at);
    }

    /// The load is over: from here on a pause is nobody's fault.
    pub fn end(&mut self) {
        self.over = true;
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn longest_pause(&self) -> Duration {
        self.longest_pause
    }

    /// From healing to the first units taken after it.
    pub fn to_reopen(&self) -> Option<Duration> {
        Some(self.reopened?.saturating_duration_since(self.healed?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sale_reopens_with_the_first_yes_after_healing_and_pauses_count_only_while_it_runs() {
        let began = Instant::now();
        let after = |ms: u64| began + Duration::from_millis(ms);
        let mut times = Times::default();
        for ms in [0, 10, 20] {
            times.accept(after(ms));
        }
        times.heal(after(500));
        times.accept(after(720));
        times.accept(after(730));
        times.end();
        times.accept(after(9_000));

        assert_eq!(times.accepted, 6);
        assert_eq!(times.longest_pause(), Duration::from_millis(700));
        assert_eq!(times.to_reopen(), Some(Duration::from_millis(220)));
    }

    #[test]
    fn a_sale_that_never_reopens_says_so() {
        let mut times = Times::default();
        times.accept(Instant::now());
        times.heal(Instant::now() + Duration::from_secs(1));
        assert_eq!(times.to_reopen(), None);
    }
}
