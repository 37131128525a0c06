//! `InventoryService` on the wire.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use stampede_kit::clock::Clock;
use stampede_kit::context::is_repeated;
use stampede_proto::inventory::v1;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService;
use stampede_proto::inventory::v1::{
    AdjustStockRequest, CommitReservationRequest, DeductStockRequest, DeductStockResponse,
    ExtendReservationRequest, GetReservationRequest, GetStockRequest, GetStockResponse,
    ReleaseReservationRequest, Reservation, ReserveStockRequest, ReserveStreamRequest, ReserveStreamResponse,
    ReturnStockRequest, ReturnStockResponse, SetBackorderRequest, StockLevel, WatchStockRequest,
    WatchStockResponse,
};
use stampede_types::{BuyerId, Pool, ReservationId, SkuId};
use time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status, Streaming};

use super::parse;
use crate::domain::books::summed;
use crate::domain::{CellKey, Denied, Level, Line};
use crate::error::{Error, Violation, not_implemented};
use crate::feed::{Filter, HEADER_BYTES};
use crate::inventory::Inventory;
use crate::reserve::Attempt;
use crate::wire;

/// How long a hold lasts when the caller does not say.
const HOLD: Duration = Duration::minutes(15);

pub struct InventoryApi {
    inventory: Inventory,
    clock: Clock,
    stop: CancellationToken,
}

impl InventoryApi {
    /// `stop` ends the streams.
    pub const fn new(inventory: Inventory, clock: Clock, stop: CancellationToken) -> Self {
        Self { inventory, clock, stop }
    }
}

impl InventoryApi {
    /// The feed's messages, framed for gRPC.
    pub(super) async fn watch(
        &self,
        request: WatchStockRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, Status>> + Send + use<>, Error> {
        let WatchStockRequest { sku_ids, campaign_id, resume_token } = request;
        let skus = sku_ids.iter().enumerate().map(|(at, id)| parse::text(&format!("sku_ids[{at}]"), id));
        let skus: Vec<SkuId> = skus.collect::<Result<_, Violation>>()?;
        let pool = match campaign_id.as_str() {
            "" => None,
            id => Some(Pool::Campaign(parse::text("campaign_id", id)?)),
        };
        let everything = || Violation::new("sku_ids", "name SKUs, a campaign, or both");
        let filter = Filter::new(skus, pool).ok_or_else(everything)?;
        self.inventory.watch(filter, &resume_token, self.clock.clone(), self.stop.clone()).await
    }
}

fn reservation_id(text: &str) -> Result<ReservationId, Error> {
    Ok(parse::uuid("reservation_id", text).map(ReservationId::new)?)
}

fn levels(levels: Vec<(CellKey, Level)>) -> Vec<StockLevel> {
    levels.iter().map(|(cell, level)| wire::level(cell, level)).collect()
}

fn attempt<T>(request: &Request<T>) -> Attempt {
    if is_repeated(request) { Attempt::Repeated } else { Attempt::First }
}

/// The id, buyer and lines of a reservation.
fn reserve(request: &ReserveStockRequest) -> Result<(ReservationId, BuyerId, Vec<Line>), Error> {
    if request.lines.is_empty() {
        return Err(Violation::new("lines", "must have 1 or more").into());
    }
    let id = reservation_id(&request.reservation_id)?;
    Ok((id, parse::text("buyer_id", &request.buyer_id)?, parse::lines("lines", &request.lines)?))
}

/// What is sold or kept of a reservation, one line a cell.
fn part(field: &str, lines: &[v1::ReservationLine]) -> Result<Vec<Line>, Error> {
    Ok(summed(parse::lines(field, lines)?))
}

/// A refusal of one line by the caller's name of it.
fn named(field: &str, lines: &[v1::ReservationLine], error: Error) -> Error {
    let Error::Denied(Denied::NotThatMuch { cell, most }) = &error else { return error };
    let is_it = |line: &v1::ReservationLine| {
        line.sku_id == cell.sku.as_str() && line.campaign_id == cell.pool.campaign_id()
    };
    let at = lines.iter().position(is_it).unwrap_or_default();
    let why = format!("must be at most {most}, which is what the reservation has of it");
    Violation::new(format!("{field}[{at}].quantity"), why).into()
}

#[tonic::async_trait]
impl InventoryService for InventoryApi {
    type WatchStockStream = Pin<Box<dyn Stream<Item = Result<WatchStockResponse, Status>> + Send>>;
    type ReserveStreamStream = Pin<Box<dyn Stream<Item = Result<ReserveStreamResponse, Status>> + Send>>;

    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let sku = parse::text("sku_id", &request.into_inner().sku_id).map_err(Error::from)?;
        Ok(Response::new(GetStockResponse { levels: levels(self.inventory.stock(sku).await?) }))
    }

