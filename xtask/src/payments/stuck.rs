//! `payments stuck`: what waits for a person, those that have waited longest first. It changes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1::{
    ListStuckPaymentsRequest, NextStep, PaymentClaim, PaymentDecision, StuckPayment, StuckReason,
};

use super::client;
use crate::staff;
use crate::terminal::say;
use crate::up;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(as_json: bool) -> anyhow::Result<()> {
    let stack = up::running()?;
    let mut client = client(&stack)?;
    let stuck = staff::listed(async |page_token| {
        let message = ListStuckPaymentsRequest { page_size: staff::PAGE, page_token };
        let answer =
            client.list_stuck_payments(staff::request(&stack, "reviewer", message, ANSWER_WITHIN)?).await;
        let page = answer
            .map_err(|status| anyhow::anyhow!("payment refuses to list: {}", status.message()))?
            .into_inner();
        Ok((page.payments, page.next_page_token))
    })
    .await?;
    if as_json {
        say(json!({ "payments": stuck.iter().map(object).collect::<Vec<_>>() }).to_string());
    } else if stuck.is_empty() {
        say("no payment waits for a person");
    } else {
        stuck.iter().flat_map(lines).for_each(say);
    }
    Ok(())
}

/// `CLOSE_BY_HAND` of `PAYMENT_DECISION_CLOSE_BY_HAND`.
pub fn decision(decision: i32) -> &'static str {
    let name = PaymentDecision::try_from(decision).unwrap_or_default().as_str_name();
    name.strip_prefix("PAYMENT_DECISION_").unwrap_or(name)
}

fn reason(reason: i32) -> &'static str {
    let name = StuckReason::try_from(reason).unwrap_or_default().as_str_name();
    name.strip_prefix("STUCK_REASON_").unwrap_or(name)
}

fn next_step(step: i32) -> &'static str {
    let name = NextStep::try_from(step).unwrap_or_default().as_str_name();
    name.strip_prefix("NEXT_STEP_").unwrap_or(name)
}

fn money(money: Option<&Money>) -> String {
    money.map_or_else(|| "nothing".to_owned(), |money| format!("{} {}", money.amount_minor, money.currency))
}

/// Which and why, what to do, what may be decided; and one for each claim and each decision made before.
fn lines(stuck: &StuckPayment) -> Vec<String> {
    let possible: Vec<&str> = stuck.possible.iter().copied().map(decision).collect();
    let state = stuck.payment.as_ref().map_or("no payment", |payment| payment.state().as_str_name());
    let mut lines = vec![
        format!(
            "{} {} since {}: {}",
            stuck.payment_id,
            reason(stuck.reason),
            staff::instant(stuck.since.as_ref().and_then(stampede_proto::time)),
            stuck.detail
        ),
        format!("  {}", state.trim_start_matches("PAYMENT_STATE_")),
        format!("  {}: {}", next_step(stuck.next_step), stuck.advice),
        format!("  possible: {}", possible.join(", ")),
    ];
    lines.extend(stuck.claims.iter().map(|claim| {
        let said = kind(claim);
        let amount = money(claim.amount.as_ref());
        format!(
            "  the provider claims {said} {amount} (minor units) as {:?}: {}",
            claim.provider_reference, claim.reason
        )
    }));
    lines.extend(stuck.resolutions.iter().map(|made| {
        format!(
            "  before: {} of {} by {}: {}",
            decision(made.decision),
            reason(made.reason),
            made.actor,
            made.note
        )
    }));
    lines
}

fn kind(claim: &PaymentClaim) -> &'static str {
    let name = claim.kind().as_str_name();
    name.strip_prefix("PAYMENT_EVENT_KIND_").unwrap_or(name)
}

fn object(stuck: &StuckPayment) -> Value {
    json!({
        "paymentId": stuck.payment_id,
        "orderId": stuck.payment.as_ref().map(|payment| payment.order_id.clone()),
        "state": stuck.payment.as_ref().map(|payment| payment.state().as_str_name()),
        "reason": reason(stuck.reason),
        "detail": stuck.detail,
        "since": staff::instant(stuck.since.as_ref().and_then(stampede_proto::time)),
        "nextStep": next_step(stuck.next_step),
        "advice": stuck.advice,
        "possible": stuck.possible.iter().copied().map(decision).collect::<Vec<_>>(),
        "claims": stuck.claims.iter().map(|claim| json!({
            "kind": kind(claim), "reference": claim.provider_reference, "reason": claim.reason,
            "amountMinor": claim.amount.as_ref().map(|amount| amount.amount_minor),
        })).collect::<Vec<_>>(),
        "resolutions": stuck.resolutions.iter().map(|made| json!({
            "resolutionId": made.resolution_id, "decision": decision(made.decision),
            "reason": reason(made.reason), "actor": made.actor, "note": made.note,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_payment_says_why_what_to_do_and_what_may_be_decided() {
        let claim = PaymentClaim {
            kind: stampede_proto::payment::v1::PaymentEventKind::Captured.into(),
            provider_reference: "r".into(),
            amount: Some(Money { amount_minor: 99, currency: "EUR".into() }),
            reason: "another amount".into(),
            at: None,
        };
        let stuck = StuckPayment {
            payment_id: "p".into(),
            reason: StuckReason::Conflict.into(),
            detail: "another amount".into(),
            next_step: NextStep::Compare.into(),
            advice: "Look.".into(),
            possible: vec![PaymentDecision::AskAgain.into(), PaymentDecision::KeepOurs.into()],
            claims: vec![claim],
            ..StuckPayment::default()
        };
        let said = lines(&stuck);
        assert_eq!(said[0], "p CONFLICT since 1970-01-01T00:00:00Z: another amount");
        assert_eq!(said[2], "  COMPARE: Look.");
        assert_eq!(said[3], "  possible: ASK_AGAIN, KEEP_OURS");
        assert!(said[4].contains("CAPTURED 99 EUR"), "{said:?}");
        assert_eq!(object(&stuck)["possible"], json!(["ASK_AGAIN", "KEEP_OURS"]));
    }
}
