//! The wire's face of `SettlementService`: a message in, one call, a message out.

use stampede_kit as kit;
use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1 as pb;
use stampede_proto::payment::v1::settlement_service_server::SettlementService;
use stampede_proto::timestamp;
use stampede_types::Currency;
use tonic::{Request, Response, Status};

use super::wire;
use crate::differences::{Decide, Difference};
use crate::domain::reconcile::{Decision, DifferenceKind, Line};
use crate::error::Error;
use crate::import::{FileState, Import, Imported};
use crate::payments::Payments;

pub struct Settlements(pub Payments);

#[tonic::async_trait]
impl SettlementService for Settlements {
    async fn import_settlement(
        &self,
        request: Request<pb::ImportSettlementRequest>,
    ) -> Result<Response<pb::ImportSettlementResponse>, Status> {
        let actor = kit::Context::of(&request).caller()?.subject.to_string();
        let import = import(request.into_inner())?;
        let imported = self.0.import_settlement(&import, &actor).await?;
        Ok(Response::new(progress(imported)))
    }

    async fn list_settlement_differences(
        &self,
        request: Request<pb::ListSettlementDifferencesRequest>,
    ) -> Result<Response<pb::ListSettlementDifferencesResponse>, Status> {
        let request = request.into_inner();
        let (page, next_page_token) =
            self.0.settlement_differences(request.page_size, &request.page_token).await?;
        let differences = page.into_iter().map(difference).collect();
        Ok(Response::new(pb::ListSettlementDifferencesResponse { differences, next_page_token }))
    }

    async fn resolve_settlement_difference(
        &self,
        request: Request<pb::ResolveSettlementDifferenceRequest>,
    ) -> Result<Response<pb::ResolveSettlementDifferenceResponse>, Status> {
        let actor = kit::Context::of(&request).caller()?.subject.to_string();
        let request = request.into_inner();
        wire::free_of_cards("note", &request.note)?;
        let required = Error::Invalid { field: "decision", rule: "is required" };
        let command = Decide {
            id: wire::id("resolution_id", &request.resolution_id)?,
            difference: wire::id("difference_id", &request.difference_id)?,
            decision: known_decision(request.decision()).ok_or(required)?,
            note: request.note,
        };
        self.0.resolve_difference(&command, &actor).await?;
        let decision = decision(command.decision).into();
        Ok(Response::new(pb::ResolveSettlementDifferenceResponse { decision }))
    }
}

fn import(request: pb::ImportSettlementRequest) -> Result<Import, Error> {
    let invalid = |field, rule| Error::Invalid { field, rule };
    wire::free_of_cards("file_id", &request.file_id)?;
    let instant = |field, told: &Option<_>| match told {
        None => Ok(None),
        Some(told) => match stampede_proto::time(told) {
            // In whole microseconds, as the store keeps it.
            Some(at) if at.year() >= 1 => {
                Ok(Some(at.replace_nanosecond(at.microsecond() * 1_000).unwrap_or(at)))
            }
            Some(_) | None => Err(invalid(field, "must be a time of our era")),
        },
    };
    let period_end = instant("period_end", &request.period_end)?;
    Ok(Import {
        provider: request.provider,
        file: request.file_id,
        digest: request.digest.as_slice().try_into().map_err(|_| invalid("digest", "must be 32 bytes"))?,
        chunks: i32::try_from(request.chunks).map_err(|_| invalid("chunks", "is too large"))?,
        chunk: i32::try_from(request.chunk).map_err(|_| invalid("chunk", "is too large"))?,
        period_start: instant("period_start", &request.period_start)?,
        period_end: period_end.ok_or(invalid("period_end", "is required"))?,
        content: request.content,
    })
}

fn progress(imported: Imported) -> pb::ImportSettlementResponse {
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    pb::ImportSettlementResponse {
        state: state(imported.state).into(),
        received: count(imported.received.into()),
        lines: count(imported.lines),
        matched: count(imported.matched),
        differences: count(imported.differences),
    }
}

fn difference(difference: Difference) -> pb::SettlementDifference {
    let Difference { line_file, line, owed, .. } = difference;
    pb::SettlementDifference {
        difference_id: difference.id.to_string(),
        provider: difference.provider,
        file_id: difference.file,
        kind: kind(difference.kind).into(),
        line: line.map(|told| told_line(told, line_file.unwrap_or_default())),
        event_id: owed.as_ref().map(|owed| owed.event.to_string()).unwrap_or_default(),
        payment_id: difference.payment.map(|payment| payment.to_string()).unwrap_or_default(),
        provider_reference: difference.reference.unwrap_or_default(),
        ours: owed.map(|owed| money(owed.minor, owed.currency)),
        since: Some(timestamp(difference.opened_at)),
        possible: difference.kind.possible().iter().map(|way| decision(*way).into()).collect(),
    }
}

fn told_line(line: Line, file_id: String) -> pb::SettlementLine {
    let money = |minor| Some(money(minor, line.currency));
    pb::SettlementLine {
        file_id,
        line: line.number,
        kind: line.kind.as_str().to_owned(),
        gross: money(line.gross_minor),
        fee: money(line.fee_minor),
        net: money(line.net_minor),
        occurred_at: Some(timestamp(line.occurred_at)),
        reference: line.reference,
        payment: line.payment,
    }
}

fn money(amount_minor: i64, currency: Currency) -> Money {
    Money { amount_minor, currency: currency.to_string() }
}

const fn state(state: FileState) -> pb::SettlementFileState {
    match state {
        FileState::Receiving => pb::SettlementFileState::Receiving,
        FileState::Matching => pb::SettlementFileState::Matching,
        FileState::Done => pb::SettlementFileState::Done,
    }
}

const fn kind(kind: DifferenceKind) -> pb::SettlementDifferenceKind {
    match kind {
        DifferenceKind::AmountDiffers => pb::SettlementDifferenceKind::AmountDiffers,
        DifferenceKind::UnknownHere => pb::SettlementDifferenceKind::UnknownHere,
        DifferenceKind::MissingThere => pb::SettlementDifferenceKind::MissingThere,
        DifferenceKind::Doubled => pb::SettlementDifferenceKind::Doubled,
    }
}

const fn decision(decision: Decision) -> pb::SettlementDecision {
    match decision {
        Decision::TakeTheirs => pb::SettlementDecision::TakeTheirs,
        Decision::RejectLine => pb::SettlementDecision::RejectLine,
        Decision::WriteOff => pb::SettlementDecision::WriteOff,
        Decision::Wait => pb::SettlementDecision::Wait,
    }
}

fn known_decision(asked: pb::SettlementDecision) -> Option<Decision> {
    Decision::ALL.into_iter().find(|known| decision(*known) == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_decision_has_its_name_on_the_wire_and_comes_back() {
        for known in DifferenceKind::ALL {
            assert_eq!(kind(known).as_str_name(), format!("SETTLEMENT_DIFFERENCE_KIND_{}", known.as_str()));
        }
        for known in Decision::ALL {
            assert_eq!(decision(known).as_str_name(), format!("SETTLEMENT_DECISION_{}", known.as_str()));
            assert_eq!(known_decision(decision(known)), Some(known));
        }
        assert_eq!(known_decision(pb::SettlementDecision::Unspecified), None);
    }
}
