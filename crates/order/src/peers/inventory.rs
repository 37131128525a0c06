//! What inventory is asked and what its answers mean to an order.

use std::collections::{BTreeMap, HashMap};

use stampede_kit as kit;
use stampede_kit::client::{self, request};
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::inventory::v1::{
    BatchGetSkusRequest, CommitReservationRequest, GetCampaignRequest, GetReservationRequest,
    ReleaseReservationRequest, Reservation, ReservationLine, ReservationState, ReserveStockRequest,
    ReturnStockRequest,
};
use stampede_types::{BuyerId, CampaignId, Money, Pool, ReservationId, SkuId};
use std::time::Duration;
use tonic::Status;
use uuid::Uuid;

use super::{ASK_WITHIN, Peers, fact, failed, reason};
use crate::domain::fulfilment::Units;
use crate::domain::order::Order;
use crate::domain::pricing::{Offer, Wanted};
use crate::domain::saga::Outcome;

impl Peers {
    /// The SKUs that exist, of at most a hundred.
    pub async fn skus(&self, skus: &[SkuId]) -> Result<HashMap<SkuId, Offer>, Status> {
        let message = BatchGetSkusRequest { sku_ids: skus.iter().map(ToString::to_string).collect() };
        let answer = self.catalog.clone().batch_get_skus(request(message, ASK_WITHIN)).await?.into_inner();
        answer
            .skus
            .into_iter()
            .map(|sku| {
                let id = sku.sku_id.parse::<SkuId>().map_err(|_| malformed("a SKU's name"))?;
                Ok((id, Offer { title: sku.title, unit_price: money(sku.price)? }))
            })
            .collect()
    }

    /// Prices by SKU; `None` when there is no such campaign. Whether it is open is decided when stock is held.
    pub async fn campaign(&self, campaign: &CampaignId) -> Result<Option<HashMap<SkuId, Money>>, Status> {
        let message = GetCampaignRequest { campaign_id: campaign.to_string() };
        let answer = match self.campaigns.clone().get_campaign(request(message, ASK_WITHIN)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if reason(&status) == Some(ErrorReason::CampaignNotFound) => return Ok(None),
            Err(status) => return Err(status),
        };
        let items = answer
            .items
            .into_iter()
            .map(|item| {
                let sku = item.sku_id.parse::<SkuId>().map_err(|_| malformed("a SKU's name"))?;
                Ok((sku, money(item.price)?))
            })
            .collect::<Result<_, Status>>()?;
        Ok(Some(items))
    }

    /// Holds all lines or none. `repeated` says that the buyer has asked for this order before: inventory hears so in a call of
    /// its own. So does a request whose trace is recorded, which the call belongs to.
    pub async fn reserve(
        &self,
        id: ReservationId,
        buyer: &BuyerId,
        lines: &[Wanted],
        hold: Duration,
        repeated: bool,
    ) -> Result<Reservation, Status> {
        let message = ReserveStockRequest {
            reservation_id: id.to_string(),
            buyer_id: buyer.to_string(),
            lines: lines
                .iter()
                .map(|line| ReservationLine {
                    sku_id: line.sku.to_string(),
                    campaign_id: line.pool.campaign_id().to_owned(),
                    quantity: line.quantity.get(),
                })
                .collect(),
            hold_ms: u32::try_from(hold.as_millis()).unwrap_or(u32::MAX),
        };
        if !repeated && kit::telemetry::recorded_traceparent().is_none() {
            return self.reserving.reserve(message).await;
        }
        let asked = request(message, ASK_WITHIN);
        let asked = if repeated { client::repeated(asked) } else { asked };
        // Apart: what waits for the stream is not as large as a call.
        Ok(Box::pin(self.stock.clone().reserve_stock(asked)).await?.into_inner())
    }

    /// The one decision between paying, expiring and cancelling.
    pub async fn commit(&self, id: ReservationId) -> Outcome {
        let message = CommitReservationRequest { reservation_id: id.to_string(), lines: Vec::new() };
        match self.stock.clone().commit_reservation(request(message, self.step_within)).await {
            Ok(answer) => match answer.into_inner().state() {
                ReservationState::Committed => Outcome::Done,
                ReservationState::Released => Outcome::HoldReleased,
                ReservationState::Expired => Outcome::HoldExpired,
                ReservationState::Pending | ReservationState::Unspecified => {
                    Outcome::Pending("not committed".into())
                }
            },
            Err(status) => resolved(&status),
        }
    }

