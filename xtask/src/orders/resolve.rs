//! `orders resolve`: one decision about one order. The same command with the same `--id` is the same decision.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use stampede_proto::order::v1::{ResolveReviewRequest, ReviewResolution};
use uuid::Uuid;

use super::client;
use crate::staff::{self, Signed};
use crate::terminal::say;
use crate::up;

/// The contract's: the order goes on while we wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resolution {
    /// Take the step again.
    Retry,
    /// What the step should undo has been undone by hand: go on after it.
    StepDone,
    /// Undo the order from wherever it stands.
    Cancel,
    /// Confirm it: payment and inventory must both have what it takes.
    Confirm,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The order, as `orders review` lists it.
    order: Uuid,
    resolution: Resolution,
    /// The payment whose late money it is about, where one is listed.
    #[arg(long)]
    payment: Option<Uuid>,
    #[command(flatten)]
    signed: Signed,
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let stack = up::running()?;
    let id = args.signed.id.unwrap_or_else(Uuid::now_v7);
    let message = ResolveReviewRequest {
        order_id: args.order.to_string(),
        resolution_id: id.to_string(),
        resolution: wire(args.resolution).into(),
        note: args.signed.note.clone(),
        payment_id: args.payment.map_or_else(String::new, |payment| payment.to_string()),
    };
    let answer = client(&stack)?
        .resolve_review(staff::request(&stack, &args.signed.user, message, ANSWER_WITHIN)?)
        .await;
    let order = answer
        .map_err(|status| anyhow::anyhow!("order does not resolve it (--id {id}): {}", status.message()))?
        .into_inner();
    let state = order.state().as_str_name();
    say(if args.signed.json {
        json!({ "orderId": order.order_id, "resolutionId": id, "state": state }).to_string()
    } else {
        format!("{} is {state}", order.order_id)
    });
    Ok(())
}

fn wire(resolution: Resolution) -> ReviewResolution {
    match resolution {
        Resolution::Retry => ReviewResolution::Retry,
        Resolution::StepDone => ReviewResolution::StepDone,
        Resolution::Cancel => ReviewResolution::Cancel,
        Resolution::Confirm => ReviewResolution::Confirm,
    }
}
