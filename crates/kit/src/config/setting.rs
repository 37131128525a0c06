//! What one setting may be: a type that is parsed from text and can say what it expected. It never has a default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// A type that a setting may have. `EXPECTED` completes the sentence "expected ...".
pub trait Setting: Sized {
    const EXPECTED: &'static str;
    /// Whether what was found must stay out of the complaint about it.
    const SECRET: bool = false;

    fn parse(text: &str) -> Option<Self>;
}

macro_rules! settings {
    ($($type:ty: $expected:literal,)*) => {$(
        impl Setting for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

settings! {
    SocketAddr: "an address and port, such as 127.0.0.1:8080",
    String: "a text",
    PathBuf: "a path",
    bool: "true or false",
    u16: "a whole number from 0 to 65535",
    u32: "a whole number, zero or more",
    u64: "a whole number, zero or more",
    usize: "a whole number, zero or more",
    i64: "a whole number",
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a secret text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(Secret::new(text))
    }
}

/// Milliseconds; the key says so with `_ms`.
impl Setting for Duration {
    const EXPECTED: &'static str = "a whole number of milliseconds";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Duration::from_millis)
    }
}

/// A list: comma-separated in the environment, an array in the file.
impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Option<Self> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }
}

/// A share of all, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(pub f64);

impl Setting for Ratio {
    const EXPECTED: &'static str = "a number from 0 to 1";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Ratio)
    }
}
