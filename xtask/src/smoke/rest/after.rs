//! What follows a purchase, by REST.

use serde_json::{Value, json};

use super::super::after::{AfterSales, Back, Quote};
use super::super::story::Order;
use super::{Face, Refused, minor, order};
use crate::token::Role;

impl AfterSales for Face<'_> {
    async fn quote(&self, user: &str, sku: &str, coupon: &str) -> anyhow::Result<Result<Quote, Refused>> {
        let answer = self.api(user)?.post("/v1/orders:quote", &basket(sku, coupon)).await?;
        Ok(answer.map(|value| Quote {
            signed: value["quote"].as_str().unwrap_or_default().to_owned(),
            subtotal_minor: minor(&value["subtotal"]),
            total_minor: minor(&value["total"]),
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
        let mut body = basket(sku, coupon);
        body["quote"] = json!(quote);
        Ok(self.api(user)?.post_once("/v1/orders", &body, key).await?.map(|value| order(&value)))
    }

    async fn ship(
        &self,
        staff: &str,
        order_id: &str,
        shipment: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        self.parcel(staff, &format!("/v1/orders/{order_id}:ship"), shipment).await
    }

    async fn deliver(
        &self,
        staff: &str,
        order_id: &str,
        shipment: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        self.parcel(staff, &format!("/v1/orders/{order_id}:deliver"), shipment).await
    }

    async fn ask_back(
        &self,
        user: &str,
        order_id: &str,
        id: &str,
        sku: &str,
    ) -> anyhow::Result<Result<Back, Refused>> {
        let lines = json!([{ "skuId": sku, "quantity": 1 }]);
        let body = json!({ "returnId": id, "lines": lines, "reason": "too small" });
        let answer = self.api(user)?.post(&format!("/v1/orders/{order_id}/returns"), &body).await?;
        Ok(answer.map(|value| back(&value)))
    }

    async fn resolve(&self, staff: &str, id: &str, state: &str) -> anyhow::Result<Result<Back, Refused>> {
        let body = json!({ "state": format!("RETURN_STATE_{state}"), "restock": true });
        let api = self.api_as(staff, Role::Staff)?;
        Ok(api.post(&format!("/v1/returns/{id}:resolve"), &body).await?.map(|value| back(&value)))
    }

    async fn get_return(&self, user: &str, id: &str) -> anyhow::Result<Result<Back, Refused>> {
        Ok(self.api(user)?.get(&format!("/v1/returns/{id}")).await?.map(|value| back(&value)))
    }
}

impl Face<'_> {
    async fn parcel(
        &self,
        staff: &str,
        path: &str,
        shipment: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        let answer = self.api_as(staff, Role::Staff)?.post(path, &json!({ "shipmentId": shipment })).await?;
        Ok(answer.map(|value| order(&value)))
    }
}

fn basket(sku: &str, coupon: &str) -> Value {
    json!({ "lines": [{ "skuId": sku, "quantity": 1 }], "coupons": [coupon] })
}

fn back(value: &Value) -> Back {
    let state = value["state"].as_str().unwrap_or_default();
    let state = state.strip_prefix("RETURN_STATE_").unwrap_or(state).to_owned();
    Back { state, refund_minor: minor(&value["refund"]) }
}
