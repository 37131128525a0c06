//! `CatalogService` on the wire.

use stampede_proto::inventory::v1::catalog_service_server::CatalogService;
use stampede_proto::inventory::v1::{
    BatchGetSkusRequest, BatchGetSkusResponse, CreateSkuRequest, GetImportRequest, GetSkuRequest,
    ImportSkusRequest, ImportSkusResponse, ListSkusRequest, ListSkusResponse, Sku, UpdateSkuRequest,
};
use stampede_types::SkuId;
use tonic::{Request, Response, Status, Streaming};

use super::parse;
use crate::error::{Error, Violation, not_implemented};
use crate::inventory::Inventory;
use crate::wire;

pub struct CatalogApi {
    inventory: Inventory,
}

impl CatalogApi {
    pub const fn new(inventory: Inventory) -> Self {
        Self { inventory }
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogApi {
    async fn create_sku(&self, request: Request<CreateSkuRequest>) -> Result<Response<Sku>, Status> {
        let CreateSkuRequest { sku, on_hand } = request.into_inner();
        let sku = sku.ok_or_else(|| Error::from(Violation::new("sku", "is required")))?;
        let id = parse::text("sku.sku_id", &sku.sku_id).map_err(Error::from)?;
        let price = parse::money("sku.price", sku.price).map_err(Error::from)?;
        if on_hand < 0 {
            return Err(Error::from(Violation::new("on_hand", "must not be negative")).into());
        }
        let sku = self.inventory.create_sku(id, sku.title, price, on_hand).await?;
        Ok(Response::new(wire::sku(sku)))
    }

    async fn get_sku(&self, request: Request<GetSkuRequest>) -> Result<Response<Sku>, Status> {
        let id = parse::text("sku_id", &request.into_inner().sku_id).map_err(Error::from)?;
        Ok(Response::new(wire::sku(self.inventory.sku(id).await?)))
    }

    async fn batch_get_skus(
        &self,
        request: Request<BatchGetSkusRequest>,
    ) -> Result<Response<BatchGetSkusResponse>, Status> {
        let named = request.into_inner().sku_ids;
        let ids = named.iter().enumerate().map(|(at, id)| parse::text(&format!("sku_ids[{at}]"), id));
        let ids: Vec<SkuId> = ids.collect::<Result<_, Violation>>().map_err(Error::from)?;
        let skus = self.inventory.skus(&ids).await?;
        Ok(Response::new(BatchGetSkusResponse { skus: skus.into_iter().map(wire::sku).collect() }))
    }

    async fn list_skus(
        &self,
        request: Request<ListSkusRequest>,
    ) -> Result<Response<ListSkusResponse>, Status> {
        let ListSkusRequest { page_size, page_token } = request.into_inner();
        let (skus, next_page_token) =
            self.inventory.list_skus(parse::page_size(page_size), &page_token).await?;
        Ok(Response::new(ListSkusResponse {
            skus: skus.into_iter().map(wire::sku).collect(),
            next_page_token,
        }))
    }

    async fn update_sku(&self, _: Request<UpdateSkuRequest>) -> Result<Response<Sku>, Status> {
        Err(not_implemented())
    }

    async fn get_import(&self, _: Request<GetImportRequest>) -> Result<Response<ImportSkusResponse>, Status> {
        Err(not_implemented())
    }

    async fn import_skus(
        &self,
        _: Request<Streaming<ImportSkusRequest>>,
    ) -> Result<Response<ImportSkusResponse>, Status> {
        Err(not_implemented())
    }
}
