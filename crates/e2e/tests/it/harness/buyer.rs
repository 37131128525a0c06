//! Somebody with a token who talks REST to the gateway.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::shop::{SKU, eventually};

/// Somebody who calls the gateway.
#[derive(Clone)]
pub struct Buyer {
    http: reqwest::Client,
    gateway: String,
    token: Option<String>,
}

/// What came back: a status and a JSON body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// The reason word of a refusal.
    pub fn reason(&self) -> &str {
        let details = self.body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or("")
    }

    /// The first field a refusal complains about.
    pub fn field(&self) -> &str {
        let details = self.body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        details.iter().find_map(|detail| detail["fieldViolations"][0]["field"].as_str()).unwrap_or("")
    }
}

impl Buyer {
    pub fn new(http: reqwest::Client, gateway: String, token: Option<String>) -> Self {
        Self { http, gateway, token }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.gateway));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The answer, or the transport's complaint.
    pub async fn try_send(request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|e| format!("{e:?}"))?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, body })
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::try_send(self.request(Method::GET, path)).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::try_send(self.request(Method::POST, path).json(body)).await.unwrap()
    }

    /// Asks for an order under a key.
    pub async fn try_order(&self, key: &str, lines: Value) -> Result<Answer, String> {
        let request = self.request(Method::POST, "/v1/orders").header("idempotency-key", key);
        Self::try_send(request.json(&json!({ "lines": lines }))).await
    }

    pub async fn order(&self, lines: Value) -> Answer {
        self.try_order(&Uuid::now_v7().to_string(), lines).await.unwrap()
    }

    /// One unit from the shelf; its order id.
    pub async fn order_one(&self) -> String {
        let order = self.order(json!([{ "skuId": SKU, "quantity": 1 }])).await.ok();
        order["orderId"].as_str().unwrap().to_owned()
    }

    pub async fn try_pay(&self, order: &str, card: &str) -> Result<Answer, String> {
        let body = json!({ "method": { "card": { "token": card } } });
        Self::try_send(self.request(Method::POST, &format!("/v1/orders/{order}:pay")).json(&body)).await
    }

    pub async fn pay(&self, order: &str) -> Answer {
        self.try_pay(order, "tok_visa").await.unwrap()
    }

    pub async fn try_cancel(&self, order: &str) -> Result<Answer, String> {
        let request = self.request(Method::POST, &format!("/v1/orders/{order}:cancel"));
        Self::try_send(request.json(&json!({ "reason": "changed my mind" }))).await
    }

    /// Waits until the order is in this state.
    pub async fn sees(&self, order: &str, state: &str) -> Value {
        let path = format!("/v1/orders/{order}");
        eventually(async || {
            let answer = Self::try_send(self.request(Method::GET, &path)).await?;
            if answer.body["state"] == state { Ok(answer.body) } else { Err(format!("{answer:?}")) }
        })
        .await
    }
}
