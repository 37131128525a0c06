//! `CampaignService` on the wire.

use stampede_proto::inventory::v1::campaign_service_server::CampaignService;
use stampede_proto::inventory::v1::{
    Campaign, CampaignState, CloseCampaignRequest, CreateCampaignRequest, GetCampaignRequest,
    ListCampaignsRequest, ListCampaignsResponse,
};
use tonic::{Request, Response, Status};

use super::parse;
use crate::domain::campaign;
use crate::error::{Error, Violation};
use crate::inventory::Inventory;
use crate::wire;

pub struct CampaignApi {
    inventory: Inventory,
}

impl CampaignApi {
    pub const fn new(inventory: Inventory) -> Self {
        Self { inventory }
    }
}

#[tonic::async_trait]
impl CampaignService for CampaignApi {
    async fn create_campaign(
        &self,
        request: Request<CreateCampaignRequest>,
    ) -> Result<Response<Campaign>, Status> {
        let campaign = request.into_inner().campaign.ok_or_else(|| Violation::new("campaign", "is required"));
        let campaign = campaign.and_then(parse::campaign).map_err(Error::from)?;
        Ok(Response::new(wire::campaign(self.inventory.create_campaign(campaign).await?)))
    }

    async fn get_campaign(&self, request: Request<GetCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let id = parse::text("campaign_id", &request.into_inner().campaign_id).map_err(Error::from)?;
        Ok(Response::new(wire::campaign(self.inventory.campaign(id).await?)))
    }

    async fn list_campaigns(
        &self,
        request: Request<ListCampaignsRequest>,
    ) -> Result<Response<ListCampaignsResponse>, Status> {
        let request = request.into_inner();
        let state = match request.state() {
            CampaignState::Unspecified => None,
            CampaignState::Planned => Some(campaign::CampaignState::Planned),
            CampaignState::Open => Some(campaign::CampaignState::Open),
            CampaignState::Closed => Some(campaign::CampaignState::Closed),
        };
        let size = parse::page_size(request.page_size);
        let (page, next_page_token) = self.inventory.list_campaigns(size, &request.page_token, state).await?;
        let campaigns = page.into_iter().map(wire::campaign).collect();
        Ok(Response::new(ListCampaignsResponse { campaigns, next_page_token }))
    }

    async fn close_campaign(
        &self,
        request: Request<CloseCampaignRequest>,
    ) -> Result<Response<Campaign>, Status> {
        let id = parse::text("campaign_id", &request.into_inner().campaign_id).map_err(Error::from)?;
        Ok(Response::new(wire::campaign(self.inventory.close_campaign(id).await?)))
    }
}
