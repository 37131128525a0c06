//! The REST face as a client sees it: JSON in, JSON out, a refusal with its reason word.

mod after;

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use stampede_pki::Folder;

use super::story::{self, Order};
use crate::stack::Stack;
use crate::token::{self, Role};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The gateway, called as one user.
#[derive(Debug)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// An answer that is a no.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status, or the name of a gRPC code.
    pub status: String,
    /// The reason word, such as `OUT_OF_STOCK`; empty when there was none.
    pub reason: String,
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} ({})", self.status, self.reason, self.message)
    }
}

impl Api {
    pub fn new(base: String, token: String) -> anyhow::Result<Api> {
        // The stack listens on loopback; a proxy of the developer's has no business here.
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
        Ok(Api { client, base, token })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Result<Value, Refused>> {
        self.send(Method::GET, path, None, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Result<Value, Refused>> {
        self.send(Method::POST, path, Some(body), None).await
    }

    /// With an `Idempotency-Key`.
    pub async fn post_once(
        &self,
        path: &str,
        body: &Value,
        key: &str,
    ) -> anyhow::Result<Result<Value, Refused>> {
        self.send(Method::POST, path, Some(body), Some(key)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Result<Value, Refused>> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.clone(), &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.with_context(|| format!("no answer to {method} {url}"))?;
        let status = response.status();
        let text =
            response.text().await.with_context(|| format!("the answer to {method} {url} broke off"))?;
        let value: Value = serde_json::from_str(&text)
            .with_context(|| format!("the answer to {method} {url} ({status}) is not JSON: {text:?}"))?;
        Ok(if status.is_success() { Ok(value) } else { Err(refused(status.as_u16(), &value)) })
    }
}

/// Reads a google.rpc.Status in JSON.
fn refused(status: u16, body: &Value) -> Refused {
    let details = body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    Refused { status: status.to_string(), reason: reason.to_owned(), message: message.to_owned() }
}

/// The story's view of the gateway.
pub struct Face<'a> {
    stack: &'a Stack,
}

impl<'a> Face<'a> {
    pub fn new(stack: &'a Stack) -> Face<'a> {
        Face { stack }
    }

    fn api(&self, user: &str) -> anyhow::Result<Api> {
        self.api_as(user, Role::Buyer)
    }

    fn api_as(&self, user: &str, role: Role) -> anyhow::Result<Api> {
        let folder: &Folder = self.stack.folder();
        Api::new(self.stack.gateway()?, token::sign(folder, user, role)?)
    }
}

impl story::Face for Face<'_> {
    async fn campaigns(&self, user: &str) -> anyhow::Result<Vec<String>> {
        let answer = self.api(user)?.get("/v1/campaigns?state=CAMPAIGN_STATE_OPEN&pageSize=100").await?;
        let value = answer.map_err(|refused| anyhow::anyhow!("listing campaigns is refused: {refused}"))?;
        let listed = value["campaigns"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(listed.iter().filter_map(|campaign| campaign["campaignId"].as_str().map(str::to_owned)).collect())
    }

    async fn free(&self, user: &str, sku: &str, campaign: &str) -> anyhow::Result<i64> {
        let answer = self.api(user)?.get(&format!("/v1/stock/{sku}")).await?;
        let value = answer.map_err(|refused| anyhow::anyhow!("reading stock is refused: {refused}"))?;
        let levels = value["levels"].as_array().map(Vec::as_slice).unwrap_or_default();
        let level = levels.iter().find(|level| level["campaignId"] == campaign);
        let level = level.with_context(|| format!("{sku} has no level in {campaign}"))?;
        // Canonical JSON leaves out a zero and writes int64 as text.
        level["free"].as_str().map_or(Ok(0), |text| text.parse().context("free is a number"))
    }

    async fn place(
        &self,
        user: &str,
        key: &str,
        sku: &str,
        campaign: &str,
    ) -> anyhow::Result<Result<Order, Refused>> {
        let body = json!({ "lines": [{ "skuId": sku, "campaignId": campaign, "quantity": 1 }] });
        Ok(self.api(user)?.post_once("/v1/orders", &body, key).await?.map(|value| order(&value)))
    }

    async fn get(&self, user: &str, order_id: &str) -> anyhow::Result<Result<Order, Refused>> {
        Ok(self.api(user)?.get(&format!("/v1/orders/{order_id}")).await?.map(|value| order(&value)))
    }

    async fn pay(&self, user: &str, order_id: &str, card: &str) -> anyhow::Result<Result<Order, Refused>> {
        let body = json!({ "method": { "card": { "token": card } } });
        let answer = self.api(user)?.post(&format!("/v1/orders/{order_id}:pay"), &body).await?;
        Ok(answer.map(|value| order(&value)))
    }

    async fn cancel(&self, user: &str, order_id: &str) -> anyhow::Result<Result<Order, Refused>> {
        let body = json!({ "reason": "changed my mind" });
        let answer = self.api(user)?.post(&format!("/v1/orders/{order_id}:cancel"), &body).await?;
        Ok(answer.map(|value| order(&value)))
    }
}

fn order(value: &Value) -> Order {
    let state = value["state"].as_str().unwrap_or_default();
    Order {
        id: value["orderId"].as_str().unwrap_or_default().to_owned(),
        state: state.strip_prefix("ORDER_STATE_").unwrap_or(state).to_owned(),
        total_minor: minor(&value["total"]),
    }
}

/// Canonical JSON writes int64 as text; what is absent is nothing.
fn minor(money: &Value) -> i64 {
    money["amountMinor"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_reason_word() {
        let body = json!({ "code": 9, "message": "Sold out.", "details": [
            { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "OUT_OF_STOCK", "domain": "stampede" },
        ]});
        let refused = refused(409, &body);
        assert_eq!(refused.to_string(), "409 OUT_OF_STOCK (Sold out.)");
    }

    #[test]
    fn an_order_is_read_from_canonical_json() {
        let body =
            json!({ "orderId": "a", "state": "ORDER_STATE_CONFIRMED", "total": { "amountMinor": "39900" } });
        let read = order(&body);
        assert_eq!((read.id.as_str(), read.state.as_str(), read.total_minor), ("a", "CONFIRMED", 39_900));
    }
}
