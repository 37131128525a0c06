//! Calls order's processes over mTLS, as a buyer and as staff, and says what their answers mean. It repeats nothing by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use stampede_kit as kit;
use stampede_kit::client::Channel;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::promotion_service_client::PromotionServiceClient;
use stampede_proto::order::v1::review_service_client::ReviewServiceClient;
use stampede_proto::order::v1::{
    CancelOrderRequest, CreateOrderRequest, DeliverOrderRequest, GetOrderRequest, GetPromotionRequest,
    ListReviewsRequest, PayOrderRequest, Promotion, RequestReturnRequest, ResolveReturnRequest,
    ResolveReviewRequest, ReturnState, Review, ShipOrderRequest,
};
use stampede_proto::payment::v1::payment_method::Method;
use stampede_proto::payment::v1::{CardToken, PaymentMethod};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use xtask::token::Role;

use super::bank::Bank;
use super::record::{Answer, Back, Call, Verdict, View, lines};
use crate::harness::history::talk::UNKNOWN;
use crate::harness::stage::{self, Bearer, Stage};

/// Long enough for a saga and short enough for a history; the saga goes on without its caller.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// Everybody who calls, and a way to each process.
pub struct Counter {
    orders: Vec<OrderServiceClient<Channel>>,
    reviews: Vec<ReviewServiceClient<Channel>>,
    promotions: PromotionServiceClient<Channel>,
    staff: Bearer,
    pub bank: Bank,
}

impl Counter {
    pub async fn of(stage: &Stage) -> Self {
        let channels: Vec<Channel> = stage.names_of("order").iter().map(|name| stage.channel(name)).collect();
        Self {
            orders: channels.iter().cloned().map(OrderServiceClient::new).collect(),
            reviews: channels.iter().cloned().map(ReviewServiceClient::new).collect(),
            promotions: PromotionServiceClient::new(channels[0].clone()),
            staff: stage.bearer("sam", Role::Staff),
            bank: Bank::of(stage).await,
        }
    }

    pub fn processes(&self) -> usize {
        self.orders.len()
    }

    /// Asks a process once, about this order where there is one. `again` says that somebody was asked before.
    pub async fn call(
        &self,
        process: usize,
        buyer: &Bearer,
        order: Option<Uuid>,
        call: &Call,
        again: bool,
    ) -> Answer {
        self.ask(process, buyer, order, call, again).await.unwrap_or_else(|status| refused(&status))
    }

    async fn ask(
        &self,
        process: usize,
        buyer: &Bearer,
        order: Option<Uuid>,
        call: &Call,
        again: bool,
    ) -> Result<Answer, Status> {
        let mut client = self.orders[process].clone();
        let order_id = order.map(|id| id.to_string()).unwrap_or_default();
        let staff = &self.staff;
        Ok(match call {
            Call::Place { key, basket } => {
                let coupons = basket.coupons.iter().map(|coupon| (*coupon).to_owned()).collect();
                let wanted =
                    CreateOrderRequest { lines: lines(&basket.units), coupons, ..Default::default() };
                let mut wanted = request(buyer, wanted);
                let key = MetadataValue::try_from(key.to_string()).unwrap();
                wanted.metadata_mut().insert("idempotency-key", key);
                if again {
                    stage::said_before(wanted.metadata_mut());
                }
                told(client.create_order(wanted).await?.get_ref())
            }
            Call::Pay { card } => {
                let token = card.token.to_owned();
                let method = Some(PaymentMethod { method: Some(Method::Card(CardToken { token })) });
                told(client.pay_order(request(buyer, PayOrderRequest { order_id, method })).await?.get_ref())
            }
            Call::Cancel => {
                let wanted = CancelOrderRequest { order_id, reason: "changed my mind".to_owned() };
                told(client.cancel_order(request(buyer, wanted)).await?.get_ref())
            }
            Call::Ship { id, units } => {
                let wanted = ShipOrderRequest { order_id, shipment_id: id.to_string(), lines: lines(units) };
                told(client.ship_order(request(staff, wanted)).await?.get_ref())
            }
            Call::Deliver { id } => {
                let wanted = DeliverOrderRequest { order_id, shipment_id: id.to_string() };
                told(client.deliver_order(request(staff, wanted)).await?.get_ref())
            }
            Call::AskBack { id, units } => {
                let (return_id, reason) = (id.to_string(), "too small".to_owned());
                let wanted = RequestReturnRequest { order_id, return_id, lines: lines(units), reason };
                Answer::Back(Back::of(client.request_return(request(buyer, wanted)).await?.get_ref()))
            }
            Call::Decide { id, verdict } => {
                let wanted = decision(*id, *verdict);
                Answer::Back(Back::of(client.resolve_return(request(staff, wanted)).await?.get_ref()))
            }
            Call::Resolve { id, payment, resolution } => {
                let wanted = ResolveReviewRequest {
                    order_id,
                    resolution_id: id.to_string(),
                    resolution: (*resolution).into(),
                    note: "a history".to_owned(),
                    payment_id: payment.map(|id| id.to_string()).unwrap_or_default(),
                };
                let mut client = self.reviews[process].clone();
                told(client.resolve_review(request(staff, wanted)).await?.get_ref())
            }
            Call::ComesBack => self.bank.comes_back(order).await,
            Call::Look => {
                told(client.get_order(request(buyer, GetOrderRequest { order_id })).await?.get_ref())
            }
        })
    }

    /// What waits for a person, the first hundred.
    pub async fn reviews(&self) -> Result<Vec<Review>, Status> {
        let wanted = request(&self.staff, ListReviewsRequest { page_size: 100, ..Default::default() });
        Ok(self.reviews[0].clone().list_reviews(wanted).await?.into_inner().reviews)
    }

    pub async fn promotion(&self, id: &str) -> Result<Promotion, Status> {
        let wanted = request(&self.staff, GetPromotionRequest { promotion_id: id.to_owned() });
        Ok(self.promotions.clone().get_promotion(wanted).await?.into_inner())
    }
}

fn request<M>(bearer: &Bearer, message: M) -> Request<M> {
    stage::request(bearer, message, ANSWER_WITHIN)
}

fn decision(id: Uuid, verdict: Verdict) -> ResolveReturnRequest {
    let (state, restock) = match verdict {
        Verdict::Approve => (ReturnState::Approved, false),
        Verdict::Reject => (ReturnState::Rejected, false),
        Verdict::Receive { restock } => (ReturnState::Received, restock),
    };
    ResolveReturnRequest { return_id: id.to_string(), state: state.into(), restock }
}

fn told(order: &stampede_proto::order::v1::Order) -> Answer {
    Answer::Order(Box::new(View::of(order)))
}

fn refused(status: &Status) -> Answer {
    match kit::refusal::reason_of(status) {
        Some(reason) if !UNKNOWN.contains(&reason.as_str()) => {
            let facts = status.get_details_error_info().map(|info| info.metadata).unwrap_or_default();
            Answer::Refused { reason, facts: facts.into_iter().collect::<BTreeMap<_, _>>() }
        }
        Some(reason) => Answer::Unknown(reason),
        None => Answer::Unknown(format!("{status:?}")),
    }
}
