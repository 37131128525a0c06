//! The wire's face of `PromotionService`.

use std::sync::Arc;

use stampede_proto::order::v1::promotion_condition::Condition;
use stampede_proto::order::v1::promotion_service_server::PromotionService;
use stampede_proto::order::v1::{
    CreatePromotionRequest, GetPromotionRequest, ListPromotionsRequest, ListPromotionsResponse, Promotion,
};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::orders::Orders;
use crate::wire;

pub struct PromotionApi(pub Arc<Orders>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PromotionService for PromotionApi {
    async fn create_promotion(&self, request: Request<CreatePromotionRequest>) -> Answer<Promotion> {
        let message = request.into_inner().promotion;
        let message = message.ok_or(Error::Invalid { field: "promotion".into(), rule: "is required" })?;
        no_card_in(&message)?;
        let promotion = self.0.create_promotion(wire::promotion::terms(message)?).await?;
        Ok(Response::new(wire::promotion::counted(&promotion)))
    }

    async fn get_promotion(&self, request: Request<GetPromotionRequest>) -> Answer<Promotion> {
        let promotion = self.0.promotions.get(&request.get_ref().promotion_id).await?;
        Ok(Response::new(wire::promotion::counted(&promotion)))
    }

    async fn list_promotions(
        &self,
        request: Request<ListPromotionsRequest>,
    ) -> Answer<ListPromotionsResponse> {
        let request = request.into_inner();
        let page = self.0.promotions.list(request.page_size, &request.page_token).await?;
        let promotions = page.promotions.iter().map(wire::promotion::counted).collect();
        Ok(Response::new(ListPromotionsResponse { promotions, next_page_token: page.next }))
    }
}

/// Every order that it is used for keeps a copy of these words.
fn no_card_in(promotion: &Promotion) -> Result<(), Error> {
    super::free_of_cards("promotion.title", &promotion.title)?;
    super::free_of_cards("promotion.stacking_group", &promotion.stacking_group)?;
    for (at, condition) in promotion.conditions.iter().enumerate() {
        if let Some(Condition::Coupon(coupon)) = &condition.condition {
            super::free_of_cards(&format!("promotion.conditions[{at}].coupon"), coupon)?;
        }
    }
    Ok(())
}
