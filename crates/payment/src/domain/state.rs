//! The states of a payment and their names in the store. What each allows is `standing`'s.

use std::fmt;
use std::str::FromStr;

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

impl FromStr for State {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
