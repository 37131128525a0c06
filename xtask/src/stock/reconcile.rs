//! `stock reconcile`: asks the running inventory to compare everything once, by gRPC with the certificate of `client` and a
//! token of staff's. What it finds is printed as it comes.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use stampede_proto::inventory::v1::audit_service_client::AuditServiceClient;
use stampede_proto::inventory::v1::reconcile_stock_response::Update;
use stampede_proto::inventory::v1::{
    ReconcileStockRequest, ReconcileSummary, StockDifference, StockDifferenceKind,
};

use crate::stack::Stack;
use crate::staff;
use crate::terminal::say;
use crate::up;

/// The contract's: everything is compared, and what differs at the gate is looked at twice.
const ANSWER_WITHIN: Duration = Duration::from_secs(3_600);
/// Differences printed as JSON; they are counted to the last.
const MAX_LISTED: usize = 10_000;

/// What was found, added up.
#[derive(Debug, Default)]
struct Tally {
    at_gate: u64,
    in_ledger: u64,
    listed: Vec<Value>,
    summary: Option<ReconcileSummary>,
}

/// Whether the ledger agrees with itself.
pub async fn run(dry_run: bool, as_json: bool) -> anyhow::Result<bool> {
    let stack = up::running()?;
    let mut answers = ask(&stack, dry_run).await?;
    let mut tally = Tally::default();
    while let Some(message) = answers.message().await.context("the comparison broke off")? {
        match message.update {
            Some(Update::Difference(difference)) => tally.add(&difference, as_json),
            Some(Update::Summary(summary)) => tally.summary = Some(summary),
            None => {}
        }
    }
    let summary = tally.summary.context("inventory ended the comparison before its summary")?;
    let Tally { at_gate, in_ledger, listed, .. } = tally;
    if as_json {
        let whole = json!({
            "dryRun": dry_run, "cells": summary.cells, "moving": summary.moving, "atGate": at_gate,
            "inLedger": in_ledger, "differences": listed,
        });
        say(whole.to_string());
    } else {
        let repaired =
            if dry_run { "nothing was changed" } else { "the gate was repaired where it could be" };
        say(format!(
            "{} cells: the ledger disagrees with itself in {in_ledger}, the gate with the ledger in {at_gate}; {repaired}",
            summary.cells
        ));
        if summary.moving > 0 {
            say(format!("{} cells sold all the time: nothing can be said of their gate", summary.moving));
        }
    }
    Ok(in_ledger == 0)
}

async fn ask(
    stack: &Stack,
    dry_run: bool,
) -> anyhow::Result<tonic::Streaming<stampede_proto::inventory::v1::ReconcileStockResponse>> {
    let channel = staff::channel(stack, "inventory")?;
    let request = staff::request(stack, "reconcile", ReconcileStockRequest { dry_run }, ANSWER_WITHIN)?;
    let answer = AuditServiceClient::new(channel).reconcile_stock(request).await;
    Ok(answer
        .map_err(|status| anyhow::anyhow!("inventory refuses to compare: {}", status.message()))?
        .into_inner())
}

impl Tally {
    fn add(&mut self, difference: &StockDifference, as_json: bool) {
        if is_ledgers(difference.kind()) {
            self.in_ledger += 1;
        } else {
            self.at_gate += 1;
        }
        if !as_json {
            say(line(difference));
        } else if self.listed.len() < MAX_LISTED {
            self.listed.push(object(difference));
        }
    }
}

/// An unknown kind is one of a newer inventory's: better taken too seriously than not.
fn is_ledgers(kind: StockDifferenceKind) -> bool {
    match kind {
        StockDifferenceKind::GateUnits | StockDifferenceKind::GateQuota | StockDifferenceKind::GateToken => {
            false
        }
        StockDifferenceKind::Unspecified
        | StockDifferenceKind::OnHand
        | StockDifferenceKind::Held
        | StockDifferenceKind::Committed
        | StockDifferenceKind::Backorder
        | StockDifferenceKind::Quota => true,
    }
}

fn sides(difference: &StockDifference) -> [(&'static str, Option<i64>); 4] {
    let StockDifference { gate, ledger, movements, reservations, .. } = *difference;
    [("gate", gate), ("ledger", ledger), ("movements", movements), ("reservations", reservations)]
}

fn words(difference: &StockDifference) -> (&'static str, &'static str) {
    let kind = difference.kind().as_str_name();
    let remedy = difference.remedy().as_str_name();
    (
        kind.strip_prefix("STOCK_DIFFERENCE_KIND_").unwrap_or(kind),
        remedy.strip_prefix("STOCK_REMEDY_").unwrap_or(remedy),
    )
}

/// `flash/tee HELD: ledger 5, reservations 4 (REPORTED)`.
fn line(difference: &StockDifference) -> String {
    let (kind, remedy) = words(difference);
    let said = sides(difference).into_iter().filter_map(|(side, said)| Some(format!("{side} {}", said?)));
    let pool = if difference.campaign_id.is_empty() { "shelf" } else { &difference.campaign_id };
    let subject =
        if difference.subject.is_empty() { String::new() } else { format!(" of {}", difference.subject) };
    let said = said.collect::<Vec<_>>().join(", ");
    format!("{pool}/{} {kind}{subject}: {said} ({remedy})", difference.sku_id)
}

fn object(difference: &StockDifference) -> Value {
    let (kind, remedy) = words(difference);
    let mut object = Map::new();
    object.insert("skuId".to_owned(), json!(difference.sku_id));
    object.insert("campaignId".to_owned(), json!(difference.campaign_id));
    object.insert("kind".to_owned(), json!(kind));
    object.insert("subject".to_owned(), json!(difference.subject));
    for (side, said) in sides(difference) {
        object.insert(side.to_owned(), json!(said));
    }
    object.insert("remedy".to_owned(), json!(remedy));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use stampede_proto::inventory::v1::StockRemedy;

    use super::*;

    #[test]
    fn a_difference_is_a_line_with_every_side_that_spoke() {
        let difference = StockDifference {
            sku_id: "tee".into(),
            campaign_id: "flash".into(),
            kind: StockDifferenceKind::Quota.into(),
            subject: "alice".into(),
            ledger: Some(5),
            reservations: Some(4),
            remedy: StockRemedy::Reported.into(),
            ..StockDifference::default()
        };
        assert_eq!(line(&difference), "flash/tee QUOTA of alice: ledger 5, reservations 4 (REPORTED)");
        assert!(is_ledgers(difference.kind()));
        assert_eq!(object(&difference)["gate"], Value::Null);
    }
}
