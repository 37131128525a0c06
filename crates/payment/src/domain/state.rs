//! The states of a payment and their names in the store. What each allows is `standing`'s.

use std::fmt;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    RequiresAction,
    Processing,
    Unknown,
    Authorized,
    PartiallyCaptured,
    Captured,
    Voided,
    Failed,
    Expired,
    Conflicted,
}

/// Not a state's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name this service stores")]
pub struct UnknownName(pub String);

/// Reads enums by the name that `as_str` gives each of their `ALL`.
macro_rules! read_by_name {
    ($($name:ident),+) => {$(
        impl std::str::FromStr for $name {
            type Err = $crate::domain::state::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let named = Self::ALL.into_iter().find(|known| known.as_str() == name);
                named.ok_or_else(|| $crate::domain::state::UnknownName(name.to_owned()))
            }
        }
    )+};
}
pub(super) use read_by_name;

impl State {
    pub const ALL: [Self; 10] = [
        Self::RequiresAction,
        Self::Processing,
        Self::Unknown,
        Self::Authorized,
        Self::PartiallyCaptured,
        Self::Captured,
        Self::Voided,
        Self::Failed,
        Self::Expired,
        Self::Conflicted,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresAction => "REQUIRES_ACTION",
            Self::Processing => "PROCESSING",
            Self::Unknown => "UNKNOWN",
            Self::Authorized => "AUTHORIZED",
            Self::PartiallyCaptured => "PARTIALLY_CAPTURED",
            Self::Captured => "CAPTURED",
            Self::Voided => "VOIDED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
            Self::Conflicted => "CONFLICTED",
        }
    }
}

read_by_name!(State);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
