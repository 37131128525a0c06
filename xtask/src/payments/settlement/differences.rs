//! `payments settlement differences`: what waits for a person, oldest first. It changes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1::{
    ListSettlementDifferencesRequest, SettlementDecision, SettlementDifference, SettlementLine,
};

use super::client;
use crate::staff;
use crate::terminal::say;
use crate::up;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(as_json: bool) -> anyhow::Result<()> {
    let stack = up::running()?;
    let mut client = client(&stack)?;
    let differences = staff::listed(async |page_token| {
        let message = ListSettlementDifferencesRequest { page_size: staff::PAGE, page_token };
        let request = staff::request(&stack, "reviewer", message, ANSWER_WITHIN)?;
        let answer = client.list_settlement_differences(request).await;
        let page = answer
            .map_err(|status| anyhow::anyhow!("payment refuses to list: {}", status.message()))?
            .into_inner();
        Ok((page.differences, page.next_page_token))
    })
    .await?;
    if as_json {
        say(json!({ "differences": differences.iter().map(object).collect::<Vec<_>>() }).to_string());
    } else if differences.is_empty() {
        say("files and books agree");
    } else {
        differences.iter().flat_map(lines).for_each(say);
    }
    Ok(())
}

fn kind(difference: &SettlementDifference) -> &'static str {
    let name = difference.kind().as_str_name();
    name.strip_prefix("SETTLEMENT_DIFFERENCE_KIND_").unwrap_or(name)
}

fn possible(difference: &SettlementDifference) -> Vec<&'static str> {
    let word = |decision: i32| {
        let name = SettlementDecision::try_from(decision).unwrap_or_default().as_str_name();
        name.strip_prefix("SETTLEMENT_DECISION_").unwrap_or(name)
    };
    difference.possible.iter().copied().map(word).collect()
}

fn money(money: Option<&Money>) -> String {
    money.map_or_else(|| "nothing".to_owned(), |money| format!("{} {}", money.amount_minor, money.currency))
}

/// Which, what both say, and what may be decided.
fn lines(difference: &SettlementDifference) -> Vec<String> {
    let since = staff::instant(difference.since.as_ref().and_then(stampede_proto::time));
    let place = |line: &SettlementLine| {
        format!("{} line {} {} {:?}", line.file_id, line.line, line.kind, line.reference)
    };
    let theirs = difference.line.as_ref().map_or_else(
        || "no file has it".to_owned(),
        |line| {
            let (gross, fee) = (money(line.gross.as_ref()), money(line.fee.as_ref()));
            format!("{}: {gross}, fee {fee} (minor units)", place(line))
        },
    );
    let ours = match difference.event_id.as_str() {
        "" => "nothing is known of it".to_owned(),
        event => {
            format!("payment {}, fact {event}: {}", difference.payment_id, money(difference.ours.as_ref()))
        }
    };
    vec![
        format!(
            "{} {} of {} since {since}, by {}",
            difference.difference_id,
            kind(difference),
            difference.provider,
            difference.file_id
        ),
        format!("  theirs: {theirs}"),
        format!("  ours: {ours}"),
        format!("  possible: {}", possible(difference).join(", ")),
    ]
}

fn object(difference: &SettlementDifference) -> Value {
    let minor = |money: &Option<Money>| money.as_ref().map(|money| money.amount_minor);
    json!({
        "differenceId": difference.difference_id,
        "kind": kind(difference),
        "provider": difference.provider,
        "fileId": difference.file_id,
        "paymentId": difference.payment_id,
        "eventId": difference.event_id,
        "oursMinor": minor(&difference.ours),
        "line": difference.line.as_ref().map(|line| json!({
            "fileId": line.file_id, "line": line.line, "kind": line.kind, "reference": line.reference,
            "grossMinor": minor(&line.gross), "feeMinor": minor(&line.fee), "netMinor": minor(&line.net),
        })),
        "possible": possible(difference),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_what_both_say_and_what_may_be_decided() {
        let eur = |amount_minor| Some(Money { amount_minor, currency: "EUR".into() });
        let line = SettlementLine {
            file_id: "f1".into(),
            line: 7,
            kind: "CAPTURE".into(),
            reference: "cap_1".into(),
            gross: eur(99),
            fee: eur(2),
            ..SettlementLine::default()
        };
        let difference = SettlementDifference {
            difference_id: "d".into(),
            provider: "simulator".into(),
            file_id: "f1".into(),
            kind: 1,
            line: Some(line),
            event_id: "e".into(),
            payment_id: "p".into(),
            ours: eur(100),
            possible: vec![SettlementDecision::TakeTheirs.into(), SettlementDecision::RejectLine.into()],
            ..SettlementDifference::default()
        };
        let said = lines(&difference);
        assert_eq!(said[0], "d AMOUNT_DIFFERS of simulator since 1970-01-01T00:00:00Z, by f1");
        assert_eq!(said[1], "  theirs: f1 line 7 CAPTURE \"cap_1\": 99 EUR, fee 2 EUR (minor units)");
        assert_eq!(said[2], "  ours: payment p, fact e: 100 EUR");
        assert_eq!(said[3], "  possible: TAKE_THEIRS, REJECT_LINE");
        assert_eq!(object(&difference)["line"]["grossMinor"], 99);
    }
}
