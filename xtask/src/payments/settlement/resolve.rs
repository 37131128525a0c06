//! `payments settlement resolve`: one decision about one difference. The same command with the same `--id` is the same decision.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use stampede_proto::payment::v1::{ResolveSettlementDifferenceRequest, SettlementDecision};
use uuid::Uuid;

use super::client;
use crate::staff::{self, Signed};
use crate::terminal::say;
use crate::up;

/// The contract's.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    /// What the line says was paid; what does not agree goes to settlement_differences.
    TakeTheirs,
    /// The line is wrong and no money moved; the fact is still owed.
    RejectLine,
    /// What is owed will not be paid.
    WriteOff,
    /// It is looked at again with the next file.
    Wait,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The difference, as `payments settlement differences` lists it.
    difference: Uuid,
    decision: Decision,
    #[command(flatten)]
    signed: Signed,
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let stack = up::running()?;
    let id = args.signed.id.unwrap_or_else(Uuid::now_v7);
    let decision = decision(args.decision);
    let message = ResolveSettlementDifferenceRequest {
        difference_id: args.difference.to_string(),
        resolution_id: id.to_string(),
        decision: decision.into(),
        note: args.signed.note.clone(),
    };
    let request = staff::request(&stack, &args.signed.user, message, ANSWER_WITHIN)?;
    let answer = client(&stack)?.resolve_settlement_difference(request).await;
    answer
        .map_err(|status| anyhow::anyhow!("payment does not resolve it (--id {id}): {}", status.message()))?;
    let decided = decision.as_str_name();
    say(if args.signed.json {
        json!({ "differenceId": args.difference, "resolutionId": id, "decision": decided }).to_string()
    } else {
        format!("{} is decided: {decided}", args.difference)
    });
    Ok(())
}

const fn decision(decision: Decision) -> SettlementDecision {
    match decision {
        Decision::TakeTheirs => SettlementDecision::TakeTheirs,
        Decision::RejectLine => SettlementDecision::RejectLine,
        Decision::WriteOff => SettlementDecision::WriteOff,
        Decision::Wait => SettlementDecision::Wait,
    }
}
