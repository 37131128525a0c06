//! What follows a purchase, by gRPC.

use stampede_proto::common::v1::Money;
use stampede_proto::order::v1::{
    CreateOrderRequest, DeliverOrderRequest, GetReturnRequest, LineItem, OrderReturn, QuotePriceRequest,
    RequestReturnRequest, ResolveReturnRequest, ReturnState, ShipOrderRequest,
};
use tonic::{Response, Status};

use super::super::after::{AfterSales, Back, Quote};
use super::super::rest::Refused;
use super::super::story::Order;
use super::{Face, answer, once, refused};
use crate::token::Role;

impl AfterSales for Face<'_> {
    async fn quote(&self, user: &str, sku: &str, coupon: &str) -> anyhow::Result<Result<Quote, Refused>> {
        let wanted = QuotePriceRequest { lines: one(sku), coupons: vec![coupon.to_owned()] };
        let answer = self.orders.clone().quote_price(self.request(user, wanted)?).await;
        Ok(answer.map_err(|status| refused(&status)).map(|response| {
            let quoted = response.into_inner();
            Quote {
                subtotal_minor: minor(quoted.subtotal.as_ref()),
                total_minor: minor(quoted.total.as_ref()),
                signed: quoted.quote,
            }
        }))
    }

    async fn place_quoted(
        &self,
        user: &str,
        key: &str,
        sku: &str,
        coupon: &str,
        quote: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        let wanted = CreateOrderRequest {
            lines: one(sku),
            coupons: vec![coupon.to_owned()],
            quote: quote.to_owned(),
            ..CreateOrderRequest::default()
        };
        let mut request = self.request(user, wanted)?;
        once(&mut request, key)?;
        Ok(answer(self.orders.clone().create_order(request).await))
    }

    async fn ship(
        &self,
        staff: &str,
        order_id: &str,
        shipment: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        let (order_id, shipment_id) = (order_id.to_owned(), shipment.to_owned());
        let wanted = ShipOrderRequest { order_id, shipment_id, lines: Vec::new() };
        Ok(answer(self.orders.clone().ship_order(self.request_as(staff, Role::Staff, wanted)?).await))
    }

    async fn deliver(
        &self,
        staff: &str,
        order_id: &str,
        shipment: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        let wanted = DeliverOrderRequest { order_id: order_id.to_owned(), shipment_id: shipment.to_owned() };
        Ok(answer(self.orders.clone().deliver_order(self.request_as(staff, Role::Staff, wanted)?).await))
    }

    async fn ask_back(
        &self,
        user: &str,
        order_id: &str,
        id: &str,
        sku: &str,
    ) -> anyhow::Result<Result<Back, Refused>> {
        let wanted = RequestReturnRequest {
            order_id: order_id.to_owned(),
            return_id: id.to_owned(),
            lines: one(sku),
            reason: "too small".to_owned(),
        };
        Ok(back(self.orders.clone().request_return(self.request(user, wanted)?).await))
    }

    async fn resolve(&self, staff: &str, id: &str, state: &str) -> anyhow::Result<Result<Back, Refused>> {
        let state = ReturnState::from_str_name(&format!("RETURN_STATE_{state}")).unwrap_or_default();
        let wanted = ResolveReturnRequest { return_id: id.to_owned(), state: state.into(), restock: true };
        Ok(back(self.orders.clone().resolve_return(self.request_as(staff, Role::Staff, wanted)?).await))
    }

    async fn get_return(&self, user: &str, id: &str) -> anyhow::Result<Result<Back, Refused>> {
        let wanted = self.request(user, GetReturnRequest { return_id: id.to_owned() })?;
        Ok(back(self.orders.clone().get_return(wanted).await))
    }
}

/// One unit from the shelf.
fn one(sku: &str) -> Vec<LineItem> {
    vec![LineItem { sku_id: sku.to_owned(), campaign_id: String::new(), quantity: 1 }]
}

fn minor(money: Option<&Money>) -> i64 {
    money.map_or(0, |money| money.amount_minor)
}

fn back(answer: Result<Response<OrderReturn>, Status>) -> Result<Back, Refused> {
    let found = answer.map_err(|status| refused(&status))?.into_inner();
    let state = found.state().as_str_name();
    let state = state.strip_prefix("RETURN_STATE_").unwrap_or(state).to_owned();
    Ok(Back { state, refund_minor: minor(found.refund.as_ref()) })
}
