//! What `psp-simulator` tells by itself, in the words of its API. A message this version does not know is not guessed at.

use serde::Deserialize;
use stampede_types::PaymentId;
use uuid::Uuid;

use super::simulator::moment;
use super::{About, Told};
use crate::domain::{Answer, Notice, Spontaneous};

/// Longest name of a message or of what it tells of.
const MAX_NAME: usize = 200;

#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    payment: Uuid,
    reference: String,
    amount_minor: i64,
    currency: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What {
    OperationSucceeded { key: Uuid, expires_at_ms: Option<i64> },
    OperationDeclined { key: Uuid, decline: String },
    RefundedByHand,
    RefundReversed,
    DisputeOpened,
    DisputeWon,
    DisputeLost,
    AuthorizationExpired,
}

pub(super) fn read(body: &[u8]) -> Option<Told> {
    let message: Message = serde_json::from_slice(body).ok()?;
    let Message { id, payment, reference, amount_minor, currency, what } = message;
    let named = |name: &str| (1..=MAX_NAME).contains(&name.len());
    if !named(&id) || !named(&reference) || amount_minor < 0 {
        return None;
    }
    let kind = match what {
        What::OperationSucceeded { key, expires_at_ms } => {
            let hold_expires_at = expires_at_ms.and_then(moment);
            let answer = Answer::Done { reference, amount_minor, currency, hold_expires_at };
            let notice = Notice::Answer { key, answer };
            return Some(Told { event: id, about: About::Payment(PaymentId::new(payment)), notice });
        }
        What::OperationDeclined { key, decline } => {
            let answer = Answer::Refused { reference: Some(reference), decline };
            return Some(Told {
                event: id,
                about: About::Payment(PaymentId::new(payment)),
                notice: Notice::Answer { key, answer },
            });
        }
        What::RefundedByHand => Spontaneous::RefundedByHand,
        What::RefundReversed => Spontaneous::RefundReversed,
        What::DisputeOpened => Spontaneous::DisputeOpened,
        What::DisputeWon => Spontaneous::DisputeWon,
        What::DisputeLost => Spontaneous::DisputeLost,
        What::AuthorizationExpired => Spontaneous::Expired,
    };
    let notice = Notice::Fact { kind, reference, amount_minor, currency };
    (amount_minor > 0).then_some(Told { event: id, about: About::Payment(PaymentId::new(payment)), notice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_whole_or_not_at_all() {
        let good = r#"{"id":"e1","type":"dispute_opened","payment":"6f0d2c2e-7c5b-4b0e-9a53-0f3c5a1f0001",
                       "reference":"d1","amount_minor":5,"currency":"EUR"}"#;
        let told = read(good.as_bytes()).unwrap();
        let expected = Notice::Fact {
            kind: Spontaneous::DisputeOpened,
            reference: "d1".into(),
            amount_minor: 5,
            currency: "EUR".into(),
        };
        assert_eq!((told.event.as_str(), told.notice), ("e1", expected));
        for (what, becomes) in
            [("dispute_opened", "gossip"), (":5", ":-5"), (":5", ":0"), ("\"d1\"", "\"\""), ("6f0d", "zz")]
        {
            assert_eq!(read(good.replace(what, becomes).as_bytes()), None, "{becomes}");
        }
    }
}
