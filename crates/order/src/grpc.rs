//! The wire's face of `OrderService`: a message in, one call, a message out.

pub mod cart;
pub mod promotions;
pub mod review;

use std::pin::Pin;
use std::sync::Arc;

use stampede_kit as kit;
use stampede_proto::order::v1::order_service_server::OrderService;
use stampede_proto::order::v1::{
    CancelOrderRequest, CreateOrderRequest, DeliverOrderRequest, GetOrderRequest, GetReturnRequest,
    ListOrdersRequest, ListOrdersResponse, Order, OrderReturn, PayOrderRequest, QuotePriceRequest,
    QuotePriceResponse, RequestReturnRequest, ResolveReturnRequest, ShipOrderRequest, WatchOrderRequest,
    WatchOrderResponse,
};
use stampede_types::OrderId;
use stampede_types::card::{NO_CARD_NUMBER, has_card_number};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::orders::Orders;
use crate::ship::parse_id;
use crate::wire;

/// The verbs, and the token by which streams learn that the process drains.
pub struct OrderApi(pub Arc<Orders>, pub CancellationToken);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OrderService for OrderApi {
    async fn create_order(&self, request: Request<CreateOrderRequest>) -> Answer<Order> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        coupons_free_of_cards(&request.coupons)?;
        let order = self.0.create(&cx, request).await?;
        Ok(Response::new(wire::order(&order)))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Answer<Order> {
        let cx = kit::Context::of(&request);
        let order = self.0.visible(&cx, order_id(&request.get_ref().order_id)?).await?;
        Ok(Response::new(wire::order(&order)))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<ListOrdersResponse> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        let page = self.0.list(&cx, wire::list_query(request)?).await?;
        let orders = page.orders.iter().map(wire::order).collect();
        Ok(Response::new(ListOrdersResponse { orders, next_page_token: page.next }))
    }

    async fn pay_order(&self, request: Request<PayOrderRequest>) -> Answer<Order> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        let method = request.method.and_then(wire::method);
        let method = method.ok_or(Error::Invalid { field: "method".into(), rule: "is required" })?;
        for token in method.tokens() {
            free_of_cards("method", token)?;
        }
        let paying = self.0.pay(&cx, order_id(&request.order_id)?, method).await?;
        Ok(Response::new(wire::paying(&paying)))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Answer<Order> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        free_of_cards("reason", &request.reason)?;
        let order = self.0.cancel(&cx, order_id(&request.order_id)?, &request.reason).await?;
        Ok(Response::new(wire::order(&order)))
    }

    async fn quote_price(&self, request: Request<QuotePriceRequest>) -> Answer<QuotePriceResponse> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        coupons_free_of_cards(&request.coupons)?;
        let quote = self.0.quote(&cx, request).await?;
        Ok(Response::new(wire::quote(quote)))
    }

    type WatchOrderStream = Pin<Box<dyn Stream<Item = Result<WatchOrderResponse, Status>> + Send>>;

    async fn watch_order(&self, request: Request<WatchOrderRequest>) -> Answer<Self::WatchOrderStream> {
        let cx = kit::Context::of(&request);
        let WatchOrderRequest { order_id: id, resume_token } = request.into_inner();
        let messages = self.0.watch(&cx, order_id(&id)?, &resume_token, self.1.clone()).await?;
        Ok(Response::new(Box::pin(messages)))
    }

    async fn ship_order(&self, request: Request<ShipOrderRequest>) -> Answer<Order> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        let order = self.0.ship(&cx, order_id(&request.order_id)?, request).await?;
        Ok(Response::new(wire::order(&order)))
    }

    async fn deliver_order(&self, request: Request<DeliverOrderRequest>) -> Answer<Order> {
        let request = request.into_inner();
        let shipment = parse_id("shipment_id", &request.shipment_id)?;
        let order = self.0.deliver(order_id(&request.order_id)?, shipment).await?;
        Ok(Response::new(wire::order(&order)))
    }

    async fn request_return(&self, request: Request<RequestReturnRequest>) -> Answer<OrderReturn> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        free_of_cards("reason", &request.reason)?;
        let (order, back) = self.0.request_return(&cx, order_id(&request.order_id)?, request).await?;
        Ok(Response::new(wire::order_return(&order, &back)))
    }

    async fn resolve_return(&self, request: Request<ResolveReturnRequest>) -> Answer<OrderReturn> {
        let cx = kit::Context::of(&request);
        let request = request.into_inner();
        let rule = "must be APPROVED, REJECTED or RECEIVED";
        let event =
            wire::return_event(request.state()).ok_or(Error::Invalid { field: "state".into(), rule })?;
        let id = parse_id("return_id", &request.return_id)?;
        let (order, back) = self.0.resolve_return(&cx, id, event, request.restock).await?;
        Ok(Response::new(wire::order_return(&order, &back)))
    }

    async fn get_return(&self, request: Request<GetReturnRequest>) -> Answer<OrderReturn> {
        let cx = kit::Context::of(&request);
        let id = parse_id("return_id", &request.get_ref().return_id)?;
        let (order, back) = self.0.get_return(&cx, id).await?;
        Ok(Response::new(wire::order_return(&order, &back)))
    }
}

/// # Errors
/// It carries a card number: none is ever kept.
fn free_of_cards(field: &str, text: &str) -> Result<(), Error> {
    let found = has_card_number(text);
    if found { Err(Error::Invalid { field: field.into(), rule: NO_CARD_NUMBER }) } else { Ok(()) }
}

/// # Errors
/// One of them carries a card number: no coupon is written like one.
fn coupons_free_of_cards(coupons: &[String]) -> Result<(), Error> {
    let mut each = coupons.iter().enumerate();
    each.try_for_each(|(at, coupon)| free_of_cards(&format!("coupons[{at}]"), coupon))
}

fn order_id(text: &str) -> Result<OrderId, Error> {
    text.parse().map_err(|_| Error::Invalid { field: "order_id".into(), rule: "must be a UUID" })
}
