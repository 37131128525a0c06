//! How a buyer pays: a kind and the provider's token, and what he may have to do for it. Never a card number, and never printed.

use std::fmt;

use time::OffsetDateTime;

use super::words::words;

words! {
    MethodKind {
        Card = "CARD",
        Alipay = "ALIPAY",
        WeChatPay = "WECHAT_PAY",
        StoredValue = "STORED_VALUE",
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Method {
    pub kind: MethodKind,
    pub token: String,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.kind)
    }
}

/// What a buyer has to do at the provider before the money is held. Its address may open his session: it never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct BuyerAction {
    pub url: String,
    pub expires_at: OffsetDateTime,
}

impl fmt::Debug for BuyerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** until {}", self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_buyer_has_to_do_never_prints_where() {
        let action = BuyerAction { url: "https://psp/3ds".into(), expires_at: OffsetDateTime::UNIX_EPOCH };
        assert!(!format!("{action:?}").contains("psp"));
    }

    #[test]
    fn a_method_never_prints_its_token() {
        let method = Method { kind: MethodKind::Card, token: "tok_visa".into() };
        assert_eq!(format!("{method:?}"), "CARD:***");
    }
}
