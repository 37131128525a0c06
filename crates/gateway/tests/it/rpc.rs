//! The same calls by JSON-RPC 2.0.

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::house::{House, detail, refused};
use crate::services::ORDER_ID;

const CREATE: &str = "stampede.order.v1.OrderService/CreateOrder";
const GET: &str = "stampede.order.v1.OrderService.GetOrder";

fn rpc(house: &House, body: &Value) -> RequestBuilder {
    house.buyer(Method::POST, "/rpc").header("idempotency-key", "key-1").json(body)
}

fn call(method: &str, params: Value, id: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id })
}

fn order(sku: &str) -> Value {
    json!({ "lines": [{ "skuId": sku, "quantity": 2 }] })
}

async fn answer(house: &House, body: &Value) -> Value {
    let response = rpc(house, body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().contains_key("x-request-id"));
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_call_has_its_result_and_its_key() {
    let house = House::start().await;

    let answer = answer(&house, &call(CREATE, order("A-1"), json!("one"))).await;

    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!("one")));
    let placed = &answer["result"];
    assert_eq!((&placed["buyerId"], &placed["reservationId"]), (&json!("alice"), &json!("key-1")));
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_reason_in_the_callers_language() {
    let house = House::start().await;
    let asked = rpc(&house, &call(CREATE, order("SOLD-OUT"), json!(7))).header("accept-language", "zh-CN");

    let response = asked.send().await.unwrap();

    assert_eq!(response.headers()["retry-after"], "3");
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32009)));
    assert_eq!(detail(&answer["error"]["data"], "ErrorInfo")["reason"], "OUT_OF_STOCK");
    assert_eq!(detail(&answer["error"]["data"], "LocalizedMessage")["locale"], "zh-CN");
}

#[tokio::test]
async fn what_is_wrong_with_a_call_has_the_number_of_the_specification() {
    let house = House::start().await;
    for (what, body, code, reason) in [
        (
            "a method nobody has",
            call("stampede.order.v1.OrderService/Steal", json!({}), json!(1)),
            -32601,
            "NOT_IMPLEMENTED",
        ),
        (
            "a stream",
            call("stampede.inventory.v1.InventoryService/WatchStock", json!({}), json!(1)),
            -32601,
            "NOT_IMPLEMENTED",
        ),
        ("params by position", call(GET, json!([ORDER_ID]), json!(1)), -32602, "INVALID_ARGUMENT"),
        (
            "a field nobody has",
            call(GET, json!({ "orderid": ORDER_ID }), json!(1)),
            -32602,
            "INVALID_ARGUMENT",
        ),
        ("a rule that is broken", call(GET, json!({ "orderId": "x" }), json!(1)), -32602, "INVALID_ARGUMENT"),
        (
            "an order nobody has",
            call(GET, json!({ "orderId": "0190b2c4-7e1f-7000-8000-00000000beef" }), json!(1)),
            -32005,
            "ORDER_NOT_FOUND",
        ),
        ("another version", json!({ "jsonrpc": "1.0", "method": GET, "id": 1 }), -32600, "INVALID_ARGUMENT"),
        ("nothing", json!([]), -32600, "INVALID_ARGUMENT"),
        ("too many", Value::from(vec![call(GET, json!({}), json!(1)); 51]), -32600, "INVALID_ARGUMENT"),
    ] {
        let answer = answer(&house, &body).await;
        assert_eq!(answer["error"]["code"], code, "{what}: {answer}");
        assert_eq!(detail(&answer["error"]["data"], "ErrorInfo")["reason"], reason, "{what}: {answer}");
    }
    let broken = house.buyer(Method::POST, "/rpc").header("content-type", "application/json").body("{");
    let broken: Value = broken.send().await.unwrap().json().await.unwrap();
    assert_eq!((&broken["error"]["code"], &broken["id"]), (&json!(-32700), &Value::Null));
}

#[tokio::test]
async fn a_batch_is_answered_in_order_each_call_with_a_key_of_its_own_and_notifications_not_at_all() {
    let house = House::start().await;
    let mut silent = call(CREATE, order("A-1"), json!(0));
    silent.as_object_mut().unwrap().remove("id");
    let batch = json!([
        call(CREATE, order("A-1"), json!("a")),
        silent,
        1,
        call(GET, json!({ "orderId": ORDER_ID }), json!(2)),
        call(CREATE, order("A-2"), json!(3))
    ]);

    let answers = answer(&house, &batch).await;

    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [&json!("a"), &Value::Null, &json!(2), &json!(3)]);
    let keys = [&answers[0]["result"]["reservationId"], &answers[3]["result"]["reservationId"]];
    assert_eq!(keys, [&json!("key-1:a"), &json!("key-1:3")]);
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(answers[2]["result"]["orderId"], ORDER_ID);

    let response = rpc(&house, &json!([silent, silent])).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (204, ""));
    let metrics = house.client.get(house.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let counted = |line: &str| line.contains(r#"face="json-rpc""#) && line.contains(r#"method="batch""#);
    assert!(metrics.lines().any(counted), "{metrics}");
}

#[tokio::test]
async fn what_is_no_json_rpc_is_refused_like_a_rest_call() {
    let house = House::start().await;
    let (status, reason, _) = refused(house.buyer(Method::GET, "/rpc")).await;
    assert_eq!((status, reason.as_str()), (405, "METHOD_NOT_ALLOWED"));
    let text = house.buyer(Method::POST, "/rpc").header("content-type", "text/plain").body("{}");
    assert_eq!(refused(text).await.1, "MEDIA_TYPE");

    let nobody =
        house.client.post(house.url("/rpc")).json(&call(GET, json!({ "orderId": ORDER_ID }), json!(1)));
    let answer: Value = nobody.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["code"], -32016);
    assert_eq!(detail(&answer["error"]["data"], "ErrorInfo")["reason"], "TOKEN_MISSING");
}
