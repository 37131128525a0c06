//! REST calls that go well, and what every answer carries.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::house::{House, detail, refused};
use crate::services::{ORDER_ID, SLOW_ORDER_ID};

#[tokio::test]
async fn an_order_goes_there_and_back_with_its_key_its_caller_and_its_request_id() {
    let house = House::start().await;
    let body = json!({ "lines": [{ "skuId": "A-1", "quantity": 2 }, { "sku_id": "B-2", "campaignId": "flash", "quantity": "3" }] });

    let response = house.order(body.to_string()).header("x-request-id", "my-request").send().await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-request-id"], "my-request");
    let order: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(order["orderId"], ORDER_ID);
    assert_eq!(order["buyerId"], "alice");
    assert_eq!(order["state"], "ORDER_STATE_AWAITING_PAYMENT");
    assert_eq!(order["reservationId"], "key-1", "the Idempotency-Key arrives");
    assert_eq!(order["paymentId"], "my-request", "the request id arrives");
    assert_eq!(order["version"], i64::MAX.to_string(), "64-bit numbers are strings in JSON");
    assert_eq!(order["lines"][1]["campaignId"], "flash");
    assert_eq!(order["lines"][1]["quantity"], 3);
    assert_eq!(order["decline"], "", "empty fields are there too");
}

#[tokio::test]
async fn a_path_and_a_query_are_parts_of_the_request() {
    let house = House::start().await;

    let order = house.buyer(Method::GET, &format!("/v1/orders/{ORDER_ID}")).send().await.unwrap();
    let order: Value = serde_json::from_str(&order.text().await.unwrap()).unwrap();
    let path = "/v1/orders?pageSize=7&page_token=a%2Fb&state=ORDER_STATE_CONFIRMED&buyerId=bob";
    let list = house.buyer(Method::GET, path).send().await.unwrap();
    let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();

    assert_eq!(order["orderId"], ORDER_ID);
    assert_eq!(list["nextPageToken"], "7|a/b|2|bob");
}

#[tokio::test]
async fn head_is_get_without_the_body_and_options_says_what_there_is() {
    let house = House::start().await;

    let http_2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (path, status) in
        [(format!("/v1/orders/{ORDER_ID}"), 200), ("/openapi.json".into(), 200), ("/none".into(), 404)]
    {
        for client in [&house.client, &http_2] {
            let head = house.buyer(Method::HEAD, &path).build().unwrap();
            let head = client.execute(head).await.unwrap();
            assert_eq!(head.status(), status, "{path}");
            let length = head.headers()["content-length"].to_str().unwrap().parse::<u64>().unwrap();
            assert!(length > 0 && head.bytes().await.unwrap().is_empty(), "{path}");
        }
    }

    let options = house.client.request(Method::OPTIONS, house.url("/v1/orders")).send().await.unwrap();
    assert_eq!(options.status(), 204);
    let allow = options.headers()["allow"].to_str().unwrap();
    assert!(["GET", "POST", "OPTIONS"].iter().all(|method| allow.contains(method)), "{allow}");
}

#[tokio::test]
async fn a_refusal_of_a_service_comes_whole_and_in_the_callers_language() {
    let house = House::start().await;
    let order = house
        .order(r#"{"lines":[{"skuId":"SOLD-OUT","quantity":1}]}"#)
        .header("accept-language", "zh-CN,en;q=0.5");

    let response = order.send().await.unwrap();

    assert_eq!(response.status(), 409);
    assert_eq!(response.headers()["retry-after"], "3");
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["code"], 9);
    assert_eq!(detail(&body, "ErrorInfo")["reason"], "OUT_OF_STOCK");
    assert_eq!(detail(&body, "ErrorInfo")["metadata"]["sku_id"], "SOLD-OUT");
    assert_eq!(detail(&body, "LocalizedMessage")["message"], "已售罄。");
}

#[tokio::test]
async fn internal_text_stays_inside() {
    let house = House::start().await;
    for sku in ["RAW", "CRASH"] {
        let (status, reason, body) =
            refused(house.order(format!(r#"{{"lines":[{{"skuId":"{sku}","quantity":1}}]}}"#))).await;

        assert_eq!((status, reason.as_str()), (500, "INTERNAL"), "{sku}");
        assert!(!body.to_string().contains("secret") && !body.to_string().contains("panic"), "{body}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_at_the_deadline_of_the_contract() {
    let house = House::start().await;

    let (status, reason, _) = refused(house.buyer(Method::GET, &format!("/v1/orders/{SLOW_ORDER_ID}"))).await;

    assert_eq!((status, reason.as_str()), (504, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_service_that_is_down_is_unavailable_the_rest_works_and_it_is_found_again() {
    let mut house = House::start().await;
    let path = format!("/v1/orders/{ORDER_ID}");
    house.order.cancel();
    let gone = answer_with(&house, &path, 503).await;
    assert!(gone.headers().contains_key("retry-after"));
    let watch = house.buyer(Method::GET, "/v1/stock:watch?skuIds=A-1").send().await.unwrap();
    assert_eq!(watch.status(), 200);

    house.start_order_again().await;

    answer_with(&house, &path, 200).await;
    answer_with(&house, "/readyz", 200).await;
}

/// Asks until the answer has this status.
async fn answer_with(house: &House, path: &str, status: u16) -> reqwest::Response {
    let asked = async {
        loop {
            let response = house.buyer(Method::GET, path).send().await.unwrap();
            if response.status() == status {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap_or_else(|_| panic!("{path} never said {status}"))
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_too() {
    let house = House::start().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let path = house.url(&format!("/v1/orders/{ORDER_ID}"));

    let response = client.get(path).bearer_auth(house.token("auditor")).send().await.unwrap();

    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
}
