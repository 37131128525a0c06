//! A marked card number is pushed through every face, into every kind of field; afterwards it is nowhere: not in a log, a trace, a metric,
//! an event, a table or a key. What should be there is looked for in the same way, so that looking proves something.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_kit::clock::Clock;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::{ImportSkusRequest, Sku};
use stampede_proto::order::v1::PayOrderRequest;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::payment::v1::payment_service_client::PaymentServiceClient;
use stampede_proto::payment::v1::{
    Alipay, AuthorizePaymentRequest, CardToken, PaymentMethod, StoredValue, Tender, Tenders, WeChatPay,
    payment_method, tender,
};
use time::Duration;
use tonic::Code;
use uuid::Uuid;
use xtask::token::Role;

use crate::harness::searched::{Places, Receiver};
use crate::harness::stage::{bearer, channel, request};
use crate::harness::{Buyer, SKU, Shop, eventually};

/// A card network's own test number: its check digit fits.
const CARD: &str = "4000056655665556";
const GROUPED: &str = "4000 0566 5566 5556";
const WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// Every way of paying with it.
fn methods() -> [PaymentMethod; 6] {
    let grouped = format!("session {GROUPED}");
    let amount = Some(Money { amount_minor: 50, currency: "EUR".into() });
    let first = tender::Method::StoredValue(StoredValue { account: "gift".into() });
    let rest = tender::Method::Card(CardToken { token: format!("tok_{CARD}") });
    let tenders = vec![Tender { amount, method: Some(first) }, Tender { amount: None, method: Some(rest) }];
    [
        payment_method::Method::Tenders(Tenders { tenders }),
        payment_method::Method::Card(CardToken { token: format!("tok_{CARD}") }),
        payment_method::Method::Card(CardToken { token: CARD.into() }),
        payment_method::Method::Alipay(Alipay { session: CARD.into() }),
        payment_method::Method::WechatPay(WeChatPay { session: grouped }),
        payment_method::Method::StoredValue(StoredValue { account: CARD.into() }),
    ]
    .map(|method| PaymentMethod { method: Some(method) })
}

/// The same as JSON.
fn in_json(method: &PaymentMethod) -> Value {
    let price = json!({ "amountMinor": "50", "currency": "EUR" });
    match method.method.as_ref().unwrap() {
        payment_method::Method::Tenders(_) => json!({ "tenders": { "tenders": [
            { "amount": price, "storedValue": { "account": "gift" } },
            { "card": { "token": format!("tok_{CARD}") } },
        ]}}),
        payment_method::Method::Card(card) => json!({ "card": { "token": card.token } }),
        payment_method::Method::Alipay(alipay) => json!({ "alipay": { "session": alipay.session } }),
        payment_method::Method::WechatPay(wechat) => json!({ "wechatPay": { "session": wechat.session } }),
        payment_method::Method::StoredValue(stored) => {
            json!({ "storedValue": { "account": stored.account } })
        }
    }
}

async fn send(request: reqwest::RequestBuilder) -> u16 {
    Buyer::try_send(request).await.unwrap().status.as_u16()
}

/// A promotion with these words in its texts.
fn promotion(title: &str, group: &str, coupon: &str) -> Value {
    json!({ "promotion": {
        "promotionId": "canary", "title": title, "stackingGroup": group,
        "conditions": [{ "coupon": coupon }], "action": { "percentOffBp": 100 },
    }})
}

