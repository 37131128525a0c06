//! The wire's face of `ReviewService`: a message in, one call, a message out.

use std::sync::Arc;

use stampede_kit as kit;
use stampede_proto::order::v1 as wire;
use stampede_proto::order::v1::review_service_server::ReviewService;
use stampede_proto::order::v1::{
    ListReviewsRequest, ListReviewsResponse, Order, ResolveReviewRequest, ReviewResolution,
};
use stampede_proto::timestamp;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::order_id;
use crate::domain::review::Resolution;
use crate::error::Error;
use crate::orders::Orders;
use crate::review::{Resolve, Review};
use crate::store::review::Decision;

pub struct ReviewApi(pub Arc<Orders>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ReviewService for ReviewApi {
    async fn list_reviews(&self, request: Request<ListReviewsRequest>) -> Answer<ListReviewsResponse> {
        let request = request.into_inner();
        let page = self.0.reviews(request.page_size, &request.page_token).await?;
        let reviews = page.reviews.into_iter().map(review).collect();
        Ok(Response::new(ListReviewsResponse { reviews, next_page_token: page.next }))
    }

    async fn resolve_review(&self, request: Request<ResolveReviewRequest>) -> Answer<Order> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        super::free_of_cards("note", &request.note)?;
        let invalid = |field: &str, rule| Error::Invalid { field: field.into(), rule };
        let command = Resolve {
            id: request.resolution_id.parse().map_err(|_| invalid("resolution_id", "must be a UUID"))?,
            order: order_id(&request.order_id)?,
            payment: match request.payment_id.as_str() {
                "" => None,
                id => Some(id.parse().map_err(|_| invalid("payment_id", "must be a UUID"))?),
            },
            resolution: known(request.resolution()).ok_or_else(|| invalid("resolution", "is required"))?,
            note: request.note,
        };
        let order = self.0.resolve_review(&cx, command).await?;
        Ok(Response::new(crate::wire::order(&order)))
    }
}

fn review(review: Review) -> wire::Review {
    wire::Review {
        order: Some(crate::wire::order(&review.order)),
        step: review.parked.step,
        payment_id: review.parked.payment.map_or_else(String::new, |payment| payment.to_string()),
        reason: review.parked.reason,
        since: Some(timestamp(review.parked.since)),
        possible: review.possible.into_iter().map(|way| resolution(way).into()).collect(),
        decisions: review.decisions.into_iter().map(decision).collect(),
    }
}

fn decision((decision, at): (Decision, OffsetDateTime)) -> wire::ReviewDecision {
    wire::ReviewDecision {
        resolution_id: decision.id.to_string(),
        resolution: resolution(decision.resolution).into(),
        step: decision.step,
        payment_id: decision.payment.map_or_else(String::new, |payment| payment.to_string()),
        reason: decision.reason,
        actor: decision.actor,
        note: decision.note,
        at: Some(timestamp(at)),
    }
}

fn resolution(resolution: Resolution) -> ReviewResolution {
    match resolution {
        Resolution::Retry => ReviewResolution::Retry,
        Resolution::StepDone => ReviewResolution::StepDone,
        Resolution::Cancel => ReviewResolution::Cancel,
        Resolution::Confirm => ReviewResolution::Confirm,
    }
}

fn known(asked: ReviewResolution) -> Option<Resolution> {
    Resolution::ALL.iter().copied().find(|way| resolution(*way) == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_survives_the_way_to_the_wire_and_back() {
        for way in Resolution::ALL {
            assert_eq!(known(resolution(*way)), Some(*way));
        }
        assert_eq!(known(ReviewResolution::Unspecified), None);
    }
}