    async fn adjust_stock(
        &self,
        request: Request<AdjustStockRequest>,
    ) -> Result<Response<StockLevel>, Status> {
        let request = request.into_inner();
        let cell = parse::cell("", &request.sku_id, &request.campaign_id).map_err(Error::from)?;
        let id = parse::uuid("adjustment_id", &request.adjustment_id).map_err(Error::from)?;
        if request.delta == 0 {
            return Err(Error::from(Violation::new("delta", "must not be zero")).into());
        }
        let level = self.inventory.adjust(id, cell.clone(), request.delta, request.reason).await?;
        Ok(Response::new(wire::level(&cell, &level)))
    }

    async fn deduct_stock(
        &self,
        request: Request<DeductStockRequest>,
    ) -> Result<Response<DeductStockResponse>, Status> {
        let attempt = attempt(&request);
        let request = request.into_inner();
        let id = parse::uuid("deduction_id", &request.deduction_id).map_err(Error::from)?;
        let buyer = parse::text("buyer_id", &request.buyer_id).map_err(Error::from)?;
        let cell = parse::cell("", &request.sku_id, &request.campaign_id).map_err(Error::from)?;
        let quantity = parse::quantity("quantity", request.quantity).map_err(Error::from)?;
        let line = Line { cell, quantity };
        let receipt = self.inventory.deduct(ReservationId::new(id), buyer, line, attempt).await?;
        Ok(Response::new(DeductStockResponse {
            deduction_id: request.deduction_id,
            remaining: receipt.remaining,
            version: receipt.version,
        }))
    }

    async fn watch_stock(
        &self,
        request: Request<WatchStockRequest>,
    ) -> Result<Response<Self::WatchStockStream>, Status> {
        // The same bytes as on the wire, which `InventoryFeeds` sends without reading them.
        let messages = self.watch(request.into_inner()).await?;
        let read = |frame: Bytes| {
            let message = WatchStockResponse::decode(&frame[HEADER_BYTES..]);
            message.map_err(|error| Status::internal(error.to_string()))
        };
        Ok(Response::new(Box::pin(messages.map(move |frame| frame.and_then(read)))))
    }

    async fn reserve_stock(
        &self,
        request: Request<ReserveStockRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let attempt = attempt(&request);
        let request = request.into_inner();
        let (id, buyer, lines) = reserve(&request)?;
        let hold = if request.hold_ms == 0 { HOLD } else { Duration::milliseconds(request.hold_ms.into()) };
        let held = self.inventory.reserve(id, buyer, hold, lines, attempt).await?;
        Ok(Response::new(wire::reservation(&held)))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let id = reservation_id(&request.into_inner().reservation_id)?;
        Ok(Response::new(wire::reservation(&self.inventory.reservation(id).await?)))
    }

    async fn commit_reservation(
        &self,
        request: Request<CommitReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let CommitReservationRequest { reservation_id, lines } = request.into_inner();
        let id = self::reservation_id(&reservation_id)?;
        let committed = self.inventory.commit(id, part("lines", &lines)?).await;
        Ok(Response::new(wire::reservation(&committed.map_err(|error| named("lines", &lines, error))?)))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let ReleaseReservationRequest { reservation_id, keep } = request.into_inner();
        let id = self::reservation_id(&reservation_id)?;
        let released = self.inventory.release(id, part("keep", &keep)?).await;
        Ok(Response::new(wire::reservation(&released.map_err(|error| named("keep", &keep, error))?)))
    }

    async fn return_stock(
        &self,
        request: Request<ReturnStockRequest>,
    ) -> Result<Response<ReturnStockResponse>, Status> {
        let request = request.into_inner();
        let id = reservation_id(&request.reservation_id)?;
        let return_id = parse::uuid("return_id", &request.return_id).map_err(Error::from)?;
        let lines = summed(parse::lines("lines", &request.lines).map_err(Error::from)?);
        let returned = self.inventory.return_stock(id, return_id, lines).await?;
        Ok(Response::new(ReturnStockResponse { levels: levels(returned) }))
    }

    async fn set_backorder(
        &self,
        request: Request<SetBackorderRequest>,
    ) -> Result<Response<StockLevel>, Status> {
        let request = request.into_inner();
        let cell = parse::cell("", &request.sku_id, &request.campaign_id).map_err(Error::from)?;
        let level = self.inventory.set_backorder(cell.clone(), request.backorder).await?;
        Ok(Response::new(wire::level(&cell, &level)))
    }

    async fn extend_reservation(
        &self,
        request: Request<ExtendReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let ExtendReservationRequest { reservation_id, expires_at } = request.into_inner();
        let id = self::reservation_id(&reservation_id)?;
        let until = parse::instant("expires_at", expires_at).map_err(Error::from)?;
        Ok(Response::new(wire::reservation(&self.inventory.extend(id, until).await?)))
    }

    async fn reserve_stream(
        &self,
        _: Request<Streaming<ReserveStreamRequest>>,
    ) -> Result<Response<Self::ReserveStreamStream>, Status> {
        Err(not_implemented())
    }
}
