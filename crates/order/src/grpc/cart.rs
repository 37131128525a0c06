//! The wire's face of `CartService`.

use std::sync::Arc;

use stampede_kit as kit;
use stampede_proto::order::v1::cart_service_server::CartService;
use stampede_proto::order::v1::{Cart, GetCartRequest, MergeCartRequest, SetCartItemRequest};
use tonic::{Request, Response, Status};

use crate::orders::Orders;
use crate::wire;

pub struct CartApi(pub Arc<Orders>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CartService for CartApi {
    async fn get_cart(&self, request: Request<GetCartRequest>) -> Answer<Cart> {
        let cart = self.0.cart(&kit::Context::of(&request)).await?;
        Ok(Response::new(wire::cart(&cart)))
    }

    async fn set_cart_item(&self, request: Request<SetCartItemRequest>) -> Answer<Cart> {
        let cx = kit::Context::of(&request);
        let cart = self.0.set_cart_item(&cx, request.into_inner()).await?;
        Ok(Response::new(wire::cart(&cart)))
    }

    async fn merge_cart(&self, request: Request<MergeCartRequest>) -> Answer<Cart> {
        let cx = kit::Context::of(&request);
        let cart = self.0.merge_cart(&cx, &request.get_ref().guest_cart_id).await?;
        Ok(Response::new(wire::cart(&cart)))
    }
}
