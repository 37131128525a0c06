//! What Stripe tells by itself, in the events of its published API. Events of other things, and those that only repeat what another one says,
//! are taken and change nothing; what has no shape of an event is refused.

use serde::Deserialize;
use serde_json::Value;
use stampede_types::PaymentId;
use uuid::Uuid;

use super::read::{self, Intent, Refund, Status};
use crate::domain::{Answer, Notice, Spontaneous};
use crate::provider::{About, Reading, Told};

/// Longest name of an event.
const MAX_NAME: usize = 200;

#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Value,
}

#[derive(Debug, Deserialize)]
struct Dispute {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    payment_intent: Option<String>,
}

pub(super) fn read(body: &[u8]) -> Reading {
    let Ok(Event { id, kind, data: Data { object } }) = serde_json::from_slice::<Event>(body) else {
        return Reading::Malformed;
    };
    if !(1..=MAX_NAME).contains(&id.len()) {
        return Reading::Malformed;
    }
    let told = match kind.as_str() {
        "payment_intent.amount_capturable_updated"
        | "payment_intent.payment_failed"
        | "payment_intent.requires_action" => parsed(object).map(of_hold),
        "payment_intent.succeeded" => parsed(object).map(of_capture),
        "payment_intent.canceled" => parsed(object).map(of_end),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            parsed(object).map(of_refund)
        }
        "charge.dispute.created" | "charge.dispute.closed" => parsed(object).map(of_dispute),
        // Each of its refunds is told of by itself.
        "charge.refunded" => return Reading::Ignored,
        _ => return Reading::Ignored,
    };
    match told {
        Some(Some((about, notice))) => Reading::Told(Told { event: id, about, notice }),
        Some(None) => Reading::Ignored,
        None => Reading::Malformed,
    }
}

fn parsed<T: serde::de::DeserializeOwned>(object: Value) -> Option<T> {
    serde_json::from_value(object).ok()
}

fn named(metadata: &std::collections::HashMap<String, String>, name: &str) -> Option<Uuid> {
    metadata.get(name)?.parse().ok()
}

/// What became of an authorisation of ours.
fn of_hold(intent: Intent) -> Option<(About, Notice)> {
    let payment = PaymentId::new(named(&intent.metadata, "payment")?);
    let key = named(&intent.metadata, "key")?;
    match read::state_of_hold(&intent) {
        Answer::Lost => None,
        answer @ (Answer::Done { .. } | Answer::Refused { .. } | Answer::Action { .. }) => {
            Some((About::Payment(payment), Notice::Answer { key, answer }))
        }
    }
}

/// What became of a capture of ours. The charge is named, not shown.
fn of_capture(intent: Intent) -> Option<(About, Notice)> {
    let payment = PaymentId::new(named(&intent.metadata, "payment")?);
    let key = named(&intent.metadata, "capture")?;
    let reference = intent.charge_id()?.to_owned();
    let (amount_minor, currency) = (intent.amount_received, intent.currency.to_uppercase());
    let answer = Answer::Done { reference, amount_minor, currency, hold_expires_at: None };
    Some((About::Payment(payment), Notice::Answer { key, answer }))
}

/// An intent that lapsed by itself. One that was cancelled because we said so is the void's to answer.
fn of_end(intent: Intent) -> Option<(About, Notice)> {
    let payment = PaymentId::new(named(&intent.metadata, "payment")?);
    let lapsed =
        intent.status == Status::Canceled && intent.cancellation_reason.as_deref() == Some("automatic");
    // Only what was held can lapse.
    let held = lapsed && intent.latest_charge.is_some() && intent.amount > 0;
    held.then(|| {
        let currency = intent.currency.to_uppercase();
        let fact = Notice::Fact {
            kind: Spontaneous::Expired,
            reference: intent.id,
            amount_minor: intent.amount - intent.amount_received,
            currency,
        };
        (About::Payment(payment), fact)
    })
}

/// One of ours by its key, or one that somebody made at Stripe's own desk.
fn of_refund(refund: Refund) -> Option<(About, Notice)> {
    let answer = refund.answer();
    if let (Some(payment), Some(key)) = (named(&refund.metadata, "payment"), named(&refund.metadata, "key")) {
        return (answer != Answer::Lost)
            .then(|| (About::Payment(PaymentId::new(payment)), Notice::Answer { key, answer }));
    }
    let hold = refund.payment_intent?;
    match answer {
        Answer::Done { reference, amount_minor, currency, .. } => {
            let kind = Spontaneous::RefundedByHand;
            Some((About::Hold(hold), Notice::Fact { kind, reference, amount_minor, currency }))
        }
        Answer::Refused { .. } | Answer::Action { .. } | Answer::Lost => None,
    }
}

fn of_dispute(dispute: Dispute) -> Option<(About, Notice)> {
    let kind = match dispute.status.as_str() {
        "needs_response" | "under_review" => Spontaneous::DisputeOpened,
        "won" => Spontaneous::DisputeWon,
        "lost" => Spontaneous::DisputeLost,
        // Inquiries move no money.
        _ => return None,
    };
    let hold = dispute.payment_intent?;
    let fact = Notice::Fact {
        kind,
        reference: dispute.id,
        amount_minor: dispute.amount,
        currency: dispute.currency.to_uppercase(),
    };
    (dispute.amount > 0).then_some((About::Hold(hold), fact))
}
