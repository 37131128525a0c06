//! `InventoryService` on the wire.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use stampede_kit::Contract;
use stampede_kit::clock::Clock;
use stampede_kit::context::is_repeated;
use stampede_kit::contract::Rules;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService;
use stampede_proto::inventory::v1::{
    AdjustStockRequest, CommitReservationRequest, DeductStockRequest, DeductStockResponse,
    ExtendReservationRequest, GetReservationRequest, GetStockRequest, GetStockResponse,
    ReleaseReservationRequest, Reservation, ReserveStockRequest, ReserveStreamRequest, ReserveStreamResponse,
    ReturnStockRequest, ReturnStockResponse, SetBackorderRequest, StockLevel, WatchStockRequest,
    WatchStockResponse,
};
use stampede_types::{Pool, ReservationId, SkuId};
use tokio_util::sync::CancellationToken;
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status, Streaming};

use super::reserve::Asked;
use super::stream::Pipeline;
use super::{parse, reserve, rules};
use crate::domain::{CellKey, Level, Line};
use crate::error::{Error, Violation};
use crate::feed::{Filter, HEADER_BYTES};
use crate::inventory::Inventory;
use crate::reserve::Attempt;
use crate::wire;

pub struct InventoryApi {
    inventory: Inventory,
    clock: Clock,
    stop: CancellationToken,
    item_rules: Rules,
}

impl InventoryApi {
    /// `stop` ends the streams.
    pub fn new(inventory: Inventory, clock: Clock, stop: CancellationToken, contract: &Contract) -> Self {
        let item_rules = rules(contract, "/stampede.inventory.v1.InventoryService/ReserveStream");
        Self { inventory, clock, stop, item_rules }
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

fn levels(levels: Vec<(CellKey, Level)>) -> Vec<StockLevel> {
    levels.iter().map(|(cell, level)| wire::level(cell, level)).collect()
}

fn attempt<T>(request: &Request<T>) -> Attempt {
    if is_repeated(request) { Attempt::Repeated } else { Attempt::First }
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
        let reason = parse::free_text("reason", request.reason).map_err(Error::from)?;
        let level = self.inventory.adjust(id, cell.clone(), request.delta, reason).await?;
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
        let Asked { id, buyer, hold, lines } = Asked::parse(&request.into_inner())?;
        let held = self.inventory.reserve(id, buyer, hold, lines, attempt).await?;
        Ok(Response::new(wire::reservation(&held)))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let id = reserve::id(&request.into_inner().reservation_id)?;
        Ok(Response::new(wire::reservation(&self.inventory.reservation(id).await?)))
    }

    async fn commit_reservation(
        &self,
        request: Request<CommitReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let CommitReservationRequest { reservation_id, lines } = request.into_inner();
        let id = reserve::id(&reservation_id)?;
        let committed = self.inventory.commit(id, reserve::part("lines", &lines)?).await;
        Ok(Response::new(wire::reservation(
            &committed.map_err(|error| reserve::named("lines", &lines, error))?,
        )))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<Reservation>, Status> {
        let ReleaseReservationRequest { reservation_id, keep } = request.into_inner();
        let id = reserve::id(&reservation_id)?;
        let released = self.inventory.release(id, reserve::part("keep", &keep)?).await;
        Ok(Response::new(wire::reservation(&released.map_err(|error| reserve::named("keep", &keep, error))?)))
    }

    async fn return_stock(
        &self,
        request: Request<ReturnStockRequest>,
    ) -> Result<Response<ReturnStockResponse>, Status> {
        let request = request.into_inner();
        let id = reserve::id(&request.reservation_id)?;
        let return_id = parse::uuid("return_id", &request.return_id).map_err(Error::from)?;
        let lines = reserve::part("lines", &request.lines)?;
        let returned = self.inventory.return_stock(id, return_id, lines).await;
        let returned = returned.map_err(|error| reserve::named("lines", &request.lines, error))?;
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
        let id = reserve::id(&reservation_id)?;
        let until = parse::instant("expires_at", expires_at).map_err(Error::from)?;
        Ok(Response::new(wire::reservation(&self.inventory.extend(id, until).await?)))
    }

    async fn reserve_stream(
        &self,
        request: Request<Streaming<ReserveStreamRequest>>,
    ) -> Result<Response<Self::ReserveStreamStream>, Status> {
        let pipeline = Pipeline {
            inventory: self.inventory.clone(),
            rules: self.item_rules.clone(),
            stop: self.stop.clone(),
            attempt: attempt(&request),
        };
        Ok(Response::new(Box::pin(pipeline.answers(request.into_inner()))))
    }
}
