//! The provider tells by itself, through the gateway's own address for it, and is believed only when it signs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Buyer, Shop, UNIT_PRICE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_told_of_by_signed_webhooks_and_a_dispute_is_heard_of_that_nobody_asked_for() {
    let shop = Shop::with(&[("payment", "psp.timeout_ms", "500")]).await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    // Each step is told of twice, the capture before its call is answered, which it never is.
    let token = "tok_webhook_twice__capture_webhook_early__capture_timeout_after";
    alice.try_pay(&order, token).await.unwrap();
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;

    let payments = shop.database("payment").await;
    let payment: String =
        sqlx::query_scalar("SELECT payment_id::text FROM payment_intent").fetch_one(&payments).await.unwrap();
    eventually(async || {
        let told: Vec<String> =
            sqlx::query_scalar("SELECT state FROM webhook").fetch_all(&payments).await.unwrap();
        if told == ["APPLIED", "APPLIED"] { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;

    let desk = format!("http://{}/v1/desk", shop.stack.address("psp-simulator").unwrap());
    let dispute = json!({ "payment": payment, "what": "dispute_opened", "reference": "d1", "amount_minor": UNIT_PRICE });
    shop.http.post(desk).json(&dispute).send().await.unwrap().error_for_status().unwrap();
    let staff = shop.user("sam", "staff");
    let seen = eventually(async || {
        let seen = staff.get(&format!("/v1/payments/{payment}")).await.ok();
        if seen["disputed"]["amountMinor"] == json!(UNIT_PRICE.to_string()) {
            Ok(seen)
        } else {
            Err(seen.to_string())
        }
    })
    .await;
    assert_eq!(seen["state"], "PAYMENT_STATE_CAPTURED");
    let refund = json!({ "refundId": uuid::Uuid::now_v7() });
    let refused = staff.post(&format!("/v1/payments/{payment}:refund"), &refund).await;
    assert_eq!(refused.reason(), "AMOUNT_EXCEEDED", "what is disputed is not given back as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_sign_as_the_provider_is_refused_at_the_webhooks_address() {
    let shop = Shop::open().await;
    let nobody = shop.bearer(None);
    let send = async |method: Method, provider: &str, signature: Option<&str>, body: Value| {
        let request = nobody.request(method, &format!("/webhooks/{provider}")).json(&body);
        let request = match signature {
            Some(signature) => request.header(format!("{provider}-signature"), signature),
            None => request,
        };
        let answer = Buyer::try_send(request).await.unwrap();
        (answer.status.as_u16(), answer.reason().to_owned())
    };
    let signature = (401, "WEBHOOK_SIGNATURE".to_owned());
    assert_eq!(send(Method::POST, "simulator", None, json!({})).await, signature);
    assert_eq!(send(Method::POST, "simulator", Some("t=1,v1=00"), json!({})).await, signature);
    let unknown = send(Method::POST, "nobody", Some("t=1,v1=00"), json!({})).await;
    assert_eq!(unknown, (404, "WEBHOOK_PROVIDER".to_owned()));
    assert_eq!(send(Method::GET, "simulator", None, json!({})).await.0, 405);
    let large = send(Method::POST, "simulator", Some("t=1,v1=00"), json!("x".repeat(70_000))).await;
    assert_eq!(large.0, 413);
}
