//! The gRPC face as a partner's back end sees it: the services themselves, with the certificate of `client` and the
//! buyer's token.

mod after;

use std::time::Duration;

use anyhow::Context as _;
use stampede_kit as kit;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::{CampaignState, GetStockRequest, ListCampaignsRequest};
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::{
    CancelOrderRequest, CreateOrderRequest, GetOrderRequest, LineItem, Order as WireOrder, PayOrderRequest,
};
use stampede_proto::payment::v1::{CardToken, PaymentMethod, payment_method::Method};
use tonic::metadata::MetadataValue;

use super::rest::Refused;
use super::story::{self, Order};
use crate::stack::Stack;
use crate::token::{self, Role};

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

pub struct Face<'a> {
    stack: &'a Stack,
    orders: OrderServiceClient<kit::client::Channel>,
    inventory: InventoryServiceClient<kit::client::Channel>,
    campaigns: CampaignServiceClient<kit::client::Channel>,
}

impl<'a> Face<'a> {
    pub fn new(stack: &'a Stack) -> anyhow::Result<Face<'a>> {
        let folder = stack.folder();
        let (cert, key) = (folder.cert_path("client"), folder.key_path("client"));
        let tls = kit::tls::Client::read(&cert, &key, &folder.ca_path())?;
        let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let channel = |service: &'static str| {
            let address = stack.address(service)?.to_string();
            anyhow::Ok(kit::client::connect(&tls, service, &address, contract.clone()))
        };
        let inventory = channel("inventory")?;
        Ok(Face {
            stack,
            orders: OrderServiceClient::new(channel("order")?),
            campaigns: CampaignServiceClient::new(inventory.clone()),
            inventory: InventoryServiceClient::new(inventory),
        })
    }

    fn request<M>(&self, user: &str, message: M) -> anyhow::Result<tonic::Request<M>> {
        self.request_as(user, Role::Buyer, message)
    }

    fn request_as<M>(&self, user: &str, role: Role, message: M) -> anyhow::Result<tonic::Request<M>> {
        let token = token::sign(self.stack.folder(), user, role)?;
        let mut request = kit::client::request(message, ANSWER_WITHIN);
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).context("a token is ASCII")?;
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }
}

impl story::Face for Face<'_> {
    async fn campaigns(&self, user: &str) -> anyhow::Result<Vec<String>> {
        let wanted = ListCampaignsRequest {
            page_size: 100,
            state: CampaignState::Open.into(),
            ..ListCampaignsRequest::default()
        };
        let answer = self.campaigns.clone().list_campaigns(self.request(user, wanted)?).await?;
        Ok(answer.into_inner().campaigns.into_iter().map(|campaign| campaign.campaign_id).collect())
    }

    async fn free(&self, user: &str, sku: &str, campaign: &str) -> anyhow::Result<i64> {
        let wanted = self.request(user, GetStockRequest { sku_id: sku.to_owned() })?;
        let levels = self.inventory.clone().get_stock(wanted).await?.into_inner().levels;
        let level = levels.into_iter().find(|level| level.campaign_id == campaign);
        Ok(level.with_context(|| format!("{sku} has no level in {campaign}"))?.free)
    }

    async fn place(
        &self,
        user: &str,
        key: &str,
        sku: &str,
        campaign: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        let line = LineItem { sku_id: sku.to_owned(), campaign_id: campaign.to_owned(), quantity: 1 };
        let wanted = CreateOrderRequest { lines: vec![line], ..CreateOrderRequest::default() };
        let mut request = self.request(user, wanted)?;
        once(&mut request, key)?;
        Ok(answer(self.orders.clone().create_order(request).await))
    }

    async fn get(&self, user: &str, order_id: &str) -> anyhow::Result<Result<Order, Refused>> {
        let request = self.request(user, GetOrderRequest { order_id: order_id.to_owned() })?;
        Ok(answer(self.orders.clone().get_order(request).await))
    }

    async fn pay(&self, user: &str, order_id: &str, card: &str) -> anyhow::Result<Result<Order, Refused>> {
        let method = PaymentMethod { method: Some(Method::Card(CardToken { token: card.to_owned() })) };
        let wanted = PayOrderRequest { order_id: order_id.to_owned(), method: Some(method) };
        Ok(answer(self.orders.clone().pay_order(self.request(user, wanted)?).await))
    }

    async fn cancel(&self, user: &str, order_id: &str) -> anyhow::Result<Result<Order, Refused>> {
        let wanted =
            CancelOrderRequest { order_id: order_id.to_owned(), reason: "changed my mind".to_owned() };
        Ok(answer(self.orders.clone().cancel_order(self.request(user, wanted)?).await))
    }
}

fn once<M>(request: &mut tonic::Request<M>, key: &str) -> anyhow::Result<()> {
    let key = MetadataValue::try_from(key).context("a key is ASCII")?;
    request.metadata_mut().insert("idempotency-key", key);
    Ok(())
}

fn answer(answer: Result<tonic::Response<WireOrder>, tonic::Status>) -> Result<Order, Refused> {
    match answer {
        Ok(response) => {
            let order = response.into_inner();
            let state = order.state().as_str_name();
            Ok(Order {
                state: state.strip_prefix("ORDER_STATE_").unwrap_or(state).to_owned(),
                total_minor: order.total.map_or(0, |total| total.amount_minor),
                id: order.order_id,
            })
        }
        Err(status) => Err(refused(&status)),
    }
}

fn refused(status: &tonic::Status) -> Refused {
    Refused {
        status: format!("{:?}", status.code()),
        reason: kit::refusal::reason_of(status).unwrap_or_default(),
        message: status.message().to_owned(),
    }
}
