//! The provider's HTTP face, over a real socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where it stood")]

use std::net::TcpListener;

use serde_json::{Value, json};
use stampede_kit::config::Reader;
use stampede_kit::task;
use stampede_psp_simulator::{Config, serve};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Psp {
    url: String,
    http: reqwest::Client,
    _stop: DropGuard,
}

impl Psp {
    async fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config =
            Config::read(&mut Reader::from_pairs("psp-simulator", [("listen", address.to_string())]))
                .unwrap();
        let stop = CancellationToken::new();
        drop(task::spawn("psp", serve(config, stop.clone())));
        let psp =
            Self { url: format!("http://{address}"), http: reqwest::Client::new(), _stop: stop.drop_guard() };
        while psp.http.get(format!("{}/healthz", psp.url)).send().await.is_err() {
            tokio::task::yield_now().await;
        }
        psp
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(format!("{}/v1/{path}", self.url)).header("idempotency-key", key);
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(format!("{}/v1/{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }
}

fn authorization(token: &str) -> Value {
    json!({ "payment": "p1", "amount_minor": 100, "currency": "EUR", "source": token })
}

#[tokio::test]
async fn a_command_answers_its_operation_and_never_what_was_paid_with() {
    let psp = Psp::start().await;
    let (status, operation) = psp.post("authorizations", "k1", authorization("tok_visa")).await;
    assert_eq!(
        (status, &operation["status"], &operation["amount_minor"]),
        (200, &json!("succeeded"), &json!(100))
    );
    assert!(!operation.to_string().contains("tok_"));
    assert_eq!(psp.get("operations/k1").await, (200, operation));
    assert_eq!(psp.get("operations/k2").await.0, 404);
}

#[tokio::test]
async fn a_decline_is_402_with_its_class() {
    let psp = Psp::start().await;
    let (status, operation) =
        psp.post("authorizations", "k1", authorization("tok_declined_do_not_honour")).await;
    assert_eq!((status, &operation["decline"]), (402, &json!("do_not_honour")));
}

#[tokio::test]
async fn a_key_used_for_something_else_is_422_and_changes_nothing() {
    let psp = Psp::start().await;
    psp.post("authorizations", "k1", authorization("tok_visa")).await;
    let capture = json!({ "payment": "p1", "amount_minor": 100, "currency": "EUR" });
    assert_eq!(psp.post("captures", "k1", capture).await.0, 422);
    assert_eq!(psp.get("truth/p1").await.1["captured_minor"], 0);
}

#[tokio::test]
async fn what_has_no_key_no_payment_or_no_amount_is_400() {
    let psp = Psp::start().await;
    assert_eq!(psp.post("authorizations", "", authorization("tok_visa")).await.0, 400);
    for wrong in [
        json!({ "payment": "", "amount_minor": 1, "currency": "EUR" }),
        json!({ "payment": "p1", "amount_minor": 0, "currency": "EUR" }),
        json!({ "payment": "p1", "amount_minor": -1, "currency": "EUR" }),
    ] {
        assert_eq!(psp.post("captures", "k1", wrong).await.0, 400);
    }
}

#[tokio::test]
async fn an_error_after_the_effect_keeps_the_effect_and_the_truth_adds_up() {
    let psp = Psp::start().await;
    assert_eq!(psp.post("authorizations", "k1", authorization("tok_error_500_after")).await.0, 500);
    assert_eq!(psp.post("authorizations", "k1", authorization("tok_error_500_after")).await.0, 200);
    let (_, totals) = psp.get("truth").await;
    assert_eq!(totals["by_currency"]["EUR"]["authorized_minor"], 100);
    assert_eq!(totals["by_currency"]["EUR"]["authorizations"], 1);
}

#[tokio::test]
async fn the_settlement_file_has_what_moved_and_is_wrong_where_it_is_asked_to_be() {
    let psp = Psp::start().await;
    psp.post("authorizations", "a1", authorization("tok_visa")).await;
    for (path, key, amount) in [("captures", "c1", 100), ("captures", "c2", 1), ("refunds", "r1", 30)] {
        psp.post(path, key, json!({ "payment": "p1", "amount_minor": amount, "currency": "EUR" })).await;
    }
    let file = async |query: &str| {
        let url = format!("{}/v1/settlement?batch=b1{query}", psp.url);
        let text = psp.http.get(url).send().await.unwrap().text().await.unwrap();
        // Without the time.
        let cut = |line: &str| line.rsplit_once(',').map(|(line, _)| line.to_owned()).unwrap();
        text.lines().map(cut).collect::<Vec<_>>()
    };
    let header = "batch,type,reference,payment,gross_minor,fee_minor,net_minor,currency";
    let (capture, refund) = ("b1,capture,cap_c1,p1,100,0,100,EUR", "b1,refund,ref_r1,p1,-30,0,-30,EUR");
    assert_eq!(file("").await, [header, capture, refund], "a refused capture moved nothing");
    assert_eq!(file("&missing=cap_c1").await, [header, refund]);
    assert_eq!(file("&doubled=ref_r1").await, [header, capture, refund, refund]);
    assert_eq!(file("&until_ms=1").await, [header]);
    assert_eq!(psp.get("settlement?batch=").await.0, 400);
}

#[test]
fn it_listens_on_loopback_only() {
    assert!(Config::read(&mut Reader::from_pairs("psp-simulator", [("listen", "0.0.0.0:9")])).is_err());
}
