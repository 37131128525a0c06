//! How a buyer pays: a kind and the provider's token. Never a card number, and never printed.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_never_prints_its_token() {
        let method = Method { kind: MethodKind::Card, token: "tok_visa".into() };
        assert_eq!(format!("{method:?}"), "CARD:***");
    }
}
