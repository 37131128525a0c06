//! How hard and how long a drill is. Every number of the load is named here; nothing grows beyond it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::home;

/// Units of the most a buyer asks for in one line.
pub const MOST_UNITS: i64 = 3;
/// Units one buyer may have of one SKU.
pub const PER_BUYER_LIMIT: u32 = 6;
/// Of a hundred purchases, so many ask for the SKU that runs out while the fault is on.
pub const SCARCE_PERCENT: u64 = 25;
/// Connections to each inventory process: few, with many streams.
pub const CONNECTIONS: usize = 2;
/// Buyers of the closing sale.
pub const CLOSERS: usize = 16;
/// Accepted ids that are asked for again at the end.
pub const REPEATS: usize = 200;

/// One drill's load and where it is kept.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The shop's own folder; wiped when the drill begins.
    pub dir: PathBuf,
    /// The folder with the services' binaries.
    pub binaries: PathBuf,
    /// Inventory processes, on the same stores.
    pub processes: usize,
    /// Purchases begun a second, on a schedule that waits for no answer.
    pub rate_per_s: u64,
    /// Purchases under way at once.
    pub in_flight: usize,
    /// Selling before the fault, with it, and after it was healed.
    pub calm: Duration,
    pub hurt: Duration,
    pub after: Duration,
}

impl Plan {
    /// What the command does: the release binaries, in `.dev/drill`.
    pub fn full(release: bool) -> Plan {
        Plan {
            dir: home::dev().join("drill"),
            binaries: home::binaries(release),
            processes: 2,
            rate_per_s: 2_000,
            in_flight: 256,
            calm: Duration::from_secs(4),
            hurt: Duration::from_secs(4),
            after: Duration::from_secs(6),
        }
    }

    /// A few seconds of light load on the debug binaries, in `dir`: what a test can afford on a busy machine.
    pub fn short(dir: &Path) -> Plan {
        Plan {
            dir: dir.to_owned(),
            binaries: home::binaries(false),
            processes: 2,
            rate_per_s: 150,
            in_flight: 64,
            calm: Duration::from_millis(1_500),
            hurt: Duration::from_millis(1_500),
            after: Duration::from_millis(1_500),
        }
    }

    /// How long purchases are begun.
    pub fn selling(&self) -> Duration {
        self.calm + self.hurt + self.after
    }

    /// Purchases of the whole load.
    pub fn purchases(&self) -> u64 {
        self.rate_per_s * u64::try_from(self.selling().as_millis()).unwrap_or(0) / 1_000
    }

    /// Units of the SKU that runs out about when the fault is half over: what is asked for until then, less what is
    /// given back or refused.
    pub fn scarce_units(&self) -> i64 {
        let until = self.calm + self.hurt / 2;
        let purchases = self.rate_per_s * u64::try_from(until.as_millis()).unwrap_or(0) / 1_000;
        i64::try_from(purchases * SCARCE_PERCENT / 100 * 3 / 2).unwrap_or(i64::MAX).max(1)
    }

    /// Units of the SKU that outlasts the load, so that whoever is told that it is sold out was told wrongly.
    pub fn plenty_units(&self) -> i64 {
        i64::try_from(self.purchases() * 2).unwrap_or(i64::MAX).max(1)
    }

    /// Buyers of the load: few enough that some meet their limit.
    pub fn buyers(&self) -> u64 {
        (self.purchases() / 3).max(1)
    }
}
