//! Buckets: a cell at the gate is one, or several that live on different nodes of a cluster and share its units. A buyer is always
//! in the same one, with everything that is remembered about them. It never counts units.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::domain::CellKey;

/// Keys of a bucket: counters, quotas, tokens.
pub const KEYS: usize = 3;
/// The most buckets a cell may have.
pub const MAX_BUCKETS: u32 = 64;

pub type Keys = [String; KEYS];

#[derive(Debug)]
pub struct Buckets {
    prefix: String,
    cell: CellKey,
    first: Keys,
    /// Those beyond the first, made when they are needed.
    others: OnceLock<Vec<Keys>>,
    /// How many there are, as far as this process knows.
    layout: AtomicU32,
    /// Units are moved by one at a time.
    pub balancing: Mutex<()>,
    /// Requests since they were counted, in the second before, and the units that were free a moment ago.
    asked: AtomicU64,
    rate: AtomicU64,
    free: AtomicI64,
}

impl Buckets {
    pub fn new(prefix: &str, cell: &CellKey) -> Self {
        Self {
            prefix: prefix.to_owned(),
            cell: cell.clone(),
            first: keys(prefix, cell, 0),
            others: OnceLock::new(),
            layout: AtomicU32::new(1),
            balancing: Mutex::new(()),
            asked: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            free: AtomicI64::new(0),
        }
    }

    /// Somebody asked, and this many units of the bucket are free now.
    pub fn asked(&self, free: i64) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.free.store(free, Ordering::Relaxed);
    }

    /// Begins a new second: how often was asked in the last one, and what is free.
    pub fn count(&self) -> (u64, i64) {
        let asked = self.asked.swap(0, Ordering::Relaxed);
        self.rate.store(asked, Ordering::Relaxed);
        (asked, self.free.load(Ordering::Relaxed))
    }

    pub fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    pub fn layout(&self) -> u32 {
        self.layout.load(Ordering::Acquire)
    }

    pub fn set_layout(&self, layout: u32) {
        self.layout.store(layout.clamp(1, MAX_BUCKETS), Ordering::Release);
    }

    /// The keys of a bucket. There is none beyond `MAX_BUCKETS`; the last stands for those.
    pub fn keys(&self, bucket: u32) -> &Keys {
        if bucket == 0 {
            return &self.first;
        }
        let make = || (1..MAX_BUCKETS).map(|bucket| keys(&self.prefix, &self.cell, bucket)).collect();
        let place = bucket.min(MAX_BUCKETS - 1) as usize - 1;
        &self.others.get_or_init(make)[place]
    }
}

/// The bucket of this buyer where there are so many. FNV-1a: every process of every version must agree.
pub fn of_buyer(buyer: &str, layout: u32) -> u32 {
    if layout <= 1 {
        return 0;
    }
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    buyer.bytes().fold(2_166_136_261, mix) % layout
}

/// All keys of one bucket of a pool carry one hash tag, so that a script may use several cells.
fn keys(prefix: &str, cell: &CellKey, bucket: u32) -> Keys {
    let (pool, sku) = (cell.pool.as_str(), cell.sku.as_str());
    let tag = if bucket == 0 { format!("pool:{pool}") } else { format!("pool:{pool}#{bucket}") };
    ["counters", "quotas", "tokens"].map(|part| format!("{prefix}:{{{tag}}}:{part}:{sku}"))
}

#[cfg(test)]
mod tests {
    use stampede_types::Pool;

    use super::*;

    #[test]
    fn all_keys_of_a_pools_bucket_carry_its_hash_tag() {
        let cell =
            CellKey { pool: "flash".parse().map(Pool::Campaign).unwrap(), sku: "tee".parse().unwrap() };
        let buckets = Buckets::new("t", &cell);
        assert!(
            buckets.keys(0).iter().all(|key| key.starts_with("t:{pool:flash}:") && key.ends_with(":tee"))
        );
        assert!(
            buckets.keys(3).iter().all(|key| key.starts_with("t:{pool:flash#3}:") && key.ends_with(":tee"))
        );
    }

    #[test]
    fn buyers_spread_evenly_and_stay_where_they_are() {
        let mut buyers = [0; 8];
        for n in 0..8_000 {
            buyers[of_buyer(&format!("buyer-{n}"), 8) as usize] += 1;
        }
        assert!(buyers.iter().all(|count| (800..1_200).contains(count)), "{buyers:?}");
        assert_eq!(of_buyer("alice", 8), 7, "a buyer who moves is met by what another process put elsewhere");
        assert_eq!(of_buyer("alice", 1), 0);
    }
}
