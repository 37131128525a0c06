//! A name table with a cheap hash. The names come from descriptors, never from callers, so nobody can crowd it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Names of a message's fields or of an enum's values, to an index or a number.
#[derive(Debug)]
pub(crate) struct Names<T>(Table<T>);

/// By name.
pub(crate) type Table<T> = HashMap<Box<str>, T, BuildHasherDefault<Fnv>>;

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Copy> Names<T> {
    /// The first holder of a name keeps it.
    pub(crate) fn add(&mut self, name: &str, value: T) {
        self.0.entry(name.into()).or_insert(value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.0.get(name).copied()
    }
}

/// FNV-1a, 64 bits.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