    pub async fn release(&self, id: ReservationId) -> Outcome {
        let message = ReleaseReservationRequest { reservation_id: id.to_string(), keep: Vec::new() };
        match self.stock.clone().release_reservation(request(message, self.step_within)).await {
            Ok(answer) => match answer.into_inner().state() {
                ReservationState::Released => Outcome::Done,
                ReservationState::Expired => Outcome::HoldExpired,
                ReservationState::Committed => Outcome::HoldCommitted,
                ReservationState::Pending => Outcome::Pending("not released".into()),
                // There never was one: nothing to release, and no error.
                ReservationState::Unspecified => Outcome::Done,
            },
            Err(status) => resolved(&status),
        }
    }

    /// Whether this reservation has become a sale.
    pub async fn is_committed(&self, id: ReservationId) -> Result<bool, Status> {
        let message = GetReservationRequest { reservation_id: id.to_string() };
        match self.stock.clone().get_reservation(request(message, ASK_WITHIN)).await {
            Ok(answer) => Ok(answer.into_inner().state() == ReservationState::Committed),
            Err(status) if reason(&status) == Some(ErrorReason::ReservationNotFound) => Ok(false),
            Err(status) => Err(status),
        }
    }

    /// This reservation as it stands.
    pub async fn reservation(&self, id: ReservationId) -> Result<Reservation, Status> {
        let message = GetReservationRequest { reservation_id: id.to_string() };
        Ok(self.stock.clone().get_reservation(request(message, ASK_WITHIN)).await?.into_inner())
    }

    /// What this reservation holds, in the order it was asked for.
    pub async fn held(&self, id: ReservationId) -> Result<Vec<Wanted>, Status> {
        let held = self.reservation(id).await?;
        let line = |line: ReservationLine| {
            let sku = line.sku_id.parse().map_err(|_| malformed("a SKU's name"))?;
            let pool =
                Pool::from_campaign_id(&line.campaign_id).map_err(|_| malformed("a campaign's name"))?;
            let quantity = line.quantity.try_into().map_err(|_| malformed("a quantity"))?;
            Ok(Wanted { sku, pool, quantity })
        };
        held.lines.into_iter().map(line).collect()
    }

    /// Gives all committed units back.
    pub async fn return_stock(&self, id: ReservationId, return_id: Uuid) -> Outcome {
        self.take_back(id, return_id, Vec::new()).await
    }

    /// Gives these units of the order's lines back, and no others.
    pub async fn return_units(&self, order: &Order, return_id: Uuid, units: &[Units]) -> Outcome {
        // Two lines of one SKU are one cell of the warehouse.
        let mut cells: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for units in units {
            let line = &order.lines[units.line];
            *cells.entry((line.sku.as_str(), line.pool.campaign_id())).or_default() += units.quantity;
        }
        let lines = cells.into_iter().map(|((sku, campaign), quantity)| ReservationLine {
            sku_id: sku.to_owned(),
            campaign_id: campaign.to_owned(),
            quantity,
        });
        self.take_back(order.reservation(), return_id, lines.collect()).await
    }

    async fn take_back(&self, id: ReservationId, return_id: Uuid, lines: Vec<ReservationLine>) -> Outcome {
        let message =
            ReturnStockRequest { reservation_id: id.to_string(), return_id: return_id.to_string(), lines };
        match self.stock.clone().return_stock(request(message, self.step_within)).await {
            Ok(_) => Outcome::Done,
            Err(status) => failed(&status),
        }
    }
}

/// The SKU and campaign that a refusal to hold stock is about.
pub fn refused_cell(status: &Status) -> Option<(String, String)> {
    let sku = fact(status, "sku_id");
    (!sku.is_empty()).then(|| (sku, fact(status, "campaign_id")))
}

/// A refusal of a reservation's step: who won, where the refusal says so.
fn resolved(status: &Status) -> Outcome {
    match reason(status) {
        Some(ErrorReason::ReservationNotFound) => Outcome::HoldExpired,
        Some(ErrorReason::ReservationResolved) => {
            match fact(status, "state").trim_start_matches("RESERVATION_STATE_") {
                "COMMITTED" => Outcome::HoldCommitted,
                "RELEASED" => Outcome::HoldReleased,
                "EXPIRED" => Outcome::HoldExpired,
                other => Outcome::Refused(format!("the reservation is {other:?}")),
            }
        }
        Some(_) | None => failed(status),
    }
}

fn money(price: Option<stampede_proto::common::v1::Money>) -> Result<Money, Status> {
    price.and_then(|price| Money::try_from(price).ok()).ok_or_else(|| malformed("a price"))
}

fn malformed(what: &str) -> Status {
    Status::internal(format!("inventory sent {what} that is none"))
}
