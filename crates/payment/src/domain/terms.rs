//! What was agreed: the order, the amount, and how the buyer pays. Tokens never print; card numbers never come here at all.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use stampede_types::{Money, OrderId};

use super::state::UnknownName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodKind {
    Card,
    Alipay,
    WechatPay,
    StoredValue,
}

/// When what is authorised is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMode {
    /// When somebody says so, in as many parts as they like.
    Manual,
    /// All of it, as soon as it is known to be held.
    Automatic,
}

/// A provider's name for what the buyer pays with. It opens a purse: it prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    pub kind: MethodKind,
    pub token: Token,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub order: OrderId,
    pub amount: Money,
    pub method: Method,
    pub capture: CaptureMode,
}

impl Terms {
    /// Equal for equal terms only: the lengths keep neighbouring fields apart.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.order.uuid().as_bytes());
        hash.update(self.amount.amount_minor().to_be_bytes());
        for text in [self.amount.currency().as_str(), self.method.kind.as_str(), self.method.token.expose()] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        match self.capture {
            // As it was before there were two.
            CaptureMode::Manual => {}
            CaptureMode::Automatic => hash.update(self.capture.as_str().as_bytes()),
        }
        hash.finalize().into()
    }
}

impl Token {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself: for the provider's adapter and the store.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl MethodKind {
    const ALL: [Self; 4] = [Self::Card, Self::Alipay, Self::WechatPay, Self::StoredValue];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "CARD",
            Self::Alipay => "ALIPAY",
            Self::WechatPay => "WECHAT_PAY",
            Self::StoredValue => "STORED_VALUE",
        }
    }
}

impl FromStr for MethodKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl CaptureMode {
    const ALL: [Self; 2] = [Self::Manual, Self::Automatic];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Automatic => "AUTOMATIC",
        }
    }
}

impl FromStr for CaptureMode {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or_else(|| UnknownName(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(amount_minor: i64, token: &str) -> Terms {
        let amount = Money::new(amount_minor, "EUR".parse().unwrap());
        let method = Method { kind: MethodKind::Card, token: Token::new(token) };
        Terms { order: OrderId::new(uuid::Uuid::nil()), amount, method, capture: CaptureMode::Manual }
    }

    #[test]
    fn equal_terms_have_one_fingerprint_and_other_terms_another() {
        assert_eq!(terms(1, "tok_a").fingerprint(), terms(1, "tok_a").fingerprint());
        assert_ne!(terms(1, "tok_a").fingerprint(), terms(2, "tok_a").fingerprint());
        assert_ne!(terms(1, "tok_a").fingerprint(), terms(1, "tok_b").fingerprint());
        let automatic = Terms { capture: CaptureMode::Automatic, ..terms(1, "tok_a") };
        assert_ne!(terms(1, "tok_a").fingerprint(), automatic.fingerprint());
    }

    #[test]
    fn a_token_never_prints() {
        assert!(!format!("{:?}", terms(1, "tok_secret")).contains("tok_secret"));
    }
}