/// Everything people write and that is kept, by the path it is sent to and the field that is refused.
fn texts(order: &str, payment: &str) -> Vec<(bool, String, Value, &'static str)> {
    let price = json!({ "amountMinor": "100", "currency": "EUR" });
    let line = json!([{ "skuId": SKU, "quantity": 1 }]);
    let now = Clock::system().now();
    let at = |at: time::OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let (id, other) = (Uuid::now_v7(), Uuid::now_v7());
    let campaign = json!({ "campaign": {
        "campaignId": "canary", "title": CARD, "opensAt": at(now), "closesAt": at(now + Duration::HOUR),
        "items": [{ "skuId": SKU, "price": price, "units": "1", "perBuyerLimit": 1 }],
    }});
    let stuck = json!({ "resolutionId": id, "reason": "STUCK_REASON_CONFLICT",
                        "decision": "PAYMENT_DECISION_KEEP_OURS", "note": GROUPED });
    let review = json!({ "resolutionId": id, "resolution": "REVIEW_RESOLUTION_RETRY", "note": CARD });
    let back = json!({ "returnId": id, "lines": line, "reason": format!("to {CARD}, please") });
    let coupons = json!({ "lines": line, "coupons": ["SPRING", CARD] });
    let adjust = json!({ "adjustmentId": other, "delta": "1", "reason": CARD });
    vec![
        (false, format!("/v1/orders/{order}:cancel"), json!({ "reason": format!("card {CARD}") }), "reason"),
        (false, format!("/v1/orders/{order}/returns"), back, "reason"),
        (false, "/v1/orders".into(), coupons.clone(), "coupons[1]"),
        (false, "/v1/orders:quote".into(), coupons, "coupons[1]"),
        (true, format!("/v1/stuck-payments/{payment}:resolve"), stuck, "note"),
        (true, format!("/v1/reviews/{order}:resolve"), review, "note"),
        (true, format!("/v1/stock/{SKU}:adjust"), adjust, "reason"),
        (
            true,
            "/v1/skus".into(),
            json!({ "sku": { "skuId": "canary", "title": CARD, "price": price }, "onHand": "1" }),
            "sku.title",
        ),
        (true, "/v1/campaigns".into(), campaign, "campaign.title"),
        (true, "/v1/promotions".into(), promotion(CARD, "", "C"), "promotion.title"),
        (true, "/v1/promotions".into(), promotion("canary", GROUPED, "C"), "promotion.stacking_group"),
        (true, "/v1/promotions".into(), promotion("canary", "", CARD), "promotion.conditions[0].coupon"),
    ]
}

/// REST: bodies, unknown fields, paths, queries and headers.
async fn by_rest(alice: &Buyer, staff: &Buyer, order: &str, payment: &str) {
    for method in methods().iter().map(in_json) {
        let refused = alice.post(&format!("/v1/orders/{order}:pay"), &json!({ "method": method })).await;
        assert_eq!(refused.status.as_u16(), 400, "{}", refused.body);
        let (id, amount) = (Uuid::now_v7(), json!({ "amountMinor": "100", "currency": "EUR" }));
        let authorize = json!({ "paymentId": id, "orderId": id, "amount": amount, "method": method });
        assert_eq!(staff.post("/v1/payments", &authorize).await.status.as_u16(), 400);
    }
    for (by_staff, path, body, field) in texts(order, payment) {
        let who = if by_staff { staff } else { alice };
        let keyed = who.request(Method::POST, &path).header("idempotency-key", Uuid::now_v7().to_string());
        let refused = Buyer::try_send(keyed.json(&body)).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.field()), (400, field), "{path}: {}", refused.body);
    }
    let renamed = json!({ "sku": { "title": format!("Tee {GROUPED}") }, "updateMask": "title" });
    let renamed = staff.request(Method::PATCH, &format!("/v1/skus/{SKU}")).json(&renamed);
    let refused = Buyer::try_send(renamed).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.field()), (400, "sku.title"), "{}", refused.body);

    let unknown = json!({ "cardNumber": CARD, "card": { "number": CARD } });
    assert_eq!(alice.post(&format!("/v1/orders/{order}:pay"), &unknown).await.status.as_u16(), 400);
    let lines = json!({ "lines": [{ "skuId": CARD, "quantity": 1 }], "quote": CARD });
    let keyed = alice.request(Method::POST, "/v1/orders").header("idempotency-key", "canary");
    assert!(send(keyed.json(&lines)).await >= 400);
    for path in [format!("/v1/orders/{CARD}"), format!("/v1/orders?card={CARD}"), format!("/{CARD}/{CARD}")] {
        assert!(send(alice.request(Method::GET, &path)).await >= 400, "{path}");
    }
    // A key is never kept: what is kept follows from it by a hash.
    let keyed = alice.request(Method::POST, "/v1/orders").header("idempotency-key", CARD);
    assert_eq!(send(keyed.json(&json!({ "lines": [{ "skuId": SKU, "quantity": 1 }] }))).await, 200);
    for header in ["x-card", "user-agent", "traceparent", "tracestate", "accept-language", "x-request-id"] {
        let request = alice.request(Method::GET, "/v1/orders").header(header, CARD);
        assert_eq!(send(request).await, 200, "{header}");
    }
    send(alice.request(Method::GET, "/v1/orders").header("authorization", format!("Bearer {CARD}"))).await;
}

