//! A server that plays a contract: the requests that have to come, in order, and what Stripe's published API answers to each. Whatever
//! differs from what is written down fails the test that plays it. It has never been recorded from the real thing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use stampede_kit::{Secret, task};
use stampede_payment::{Call, Operation, Stripe, StripeConfig};
use stampede_types::PaymentId;
use uuid::Uuid;

pub const KEY: &str = "sk_test_contract";
pub const PAYMENT: Uuid = Uuid::from_u128(0x11);
/// The authorisation's key.
pub const HOLD_KEY: Uuid = Uuid::from_u128(0x22);
pub const OTHER_KEY: Uuid = Uuid::from_u128(0x33);
/// When every intent of these fixtures was made.
pub const CREATED: i64 = 1_700_000_000;

/// One request and its answer.
pub struct Exchange {
    method: Method,
    /// With its query, as it is sent.
    path: String,
    /// The decoded pairs of the body, in order.
    form: Vec<(String, String)>,
    key: Option<Uuid>,
    status: u16,
    body: Value,
}

pub fn post<const N: usize>(path: &str, key: Uuid, form: [(&str, &str); N]) -> Exchange {
    let form = form.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (method, path) = (Method::POST, path.to_owned());
    Exchange { method, path, form, key: Some(key), status: 200, body: Value::Null }
}

pub fn get(path: &str) -> Exchange {
    let (method, path) = (Method::GET, path.to_owned());
    Exchange { method, path, form: Vec::new(), key: None, status: 200, body: Value::Null }
}

impl Exchange {
    pub fn answers(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// With the error object of the published API.
    pub fn fails(self, status: u16, kind: &str, code: &str, decline_code: &str) -> Self {
        let error = json!({ "type": kind, "code": code, "decline_code": decline_code, "message": "…",
                            "payment_intent": intent("requires_payment_method") });
        Self { status, body: json!({ "error": error }), ..self }
    }

    fn difference(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &str) -> Option<String> {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let form: Vec<(String, String)> =
            body.split('&').filter(|pair| !pair.is_empty()).map(decoded).collect();
        let key = self.key.map(|key| key.to_string()).unwrap_or_default();
        let differs = *method != self.method
            || uri.to_string() != self.path
            || form != self.form
            || header("authorization") != format!("Bearer {KEY}")
            || header("stripe-version") != "2024-06-20"
            || header("idempotency-key") != key
            || (*method == Method::POST && header("content-type") != "application/x-www-form-urlencoded");
        differs.then(|| {
            format!(
                "got {method} {uri} {form:?} {headers:?}, want {} {} {:?} key {key}",
                self.method, self.path, self.form
            )
        })
    }
}

fn decoded(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap();
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if *first == b'%' {
                let hex = std::str::from_utf8(&after[..2]).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    (plain(name), plain(value))
}

#[derive(Default)]
struct Play {
    left: VecDeque<Exchange>,
    differences: Vec<String>,
}

/// The server, and the adapter that speaks to it.
pub struct Contract {
    pub stripe: Stripe,
    pub url: String,
    play: Arc<Mutex<Play>>,
}

impl Contract {
    pub async fn of<const N: usize>(exchanges: [Exchange; N]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let play = Arc::new(Mutex::new(Play { left: exchanges.into(), differences: Vec::new() }));
        let router = Router::new().fallback(turn).with_state(play.clone());
        drop(task::spawn("contract", async move { axum::serve(listener, router).await }));
        Self { stripe: Stripe::new(config(&url)).unwrap(), url, play }
    }

    /// All of it was played as it is written.
    pub fn was_kept(&self) {
        let play = self.play.lock().unwrap();
        assert_eq!((play.differences.as_slice(), play.left.len()), (&[] as &[String], 0));
    }
}

pub fn config(url: &str) -> StripeConfig {
    StripeConfig {
        url: url.to_owned(),
        secret_key: Secret::new(KEY),
        return_url: "https://shop/back".to_owned(),
        timeout: Duration::from_secs(10),
    }
}

async fn turn(
    State(play): State<Arc<Mutex<Play>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut play = play.lock().unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let Some(next) = play.left.pop_front() else {
        play.differences.push(format!("nothing more was to come: {method} {uri}"));
        return (StatusCode::INTERNAL_SERVER_ERROR, String::new());
    };
    if let Some(difference) = next.difference(&method, &uri, &headers, &body) {
        play.differences.push(difference);
        return (StatusCode::INTERNAL_SERVER_ERROR, String::new());
    }
    (StatusCode::from_u16(next.status).unwrap(), next.body.to_string())
}

/// A call about the payment of these fixtures.
pub fn call(operation: Operation, amount_minor: i64, hold: Option<&str>) -> Call {
    Call {
        key: if operation == Operation::Authorize { HOLD_KEY } else { OTHER_KEY },
        operation,
        payment: PaymentId::new(PAYMENT),
        amount_minor,
        currency: "EUR".parse().unwrap(),
        hold: hold.map(str::to_owned),
        authorization: Some(HOLD_KEY),
    }
}

/// A PaymentIntent of 100.00 EUR, with the fields of the published object that matter and some that do not.
pub fn intent(status: &str) -> Value {
    let capturable = if status == "requires_capture" { 10_000 } else { 0 };
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 10_000, "amount_capturable": capturable,
        "amount_received": 0, "capture_method": "manual", "created": CREATED, "currency": "eur",
        "client_secret": "pi_1_secret", "last_payment_error": null, "latest_charge": null, "livemode": false,
        "metadata": { "payment": PAYMENT.to_string(), "key": HOLD_KEY.to_string() },
        "next_action": null, "payment_method_types": ["card"], "status": status,
    })
}

/// The same with its charge, of which this much was captured.
pub fn charged(status: &str, captured: i64) -> Value {
    let mut intent = intent(status);
    intent["amount_received"] = json!(captured);
    intent["latest_charge"] = json!({
        "id": "ch_1", "object": "charge", "amount": 10_000, "amount_captured": captured,
        "amount_refunded": 0, "captured": captured > 0, "status": "succeeded", "payment_intent": "pi_1",
    });
    intent
}

pub fn refund(status: &str, key: Uuid) -> Value {
    json!({
        "id": "re_1", "object": "refund", "amount": 4_000, "charge": "ch_1", "currency": "eur",
        "payment_intent": "pi_1", "status": status, "failure_reason": null,
        "metadata": { "payment": PAYMENT.to_string(), "key": key.to_string() },
    })
}
