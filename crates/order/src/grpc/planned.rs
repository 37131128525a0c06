//! Services whose behaviour comes later. The contract says so, and so does every answer.

use stampede_proto::order::v1::cart_service_server::CartService;
use stampede_proto::order::v1::promotion_service_server::PromotionService;
use stampede_proto::order::v1::{
    Cart, CreatePromotionRequest, GetCartRequest, GetPromotionRequest, ListPromotionsRequest,
    ListPromotionsResponse, MergeCartRequest, Promotion, SetCartItemRequest,
};
use tonic::{Request, Response, Status};

use crate::error::Error;

pub struct CartApi;

pub struct PromotionApi;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CartService for CartApi {
    async fn get_cart(&self, _: Request<GetCartRequest>) -> Answer<Cart> {
        Err(Error::Planned.into())
    }

    async fn set_cart_item(&self, _: Request<SetCartItemRequest>) -> Answer<Cart> {
        Err(Error::Planned.into())
    }

    async fn merge_cart(&self, _: Request<MergeCartRequest>) -> Answer<Cart> {
        Err(Error::Planned.into())
    }
}

#[tonic::async_trait]
impl PromotionService for PromotionApi {
    async fn create_promotion(&self, _: Request<CreatePromotionRequest>) -> Answer<Promotion> {
        Err(Error::Planned.into())
    }

    async fn get_promotion(&self, _: Request<GetPromotionRequest>) -> Answer<Promotion> {
        Err(Error::Planned.into())
    }

    async fn list_promotions(&self, _: Request<ListPromotionsRequest>) -> Answer<ListPromotionsResponse> {
        Err(Error::Planned.into())
    }
}
