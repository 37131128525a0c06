//! `CatalogService` on the wire.

use stampede_kit::Contract;
use stampede_kit::contract::Rules;
use stampede_proto::inventory::v1::catalog_service_server::CatalogService;
use stampede_proto::inventory::v1::{
    BatchGetSkusRequest, BatchGetSkusResponse, CreateSkuRequest, GetImportRequest, GetSkuRequest,
    ImportSkusRequest, ImportSkusResponse, ListSkusRequest, ListSkusResponse, Sku, UpdateSkuRequest,
};
use stampede_types::SkuId;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{import, parse, rules, update};
use crate::error::{Error, Violation};
use crate::inventory::Inventory;
use crate::wire;

pub struct CatalogApi {
    inventory: Inventory,
    stop: CancellationToken,
    import_rules: Rules,
    update_rules: Rules,
}

impl CatalogApi {
    /// `stop` ends the imports.
    pub fn new(inventory: Inventory, stop: CancellationToken, contract: &Contract) -> Self {
        let import_rules = rules(contract, "/stampede.inventory.v1.CatalogService/ImportSkus");
        let update_rules = rules(contract, "/stampede.inventory.v1.CatalogService/UpdateSku");
        Self { inventory, stop, import_rules, update_rules }
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
        let title = parse::free_text("sku.title", sku.title).map_err(Error::from)?;
        let sku = self.inventory.create_sku(id, title, price, on_hand).await?;
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

    async fn update_sku(&self, request: Request<UpdateSkuRequest>) -> Result<Response<Sku>, Status> {
        let (id, changed) = update::parse(request.into_inner(), &self.update_rules)?;
        Ok(Response::new(wire::sku(self.inventory.update_sku(id, changed).await?)))
    }

    async fn import_skus(
        &self,
        request: Request<Streaming<ImportSkusRequest>>,
    ) -> Result<Response<ImportSkusResponse>, Status> {
        let (id, rows) = import::begin(request.into_inner(), self.import_rules.clone()).await?;
        let progress = self.inventory.import(id, rows, &self.stop).await?;
        Ok(Response::new(import::summary(progress)))
    }

    async fn get_import(
        &self,
        request: Request<GetImportRequest>,
    ) -> Result<Response<ImportSkusResponse>, Status> {
        let id = parse::uuid("import_id", &request.into_inner().import_id).map_err(Error::from)?;
        Ok(Response::new(import::summary(self.inventory.imported(id).await?)))
    }
}