/// gRPC to each service itself, and gRPC-web through the gateway.
async fn by_grpc(shop: &Shop, alice: &Buyer, order: &str) {
    let (buyer, staff) = (bearer(&shop.stack, "alice", Role::Buyer), bearer(&shop.stack, "sam", Role::Staff));
    let mut orders = OrderServiceClient::new(channel(&shop.stack, "order"));
    let mut payments = PaymentServiceClient::new(channel(&shop.stack, "payment"));
    let price = Some(Money { amount_minor: 100, currency: "EUR".into() });
    for method in methods() {
        let pay = PayOrderRequest { order_id: order.into(), method: Some(method.clone()) };
        let refused = orders.pay_order(request(&buyer, pay.clone(), WITHIN)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let authorize = AuthorizePaymentRequest {
            payment_id: Uuid::now_v7().to_string(),
            order_id: Uuid::now_v7().to_string(),
            amount: price.clone(),
            method: Some(method),
            ..AuthorizePaymentRequest::default()
        };
        let refused = payments.authorize_payment(request(&staff, authorize, WITHIN)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        by_grpc_web(alice, &pay.encode_to_vec()).await;
    }
    // A row of an import is refused alone, and what is kept of it says only why.
    let sku = Sku { sku_id: "canary".into(), title: CARD.into(), price, ..Sku::default() };
    let row = ImportSkusRequest { sku: Some(sku), on_hand: 1, row: 1, import_id: Uuid::now_v7().to_string() };
    let mut catalog = CatalogServiceClient::new(channel(&shop.stack, "inventory"));
    let rows = request(&staff, futures::stream::iter([row]), WITHIN);
    let imported = catalog.import_skus(rows).await.unwrap().into_inner();
    assert_eq!((imported.accepted, imported.rejections[0].field.as_str()), (0, "sku.title"));
}

async fn by_grpc_web(alice: &Buyer, message: &[u8]) {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&[0][..], &length, message].concat();
    let path = "/stampede.order.v1.OrderService/PayOrder";
    for (kind, body) in [
        ("application/grpc-web+proto", frame.clone()),
        ("application/grpc-web-text", base64::prelude::BASE64_STANDARD.encode(&frame).into_bytes()),
    ] {
        let request =
            alice.request(Method::POST, path).header("content-type", kind).header("x-grpc-web", "1");
        let answer = request.body(body).send().await.unwrap();
        let in_header = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        let text = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
        let refused = in_header.is_some_and(|status| status != "0") || !text.contains("grpc-status:0");
        assert!(refused, "{kind}: {text}");
    }
    // A method that nobody has.
    let request = alice.request(Method::POST, &format!("/stampede.order.v1.OrderService/{CARD}"));
    send(request.header("content-type", "application/grpc").body(frame)).await;
}

/// Webhooks: signed by the provider and by nobody.
async fn by_webhook(shop: &Shop, payment: &str) {
    let nobody = shop.bearer(None);
    let told = |event: &str, reference: &str| {
        json!({
            "id": event, "type": "dispute_opened", "payment": payment, "reference": reference, "amount_minor": 1,
            "currency": "EUR", "card": { "number": CARD, "last": CARD.parse::<u64>().unwrap() },
        })
        .to_string()
    };
    let bodies = [
        (told("evt_1", "d1"), 200),
        (told("evt_2", CARD), 400),
        (told(CARD, "d2"), 400),
        // Nothing of it is known: it is parked, and kept as far as it is needed.
        (told("evt_3", "d3").replace(payment, &Uuid::now_v7().to_string()), 200),
        (format!("{{\"{CARD}\": "), 400),
    ];
    for (body, expected) in bodies {
        let request = nobody.request(Method::POST, "/webhooks/simulator").body(body.clone());
        let at = Clock::system().now().unix_timestamp().to_string();
        let signed = request.header("simulator-signature", signature(shop, &at, &body));
        assert_eq!(send(signed).await, expected, "{body}");
        let unsigned = nobody.request(Method::POST, "/webhooks/simulator").body(body);
        assert_eq!(send(unsigned.header("simulator-signature", CARD)).await, 401);
    }
    send(nobody.request(Method::POST, &format!("/webhooks/{CARD}")).body("{}")).await;
}

fn signature(shop: &Shop, at: &str, body: &str) -> String {
    let key = shop.stack.folder().webhook_key().to_owned();
    let secret = hex::decode(key.split_once(':').unwrap().1).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(at).chain_update(b".");
    format!("t={at},v1={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

async fn nowhere(places: &Places) {
    for written in [CARD, GROUPED] {
        let found = places.search(written).await;
        assert!(found.is_empty(), "{written} is in {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_that_is_pushed_through_every_face_is_nowhere_afterwards() {
    let receiver = Receiver::open().await;
    let url = receiver.url();
    let mut settings = Vec::new();
    for service in ["order", "payment", "inventory", "gateway"] {
        settings.extend([(service, "otlp.endpoint", url.as_str()), (service, "otlp.sample", "1")]);
    }
    let mut shop = Shop::with(&settings).await;
    let (alice, staff) = (shop.buyer("alice"), shop.user("sam", "staff"));
    let (paid, order) = (alice.order_one().await, alice.order_one().await);
    alice.pay(&paid).await.ok();
    alice.sees(&paid, "ORDER_STATE_CONFIRMED").await;
    let payments = shop.database("payment").await;
    let payment: String =
        sqlx::query_scalar("SELECT payment_id::text FROM payment_intent").fetch_one(&payments).await.unwrap();

    by_rest(&alice, &staff, &order, &payment).await;
    by_grpc(&shop, &alice, &order).await;
    by_webhook(&shop, &payment).await;

    let places = Places::of(&shop, &receiver);
    // What should be there is found: the search is no blind one.
    let there = [
        (payment.as_str(), "database payment"),
        (payment.as_str(), "database order"),
        ("evt_3", "database payment: public.webhook"),
        (SKU, "database inventory"),
        (payment.as_str(), "events"),
        (SKU, "redis"),
        ("\"level\"", "logs: order.log"),
        ("listening on", "logs: postgres.log"),
        ("rpc", "metrics"),
        ("PayOrder", "telemetry"),
    ];
    for (text, kind) in there {
        eventually(async || {
            let found = places.search(text).await;
            let is_there = found.iter().any(|place| place.starts_with(kind));
            if is_there { Ok(()) } else { Err(format!("{text} is not in {kind}: {found:?}")) }
        })
        .await;
    }
    nowhere(&places).await;
    // What each process still has to tell it tells when it ends.
    for name in ["gateway", "order", "payment", "inventory"] {
        shop.stack.stop(name).unwrap();
    }
    nowhere(&places).await;
}
