//! What staff and buyers do once an order is paid, and the words for it.

use stampede_proto::order::v1::*;
use tonic::Status;
use uuid::Uuid;

use crate::shop::{Shop, want};

/// An id of the caller's choice.
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// Lines as (SKU, campaign or nothing, quantity).
pub fn items(lines: &[(&str, &str, u32)]) -> Vec<LineItem> {
    want(lines).lines
}

impl Shop {
    /// Alice's paid order.
    pub async fn bought(&self, key: &str, lines: &[(&str, &str, u32)]) -> Order {
        let order = self.create("alice", key, want(lines)).await.unwrap();
        self.pay("alice", &order, "tok_visa").await.unwrap()
    }

    pub async fn ship_as(&self, role: &str, request: ShipOrderRequest) -> Result<Order, Status> {
        let request = self.request("sam", role, request);
        self.orders.clone().ship_order(request).await.map(tonic::Response::into_inner)
    }

    /// Staff ship these lines, or all that is left, under this id.
    pub async fn ship(&self, order: &Order, id: &str, lines: &[(&str, &str, u32)]) -> Result<Order, Status> {
        let (order_id, shipment_id) = (order.order_id.clone(), id.to_owned());
        self.ship_as("staff", ShipOrderRequest { order_id, shipment_id, lines: items(lines) }).await
    }

    pub async fn deliver(&self, order: &Order, shipment: &str) -> Result<Order, Status> {
        let message =
            DeliverOrderRequest { order_id: order.order_id.clone(), shipment_id: shipment.to_owned() };
        let request = self.request("sam", "staff", message);
        self.orders.clone().deliver_order(request).await.map(tonic::Response::into_inner)
    }

    /// Alice's order, paid, shipped whole and delivered.
    pub async fn delivered(&self, key: &str, lines: &[(&str, &str, u32)]) -> Order {
        let order = self.bought(key, lines).await;
        let id = new_id();
        self.ship(&order, &id, &[]).await.unwrap();
        self.deliver(&order, &id).await.unwrap()
    }

    pub fn return_request(
        &self,
        order: &Order,
        id: &str,
        lines: &[(&str, &str, u32)],
    ) -> RequestReturnRequest {
        RequestReturnRequest {
            order_id: order.order_id.clone(),
            return_id: id.to_owned(),
            lines: items(lines),
            reason: "too small".to_owned(),
        }
    }

    /// Alice wants to send these lines back.
    pub async fn ask_back(
        &self,
        order: &Order,
        id: &str,
        lines: &[(&str, &str, u32)],
    ) -> Result<OrderReturn, Status> {
        let request = self.request("alice", "buyer", self.return_request(order, id, lines));
        self.orders.clone().request_return(request).await.map(tonic::Response::into_inner)
    }

    pub async fn decide_return_as(
        &self,
        role: &str,
        id: &str,
        state: ReturnState,
        restock: bool,
    ) -> Result<OrderReturn, Status> {
        let message = ResolveReturnRequest { return_id: id.to_owned(), state: state.into(), restock };
        let request = self.request("sam", role, message);
        self.orders.clone().resolve_return(request).await.map(tonic::Response::into_inner)
    }

    pub async fn decide_return(
        &self,
        id: &str,
        state: ReturnState,
        restock: bool,
    ) -> Result<OrderReturn, Status> {
        self.decide_return_as("staff", id, state, restock).await
    }

    pub async fn get_return(&self, who: &str, role: &str, id: &str) -> Result<OrderReturn, Status> {
        let request = self.request(who, role, GetReturnRequest { return_id: id.to_owned() });
        self.orders.clone().get_return(request).await.map(tonic::Response::into_inner)
    }

    /// Alice's return of these lines, approved and received.
    pub async fn sent_back(
        &self,
        order: &Order,
        id: &str,
        lines: &[(&str, &str, u32)],
        restock: bool,
    ) -> OrderReturn {
        self.ask_back(order, id, lines).await.unwrap();
        self.decide_return(id, ReturnState::Approved, false).await.unwrap();
        self.decide_return(id, ReturnState::Received, restock).await.unwrap()
    }
}
