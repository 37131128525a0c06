//! What was agreed: the order, the amount, and how the buyer pays. Tokens never print; card numbers never come here at all.

use std::fmt;

use sha2::{Digest as _, Sha256};
use stampede_types::{Money, OrderId};

use super::Tender;
use super::state::read_by_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodKind {
    Card,
    Alipay,
    WechatPay,
    StoredValue,
    /// Several of the others, each for a part: `Terms::tenders` says which.
    Tenders,
}

impl Method {
    /// Of a payment of several tenders: who is asked for what is said there.
    #[must_use]
    pub const fn tenders() -> Self {
        Self { kind: MethodKind::Tenders, token: Token(String::new()) }
    }
}

/// When what is authorised is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMode {
    /// When somebody says so, in as many parts as they like.
    Manual,
    /// All of it, as soon as it is known to be held.
    Automatic,
    /// When somebody says so, in parts, over a longer time than a hold lasts: one that lapses is followed by another for the rest.
    Multiple,
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
    /// What each part is paid with, in the order in which they are asked; empty when it is one method.
    pub tenders: Vec<Tender>,
    pub capture: CaptureMode,
}

impl Terms {
    /// Whether the payment is a whole of several: of tenders, or of holds that follow each other.
    #[must_use]
    pub fn are_in_parts(&self) -> bool {
        !self.tenders.is_empty() || self.capture == CaptureMode::Multiple
    }

    /// What is asked of providers, in turn.
    pub fn methods(&self) -> impl Iterator<Item = MethodKind> {
        let one = self.tenders.is_empty().then_some(self.method.kind);
        one.into_iter().chain(self.tenders.iter().map(|tender| tender.method.kind))
    }

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
            CaptureMode::Automatic | CaptureMode::Multiple => hash.update(self.capture.as_str().as_bytes()),
        }
        for tender in &self.tenders {
            hash.update(tender.amount.amount_minor().to_be_bytes());
            for text in [tender.method.kind.as_str(), tender.method.token.expose()] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
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
    const ALL: [Self; 5] = [Self::Card, Self::Alipay, Self::WechatPay, Self::StoredValue, Self::Tenders];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "CARD",
            Self::Alipay => "ALIPAY",
            Self::WechatPay => "WECHAT_PAY",
            Self::StoredValue => "STORED_VALUE",
            Self::Tenders => "TENDERS",
        }
    }
}

read_by_name!(MethodKind, CaptureMode);

impl CaptureMode {
    const ALL: [Self; 3] = [Self::Manual, Self::Automatic, Self::Multiple];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Automatic => "AUTOMATIC",
            Self::Multiple => "MULTIPLE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(amount_minor: i64, token: &str) -> Terms {
        let amount = Money::new(amount_minor, "EUR".parse().unwrap());
        let method = Method { kind: MethodKind::Card, token: Token::new(token) };
        let (order, capture) = (OrderId::new(uuid::Uuid::nil()), CaptureMode::Manual);
        Terms { order, amount, method, tenders: Vec::new(), capture }
    }

    #[test]
    fn equal_terms_have_one_fingerprint_and_other_terms_another() {
        assert_eq!(terms(1, "tok_a").fingerprint(), terms(1, "tok_a").fingerprint());
        assert_ne!(terms(1, "tok_a").fingerprint(), terms(2, "tok_a").fingerprint());
        assert_ne!(terms(1, "tok_a").fingerprint(), terms(1, "tok_b").fingerprint());
        let automatic = Terms { capture: CaptureMode::Automatic, ..terms(1, "tok_a") };
        assert_ne!(terms(1, "tok_a").fingerprint(), automatic.fingerprint());
        let split = |parts: &[(i64, &str)]| {
            let tender = |(amount, token): &(i64, &str)| {
                let Terms { amount, method, .. } = terms(*amount, token);
                Tender { amount, method }
            };
            Terms { tenders: parts.iter().map(tender).collect(), ..terms(3, "") }.fingerprint()
        };
        assert_ne!(split(&[(1, "tok_a"), (2, "tok_b")]), split(&[(2, "tok_a"), (1, "tok_b")]));
        assert_ne!(split(&[(1, "tok_a"), (2, "tok_b")]), split(&[(1, "tok_a"), (2, "tok_c")]));
    }

    #[test]
    fn a_token_never_prints() {
        assert!(!format!("{:?}", terms(1, "tok_secret")).contains("tok_secret"));
    }
}
