//! The warehouse's three services on the wire: what an order asks of them, and nothing else.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use stampede_kit::clock::Clock;
use stampede_kit::context::is_repeated;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::inventory::v1::campaign_service_server::CampaignService;
use stampede_proto::inventory::v1::catalog_service_server::CatalogService;
use stampede_proto::inventory::v1::inventory_service_server::InventoryService;
use stampede_proto::inventory::v1::reserve_stream_response::Outcome;
use stampede_proto::inventory::v1::*;
use tokio_stream::Empty;
use tonic::{Request, Response, Status, Streaming};

use crate::warehouse::{Warehouse, refusal};

type Answer<T> = Result<Response<T>, Status>;

/// Holds of one stream that are decided side by side.
const AT_ONCE: usize = 256;

fn not_played<T>() -> Answer<T> {
    Err(Status::unimplemented("an order never asks this"))
}

impl Warehouse {
    /// A hold that its caller asks for the first time, by a call or on a stream.
    async fn hold_first(&self, request: ReserveStockRequest) -> Answer<Reservation> {
        self.trouble.enter("reserve_stock").await?;
        let held = self.floor.lock().unwrap().reserve(request, Clock::system().now())?;
        self.trouble.answer("reserve_stock", held)
    }
}

/// The refusal as it stands in an answer of the stream.
fn details(status: &Status) -> tonic_types::Status {
    let whole = tonic_types::Status::decode(status.details()).unwrap();
    tonic_types::Status { code: status.code().into(), message: status.message().to_owned(), ..whole }
}

#[tonic::async_trait]
impl CatalogService for Warehouse {
    async fn batch_get_skus(&self, request: Request<BatchGetSkusRequest>) -> Answer<BatchGetSkusResponse> {
        self.trouble.enter("batch_get_skus").await?;
        let floor = self.floor.lock().unwrap();
        let skus = request.get_ref().sku_ids.iter().filter_map(|id| floor.skus.get(id).cloned()).collect();
        self.trouble.answer("batch_get_skus", BatchGetSkusResponse { skus })
    }

    async fn create_sku(&self, _: Request<CreateSkuRequest>) -> Answer<Sku> {
        not_played()
    }

    async fn get_sku(&self, _: Request<GetSkuRequest>) -> Answer<Sku> {
        not_played()
    }

    async fn list_skus(&self, _: Request<ListSkusRequest>) -> Answer<ListSkusResponse> {
        not_played()
    }

    async fn update_sku(&self, _: Request<UpdateSkuRequest>) -> Answer<Sku> {
        not_played()
    }

    async fn get_import(&self, _: Request<GetImportRequest>) -> Answer<ImportSkusResponse> {
        not_played()
    }

    async fn import_skus(&self, _: Request<Streaming<ImportSkusRequest>>) -> Answer<ImportSkusResponse> {
        not_played()
    }
}

#[tonic::async_trait]
impl CampaignService for Warehouse {
    async fn get_campaign(&self, request: Request<GetCampaignRequest>) -> Answer<Campaign> {
        self.trouble.enter("get_campaign").await?;
        let campaign_id = request.into_inner().campaign_id;
        let items = self.floor.lock().unwrap().campaigns.get(&campaign_id).cloned();
        let items = items.ok_or_else(|| refusal(ErrorReason::CampaignNotFound))?;
        self.trouble.answer("get_campaign", Campaign { campaign_id, items, ..Campaign::default() })
    }

    async fn create_campaign(&self, _: Request<CreateCampaignRequest>) -> Answer<Campaign> {
        not_played()
    }

    async fn list_campaigns(&self, _: Request<ListCampaignsRequest>) -> Answer<ListCampaignsResponse> {
        not_played()
    }

    async fn close_campaign(&self, _: Request<CloseCampaignRequest>) -> Answer<Campaign> {
        not_played()
    }
}

