//! The wire's face of `RepairService`: a message in, one call, a message out.

use stampede_kit as kit;
use stampede_proto::payment::v1 as pb;
use stampede_proto::payment::v1::repair_service_server::RepairService;
use stampede_proto::timestamp;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::wire;
use crate::domain::Payment;
use crate::domain::stuck::{Claim, Decision, NextStep, Reason};
use crate::error::Error;
use crate::payments::Payments;
use crate::repair::Resolve;
use crate::store::resolutions::Resolution;
use crate::stuck::Stuck;

pub struct Repair(pub Payments);

#[tonic::async_trait]
impl RepairService for Repair {
    async fn list_stuck_payments(
        &self,
        request: Request<pb::ListStuckPaymentsRequest>,
    ) -> Result<Response<pb::ListStuckPaymentsResponse>, Status> {
        let request = request.into_inner();
        let page = self.0.stuck(request.page_size, &request.page_token).await?;
        let payments = page.stuck.into_iter().map(stuck).collect();
        Ok(Response::new(pb::ListStuckPaymentsResponse { payments, next_page_token: page.next }))
    }

    async fn resolve_payment(
        &self,
        request: Request<pb::ResolvePaymentRequest>,
    ) -> Result<Response<pb::ResolvePaymentResponse>, Status> {
        let actor = kit::Context::of(&request).caller()?.subject.to_string();
        let request = request.into_inner();
        wire::free_of_cards("note", &request.note)?;
        let required = |field| Error::Invalid { field, rule: "is required" };
        let command = Resolve {
            id: wire::id("resolution_id", &request.resolution_id)?,
            payment: wire::payment_id(&request.payment_id)?,
            reason: known_reason(request.reason()).ok_or(required("reason"))?,
            decision: known_decision(request.decision()).ok_or(required("decision"))?,
            note: request.note,
        };
        let payment = self.0.resolve_stuck(&command, &actor).await?;
        let payment = payment.as_ref().map(wire::payment);
        Ok(Response::new(pb::ResolvePaymentResponse { payment }))
    }
}

fn stuck(stuck: Stuck) -> pb::StuckPayment {
    let Stuck { case, payment, claims, possible, resolutions } = stuck;
    let (step, advice) = case.reason.advice();
    pb::StuckPayment {
        payment_id: case.payment.to_string(),
        payment: payment.as_ref().map(wire::payment),
        reason: reason(case.reason).into(),
        detail: case.detail,
        since: Some(timestamp(case.since)),
        next_step: next_step(step).into(),
        advice: advice.to_owned(),
        possible: possible.into_iter().map(|way| decision(way).into()).collect(),
        claims: claims.into_iter().map(|told| claim(payment.as_ref(), told)).collect(),
        resolutions: resolutions.into_iter().map(resolution).collect(),
    }
}

fn claim(payment: Option<&Payment>, claim: Claim) -> pb::PaymentClaim {
    let money = claim.amount_minor.zip(payment).and_then(|(amount, payment)| payment.money(amount));
    pb::PaymentClaim {
        kind: claim.kind.map_or(pb::PaymentEventKind::Unspecified, wire::kind).into(),
        provider_reference: claim.reference.unwrap_or_default(),
        amount: money.map(Into::into),
        reason: claim.reason,
        at: Some(timestamp(claim.at)),
    }
}

fn resolution((made, at): (Resolution, OffsetDateTime)) -> pb::PaymentResolution {
    pb::PaymentResolution {
        resolution_id: made.id.to_string(),
        reason: reason(made.reason).into(),
        decision: decision(made.decision).into(),
        actor: made.actor,
        note: made.note,
        at: Some(timestamp(at)),
    }
}

const fn reason(reason: Reason) -> pb::StuckReason {
    match reason {
        Reason::Conflict => pb::StuckReason::Conflict,
        Reason::Unknown => pb::StuckReason::Unknown,
        Reason::RefundRefused => pb::StuckReason::RefundRefused,
        Reason::HoldLapsed => pb::StuckReason::HoldLapsed,
        Reason::WebhookParked => pb::StuckReason::WebhookParked,
        Reason::WebhookRefused => pb::StuckReason::WebhookRefused,
    }
}

const fn decision(decision: Decision) -> pb::PaymentDecision {
    match decision {
        Decision::AskAgain => pb::PaymentDecision::AskAgain,
        Decision::TakeTheirs => pb::PaymentDecision::TakeTheirs,
        Decision::KeepOurs => pb::PaymentDecision::KeepOurs,
        Decision::CloseByHand => pb::PaymentDecision::CloseByHand,
    }
}

const fn next_step(step: NextStep) -> pb::NextStep {
    match step {
        NextStep::Compare => pb::NextStep::Compare,
        NextStep::AskProvider => pb::NextStep::AskProvider,
        NextStep::GiveBack => pb::NextStep::GiveBack,
        NextStep::LookAtOrder => pb::NextStep::LookAtOrder,
        NextStep::LookAtProvider => pb::NextStep::LookAtProvider,
    }
}

fn known_reason(asked: pb::StuckReason) -> Option<Reason> {
    Reason::ALL.into_iter().find(|known| reason(*known) == asked)
}

fn known_decision(asked: pb::PaymentDecision) -> Option<Decision> {
    Decision::ALL.into_iter().find(|known| decision(*known) == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_decision_has_its_name_on_the_wire_and_comes_back() {
        for known in Reason::ALL {
            assert_eq!(reason(known).as_str_name(), format!("STUCK_REASON_{}", known.as_str()));
            assert_eq!(known_reason(reason(known)), Some(known));
        }
        for known in Decision::ALL {
            assert_eq!(decision(known).as_str_name(), format!("PAYMENT_DECISION_{}", known.as_str()));
            assert_eq!(known_decision(decision(known)), Some(known));
        }
        assert_eq!(known_reason(pb::StuckReason::Unspecified), None);
        assert_eq!(known_decision(pb::PaymentDecision::Unspecified), None);
    }
}
