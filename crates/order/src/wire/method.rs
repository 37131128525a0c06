//! How a buyer pays, on the wire and back: one method, or several tenders.

use stampede_proto::payment::v1 as wire;
use stampede_proto::payment::v1::{
    Alipay, CardToken, PaymentMethod, StoredValue, WeChatPay, payment_method, tender,
};
use stampede_types::Money;
use stampede_types::tenders::TENDERS;

use crate::domain::method::{Method, MethodKind, Tender};

/// `None` when the message names no method, or one of its tenders none.
pub fn method(message: PaymentMethod) -> Option<Method> {
    let (kind, token) = match message.method? {
        payment_method::Method::Card(card) => (MethodKind::Card, card.token),
        payment_method::Method::Alipay(alipay) => (MethodKind::Alipay, alipay.session),
        payment_method::Method::WechatPay(wechat) => (MethodKind::WeChatPay, wechat.session),
        payment_method::Method::StoredValue(stored) => (MethodKind::StoredValue, stored.account),
        payment_method::Method::Tenders(several) => {
            let tenders = several.tenders.into_iter().map(from_tender).collect::<Option<Vec<_>>>()?;
            return TENDERS.contains(&tenders.len()).then(|| Method::several(tenders));
        }
    };
    Some(Method::one(kind, token))
}

fn from_tender(message: wire::Tender) -> Option<Tender> {
    let (kind, token) = match message.method? {
        tender::Method::Card(card) => (MethodKind::Card, card.token),
        tender::Method::Alipay(alipay) => (MethodKind::Alipay, alipay.session),
        tender::Method::WechatPay(wechat) => (MethodKind::WeChatPay, wechat.session),
        tender::Method::StoredValue(stored) => (MethodKind::StoredValue, stored.account),
    };
    let amount = message.amount.map(Money::try_from).transpose().ok()?;
    Some(Tender { kind, token, amount })
}

fn tender_message(from: &Tender) -> wire::Tender {
    let token = from.token.clone();
    let method = match from.kind {
        MethodKind::Card => Some(tender::Method::Card(CardToken { token })),
        MethodKind::Alipay => Some(tender::Method::Alipay(Alipay { session: token })),
        MethodKind::WeChatPay => Some(tender::Method::WechatPay(WeChatPay { session: token })),
        MethodKind::StoredValue => Some(tender::Method::StoredValue(StoredValue { account: token })),
        // A tender is one way to pay.
        MethodKind::Tenders => None,
    };
    wire::Tender { amount: from.amount.map(Into::into), method }
}

pub fn method_message(method: &Method) -> PaymentMethod {
    let token = method.token.clone();
    let method = match method.kind {
        MethodKind::Card => payment_method::Method::Card(CardToken { token }),
        MethodKind::Alipay => payment_method::Method::Alipay(Alipay { session: token }),
        MethodKind::WeChatPay => payment_method::Method::WechatPay(WeChatPay { session: token }),
        MethodKind::StoredValue => payment_method::Method::StoredValue(StoredValue { account: token }),
        MethodKind::Tenders => payment_method::Method::Tenders(wire::Tenders {
            tenders: method.tenders.iter().map(tender_message).collect(),
        }),
    };
    PaymentMethod { method: Some(method) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_survives_the_way_to_the_wire_and_back() {
        for kind in MethodKind::ALL {
            let there = match kind {
                MethodKind::Tenders => {
                    let amount = Some(Money::new(3, "EUR".parse().unwrap()));
                    let one = |kind, amount| Tender { kind, token: "tok_visa".into(), amount };
                    Method::several(vec![one(MethodKind::StoredValue, amount), one(MethodKind::Card, None)])
                }
                MethodKind::Card | MethodKind::Alipay | MethodKind::WeChatPay | MethodKind::StoredValue => {
                    Method::one(*kind, "tok_visa".into())
                }
            };
            assert_eq!(method(method_message(&there)), Some(there));
        }
    }
}