#[tonic::async_trait]
impl InventoryService for Warehouse {
    type WatchStockStream = Empty<Result<WatchStockResponse, Status>>;
    type ReserveStreamStream = Pin<Box<dyn Stream<Item = Result<ReserveStreamResponse, Status>> + Send>>;

    async fn reserve_stock(&self, request: Request<ReserveStockRequest>) -> Answer<Reservation> {
        if !is_repeated(&request) {
            return self.hold_first(request.into_inner()).await;
        }
        self.trouble.enter("reserve_stock again").await?;
        let held = self.floor.lock().unwrap().reserve(request.into_inner(), Clock::system().now())?;
        self.trouble.answer("reserve_stock", held)
    }

    async fn commit_reservation(&self, request: Request<CommitReservationRequest>) -> Answer<Reservation> {
        self.trouble.enter("commit_reservation").await?;
        let committed = self.floor.lock().unwrap().commit(&request.get_ref().reservation_id)?;
        self.trouble.answer("commit_reservation", committed)
    }

    async fn release_reservation(&self, request: Request<ReleaseReservationRequest>) -> Answer<Reservation> {
        self.trouble.enter("release_reservation").await?;
        let released = self.floor.lock().unwrap().release(&request.get_ref().reservation_id)?;
        self.trouble.answer("release_reservation", released)
    }

    async fn return_stock(&self, request: Request<ReturnStockRequest>) -> Answer<ReturnStockResponse> {
        self.trouble.enter("return_stock").await?;
        self.floor.lock().unwrap().take_back(request.into_inner());
        self.trouble.answer("return_stock", ReturnStockResponse::default())
    }

    async fn get_stock(&self, _: Request<GetStockRequest>) -> Answer<GetStockResponse> {
        not_played()
    }

    async fn adjust_stock(&self, _: Request<AdjustStockRequest>) -> Answer<StockLevel> {
        not_played()
    }

    async fn set_backorder(&self, _: Request<SetBackorderRequest>) -> Answer<StockLevel> {
        not_played()
    }

    async fn deduct_stock(&self, _: Request<DeductStockRequest>) -> Answer<DeductStockResponse> {
        not_played()
    }

    async fn watch_stock(&self, _: Request<WatchStockRequest>) -> Answer<Self::WatchStockStream> {
        not_played()
    }

    async fn get_reservation(&self, request: Request<GetReservationRequest>) -> Answer<Reservation> {
        self.trouble.enter("get_reservation").await?;
        let hold = self.floor.lock().unwrap().holds.get(&request.get_ref().reservation_id).cloned();
        self.trouble.answer("get_reservation", hold.ok_or_else(|| refusal(ErrorReason::ReservationNotFound))?)
    }

    async fn extend_reservation(&self, _: Request<ExtendReservationRequest>) -> Answer<Reservation> {
        not_played()
    }

    async fn reserve_stream(
        &self,
        request: Request<Streaming<ReserveStreamRequest>>,
    ) -> Answer<Self::ReserveStreamStream> {
        self.trouble.enter("reserve_stream").await?;
        let warehouse = self.clone();
        let items = futures::stream::iter(1..).zip(request.into_inner());
        let answer = move |(item, ask): (i64, Result<ReserveStreamRequest, Status>)| {
            let warehouse = warehouse.clone();
            async move {
                let ask = ask?.reserve.unwrap_or_default();
                let (reservation_id, held) = (ask.reservation_id.clone(), warehouse.hold_first(ask).await);
                let (outcome, status) = match held {
                    Ok(held) => (Outcome::Reserved(held.into_inner()), None),
                    Err(status) => (Outcome::Refused(String::new()), Some(details(&status))),
                };
                let outcome = Some(outcome);
                Ok(ReserveStreamResponse { reservation_id, item, outcome, status, ..Default::default() })
            }
        };
        Ok(Response::new(Box::pin(items.map(answer).buffer_unordered(AT_ONCE))))
    }
}
