//! `payments resolve`: one decision about one payment. The same command with the same `--id` is the same decision.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use stampede_proto::payment::v1::{PaymentDecision, ResolvePaymentRequest, StuckReason};
use uuid::Uuid;

use super::client;
use crate::staff::{self, Signed};
use crate::terminal::say;
use crate::up;

/// The contract's: the provider may be asked meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reason {
    Conflict,
    Unknown,
    RefundRefused,
    HoldLapsed,
    WebhookParked,
    WebhookRefused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    /// Ask the provider again; what it says now counts.
    AskAgain,
    /// The provider's claim becomes the fact, with its entries.
    TakeTheirs,
    /// Our facts stay as they are.
    KeepOurs,
    /// It was settled outside: what is open was not done, what is held was let go.
    CloseByHand,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The payment, as `payments stuck` lists it.
    payment: Uuid,
    /// Why it is listed.
    reason: Reason,
    decision: Decision,
    #[command(flatten)]
    signed: Signed,
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let stack = up::running()?;
    let id = args.signed.id.unwrap_or_else(Uuid::now_v7);
    let message = ResolvePaymentRequest {
        payment_id: args.payment.to_string(),
        resolution_id: id.to_string(),
        reason: reason(args.reason).into(),
        decision: decision(args.decision).into(),
        note: args.signed.note.clone(),
    };
    let answer = client(&stack)?
        .resolve_payment(staff::request(&stack, &args.signed.user, message, ANSWER_WITHIN)?)
        .await;
    let payment = answer
        .map_err(|status| anyhow::anyhow!("payment does not resolve it (--id {id}): {}", status.message()))?
        .into_inner()
        .payment;
    let state = payment.map(|payment| payment.state().as_str_name());
    say(if args.signed.json {
        json!({ "paymentId": args.payment, "resolutionId": id, "state": state }).to_string()
    } else {
        format!("{} is {}", args.payment, state.unwrap_or("no payment"))
    });
    Ok(())
}

const fn reason(reason: Reason) -> StuckReason {
    match reason {
        Reason::Conflict => StuckReason::Conflict,
        Reason::Unknown => StuckReason::Unknown,
        Reason::RefundRefused => StuckReason::RefundRefused,
        Reason::HoldLapsed => StuckReason::HoldLapsed,
        Reason::WebhookParked => StuckReason::WebhookParked,
        Reason::WebhookRefused => StuckReason::WebhookRefused,
    }
}

const fn decision(decision: Decision) -> PaymentDecision {
    match decision {
        Decision::AskAgain => PaymentDecision::AskAgain,
        Decision::TakeTheirs => PaymentDecision::TakeTheirs,
        Decision::KeepOurs => PaymentDecision::KeepOurs,
        Decision::CloseByHand => PaymentDecision::CloseByHand,
    }
}
