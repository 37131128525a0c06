//! `AuditService` on the wire.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use stampede_proto::inventory::v1::audit_service_server::AuditService;
use stampede_proto::inventory::v1::reconcile_stock_response::Update;
use stampede_proto::inventory::v1::{
    ReconcileStockRequest, ReconcileStockResponse, ReconcileSummary, StockDifference, StockDifferenceKind,
    StockRemedy,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::domain::drift::{Action, Kind};
use crate::inventory::Inventory;
use crate::reconcile::{Finding, Pace, Said, Summary};

pub struct AuditApi {
    inventory: Inventory,
    pace: Pace,
    stop: CancellationToken,
}

impl AuditApi {
    /// `stop` ends the streams.
    pub const fn new(inventory: Inventory, pace: Pace, stop: CancellationToken) -> Self {
        Self { inventory, pace, stop }
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    type ReconcileStockStream = Pin<Box<dyn Stream<Item = Result<ReconcileStockResponse, Status>> + Send>>;

    async fn reconcile_stock(
        &self,
        request: Request<ReconcileStockRequest>,
    ) -> Result<Response<Self::ReconcileStockStream>, Status> {
        let said = self.inventory.compare(self.pace, request.into_inner().dry_run)?;
        let messages = said.map(|said| match said {
            Ok(said) => Ok(ReconcileStockResponse { update: Some(update(said)) }),
            Err(error) => Err(error.into()),
        });
        Ok(Response::new(Box::pin(messages.take_until(self.stop.clone().cancelled_owned()))))
    }
}

fn update(said: Said) -> Update {
    match said {
        Said::Found(Finding { difference, action }) => Update::Difference(StockDifference {
            sku_id: difference.cell.sku.to_string(),
            campaign_id: difference.cell.pool.campaign_id().to_owned(),
            kind: kind(difference.kind).into(),
            subject: difference.subject,
            gate: difference.gate,
            ledger: difference.ledger,
            movements: difference.movements,
            reservations: difference.reservations,
            remedy: remedy(action).into(),
        }),
        Said::Done(Summary { cells, moving }) => Update::Summary(ReconcileSummary { cells, moving }),
    }
}

const fn kind(kind: Kind) -> StockDifferenceKind {
    match kind {
        Kind::GateUnits => StockDifferenceKind::GateUnits,
        Kind::GateQuota => StockDifferenceKind::GateQuota,
        Kind::GateToken => StockDifferenceKind::GateToken,
        Kind::OnHand => StockDifferenceKind::OnHand,
        Kind::Held => StockDifferenceKind::Held,
        Kind::Committed => StockDifferenceKind::Committed,
        Kind::Backorder => StockDifferenceKind::Backorder,
        Kind::Quota => StockDifferenceKind::Quota,
    }
}

const fn remedy(action: Action) -> StockRemedy {
    match action {
        Action::Reported => StockRemedy::Reported,
        Action::WouldRepair => StockRemedy::WouldRepair,
        Action::Reloaded => StockRemedy::Reloaded,
        Action::QuotaSet => StockRemedy::QuotaSet,
        Action::GivenBack => StockRemedy::GivenBack,
        Action::Forgotten => StockRemedy::Forgotten,
        Action::NotRepaired => StockRemedy::NotRepaired,
    }
}
