//! Bad input of every kind: a 4xx with field path and reason, never a 500, and nothing changes.

use reqwest::{Method, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Buyer, SKU, Shop};

async fn raw(buyer: &Buyer, body: impl Into<reqwest::Body>) -> Answer {
    let request = buyer
        .request(Method::POST, "/v1/orders")
        .header("idempotency-key", Uuid::now_v7().to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(body);
    Buyer::try_send(request).await.unwrap()
}

fn line(quantity: &Value) -> Value {
    json!({ "lines": [{ "skuId": SKU, "quantity": quantity }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_orders_are_refused_with_the_field_and_the_reason() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let lines = |n: usize| json!({ "lines": vec![json!({ "skuId": SKU, "quantity": 1 }); n] });
    let cases: Vec<(&str, Value, &str)> = vec![
        (
            "unknown field",
            json!({ "lines": [{ "skuId": SKU, "quantity": 1, "price": 1 }] }),
            "lines[0].price",
        ),
        ("wrong type", json!({ "lines": [{ "skuId": 7, "quantity": 1 }] }), "lines[0].skuId"),
        ("not a list", json!({ "lines": "all" }), "lines"),
        ("negative quantity", line(&json!(-1)), "lines[0].quantity"),
        ("quantity 0", line(&json!(0)), "lines[0].quantity"),
        ("quantity 1001", line(&json!(1001)), "lines[0].quantity"),
        ("fraction", line(&json!(1.5)), "lines[0].quantity"),
        ("2^63", line(&json!(9_223_372_036_854_775_808_u64)), "lines[0].quantity"),
        ("empty items", json!({ "lines": [] }), "lines"),
        ("nothing", json!({}), "lines"),
        ("101 lines", lines(101), "lines"),
        ("a SKU no SKU can have", json!({ "lines": [{ "skuId": "a b", "quantity": 1 }] }), "lines[0].sku"),
    ];
    for (what, body, field) in cases {
        let answer = raw(&alice, body.to_string()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (400, "INVALID_ARGUMENT"),
            "{what}: {answer:?}"
        );
        let said = answer.field().to_owned();
        let snake = field.replace("skuId", "sku_id");
        assert!(said.starts_with(field) || said.starts_with(&snake), "{what}: {said}, want {field}");
    }
    raw(&alice, lines(100).to_string()).await.ok();
    shop.settles(100, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_refused_and_say_where() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    for broken in [&b"{"[..], b"[]", b"{}{}", b"{\"lines\":[{\"skuId\":\"\xff\xfe\"}]}", b"nonsense"] {
        let answer = raw(&alice, broken.to_vec()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (400, "INVALID_ARGUMENT"),
            "{broken:?}: {answer:?}"
        );
    }
    let huge = format!("{{\"lines\":[{{\"skuId\":\"{}\"}}]}}", "x".repeat(10 << 20));
    match alice
        .request(Method::POST, "/v1/orders")
        .header("idempotency-key", "huge")
        .header(header::CONTENT_TYPE, "application/json")
        .body(huge)
        .send()
        .await
    {
        Ok(response) => assert_eq!(response.status().as_u16(), 413),
        // The gateway may hang up on a sender that does not stop; what it may not do is take the body.
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_methods_types_and_keys_are_told_apart() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let send = async |request| Buyer::try_send(request).await.unwrap();

    let nowhere = alice.get("/v1/nothing").await;
    assert_eq!((nowhere.status.as_u16(), nowhere.reason()), (404, "ROUTE_NOT_FOUND"));
    let method = send(alice.request(Method::DELETE, "/v1/orders")).await;
    assert_eq!((method.status.as_u16(), method.reason()), (405, "METHOD_NOT_ALLOWED"));
    let xml =
        alice.request(Method::POST, "/v1/orders").header(header::CONTENT_TYPE, "text/xml").body("<order/>");
    let media = send(xml).await;
    assert_eq!((media.status.as_u16(), media.reason()), (415, "MEDIA_TYPE"));
    let keyless = send(alice.request(Method::POST, "/v1/orders").json(&line(&json!(1)))).await;
    assert_eq!((keyless.status.as_u16(), keyless.reason()), (400, "IDEMPOTENCY_KEY_MISSING"));
    let unknown = alice.order(json!([{ "skuId": "NO-SUCH", "quantity": 1 }])).await;
    assert_eq!((unknown.status.as_u16(), unknown.reason()), (404, "SKU_NOT_FOUND"));
    let campaign = alice.order(json!([{ "skuId": SKU, "campaignId": "no-such", "quantity": 1 }])).await;
    assert_eq!((campaign.status.as_u16(), campaign.reason()), (404, "CAMPAIGN_NOT_FOUND"));
    let id = alice.get("/v1/orders/not-a-uuid").await;
    assert_eq!((id.status.as_u16(), id.reason()), (400, "INVALID_ARGUMENT"));
    shop.settles(0, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_speak_the_buyers_language() {
    let shop = Shop::open().await;
    let request =
        shop.buyer("alice").request(Method::GET, "/v1/skus/NO-SUCH").header("accept-language", "zh-CN");
    let answer = Buyer::try_send(request).await.unwrap();
    assert!(answer.body.to_string().contains("商品不存在"), "{answer:?}");
}
