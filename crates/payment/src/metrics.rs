//! What this service counts. Labels are operations, outcomes and statuses: never an id, an amount or a token.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram};
use stampede_kit::metrics::{KeyValue, counter, gauge, seconds};

use crate::domain::reconcile::DifferenceKind;
use crate::domain::stuck::Reason;
use crate::domain::{Operation, Settlement};

/// One provider call; no status means its answer was lost.
pub fn provider_call(provider: &str, path: &'static str, status: Option<u16>, took: Duration) {
    static CALLS: LazyLock<Histogram<f64>> =
        LazyLock::new(|| seconds("payment_provider_call", "Calls of the payment provider"));
    let status = status.map_or_else(|| "lost".to_owned(), |status| status.to_string());
    let provider = KeyValue::new("provider", provider.to_owned());
    CALLS.record(
        took.as_secs_f64(),
        &[provider, KeyValue::new("path", path), KeyValue::new("status", status)],
    );
}

/// A provider that cannot was followed by another one.
pub fn fallback(from: &str, to: &str) {
    static FALLBACKS: LazyLock<Counter<u64>> =
        LazyLock::new(|| counter("payment_fallbacks", "Authorisations that went on to another provider"));
    FALLBACKS.add(1, &[KeyValue::new("from", from.to_owned()), KeyValue::new("to", to.to_owned())]);
}

/// A hold that had lapsed is asked for again, or is not any more.
pub fn reauthorization(outcome: &'static str) {
    static REAUTHORIZATIONS: LazyLock<Counter<u64>> = LazyLock::new(|| {
        counter("payment_reauthorizations", "Holds that were asked for again, and payments given up over it")
    });
    REAUTHORIZATIONS.add(1, &[KeyValue::new("outcome", outcome)]);
}

/// One webhook heard, at its arrival or later.
pub fn webhook(outcome: &'static str) {
    static WEBHOOKS: LazyLock<Counter<u64>> =
        LazyLock::new(|| counter("payment_webhooks", "Webhooks of providers, by what became of them"));
    WEBHOOKS.add(1, &[KeyValue::new("outcome", outcome)]);
}

/// One dispute; `after_refund` when more went back than was captured.
pub fn dispute(after_refund: bool) {
    static DISPUTES: LazyLock<Counter<u64>> =
        LazyLock::new(|| counter("payment_disputes", "Disputes that buyers' banks opened"));
    DISPUTES.add(1, &[KeyValue::new("after_refund", after_refund)]);
}

/// How many payments wait for a person now; a reason that is not counted has none.
pub fn stuck(counts: &[(Reason, i64)]) {
    static STUCK: LazyLock<Gauge<i64>> =
        LazyLock::new(|| gauge("payment_stuck", "Payments that wait for a person, by reason"));
    for reason in Reason::ALL {
        let count = counts.iter().filter(|(counted, _)| *counted == reason).map(|(_, count)| count).sum();
        STUCK.record(count, &[KeyValue::new("reason", reason.as_str())]);
    }
}

/// How many settlement differences wait for a person now; a kind that is not counted has none.
pub fn settlement_differences(counts: &[(DifferenceKind, i64)]) {
    static OPEN: LazyLock<Gauge<i64>> = LazyLock::new(|| {
        gauge("payment_settlement_differences", "Settlement differences that wait for a person, by kind")
    });
    for kind in DifferenceKind::ALL {
        let count = counts.iter().filter(|(counted, _)| *counted == kind).map(|(_, count)| count).sum();
        OPEN.record(count, &[KeyValue::new("kind", kind.as_str())]);
    }
}

/// One answer applied to one attempt.
pub fn settlement(operation: Operation, settlement: &Settlement) {
    static SETTLEMENTS: LazyLock<Counter<u64>> =
        LazyLock::new(|| counter("payment_settlements", "Provider answers applied to payments"));
    let outcome = match settlement {
        Settlement::Unchanged => "unchanged",
        Settlement::Lost => "lost",
        Settlement::Waiting => "waiting",
        Settlement::Settled { .. } => "settled",
        Settlement::Premature => "premature",
        Settlement::Conflict(_) => "conflict",
    };
    SETTLEMENTS.add(1, &[KeyValue::new("operation", operation.as_str()), KeyValue::new("outcome", outcome)]);
}
