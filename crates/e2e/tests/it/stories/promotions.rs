//! A basket from the first look to the order: a guest's cart, signing in, a quote, a coupon, paying; and uses of promotions
//! that end where their orders end.

use reqwest::Method;
use serde_json::{Value, json};
use stampede_kit as kit;
use stampede_kit::client::request;
use stampede_pki::Claims;
use stampede_proto::order::v1::cart_service_client::CartServiceClient;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::*;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use uuid::Uuid;

use crate::harness::{Answer, Buyer, SKU, Shop, eventually};

const WITHIN: Duration = Duration::from_secs(5);

/// A tenth off for whoever brings SAVE10, so many times.
async fn save10(shop: &Shop, uses: u32) {
    let promotion = json!({ "promotion": {
        "promotionId": "tenth",
        "title": "A tenth off",
        "conditions": [{ "coupon": "SAVE10" }],
        "action": { "percentOffBp": 1000 },
        "useLimit": uses.to_string(),
    }});
    shop.user("sam", "staff").post("/v1/promotions", &promotion).await.ok();
}

async fn order(buyer: &Buyer, body: Value) -> Answer {
    let request =
        buyer.request(Method::POST, "/v1/orders").header("idempotency-key", Uuid::now_v7().to_string());
    Buyer::try_send(request.json(&body)).await.unwrap()
}

fn one() -> Value {
    json!({ "lines": [{ "skuId": SKU, "quantity": 1 }], "coupons": ["save10"] })
}

/// Uses by unpaid and by paid orders.
async fn uses(shop: &Shop) -> (String, String) {
    let promotion = shop.user("sam", "staff").get("/v1/promotions/tenth").await.ok();
    let count = |field: &str| promotion[field].as_str().unwrap_or("0").to_owned();
    (count("usesReserved"), count("usesCommitted"))
}

fn counts(reserved: u32, committed: u32) -> (String, String) {
    (reserved.to_string(), committed.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_fills_a_cart_signs_in_and_buys_at_the_quoted_price() {
    let shop = Shop::open().await;
    save10(&shop, 1).await;
    let (guest, alice) = (shop.user("guest-77", "guest"), shop.buyer("alice"));

    let put = async |who: &Buyer, quantity: u32, version: Option<&str>| {
        let body = json!({ "quantity": quantity, "expectedVersion": version });
        Buyer::try_send(who.request(Method::PUT, &format!("/v1/cart/items/{SKU}")).json(&body)).await.unwrap()
    };
    put(&guest, 5, Some("0")).await.ok();
    let cart = put(&guest, 2, Some("1")).await.ok();
    let stale = put(&guest, 9, Some("1")).await;
    assert_eq!((stale.status.as_u16(), stale.reason()), (409, "CART_VERSION"));
    assert_eq!(order(&guest, one()).await.reason(), "PERMISSION_DENIED");
    put(&alice, 1, None).await.ok();

    let merge = json!({ "guestCartId": cart["cartId"] });
    let merged = alice.post("/v1/cart:merge", &merge).await.ok();
    assert_eq!(merged["items"], json!([{ "skuId": SKU, "campaignId": "", "quantity": 3 }]));
    assert_eq!(alice.post("/v1/cart:merge", &merge).await.ok(), merged);
    assert_eq!(shop.buyer("bob").post("/v1/cart:merge", &merge).await.reason(), "CART_NOT_FOUND");

    let lines = json!([{ "skuId": SKU, "quantity": 3 }]);
    let asked = json!({ "lines": lines, "coupons": ["save10"] });
    let quote = alice.post("/v1/orders:quote", &asked).await.ok();
    // 10 % of 59.97 is 5.99.
    assert_eq!(
        (&quote["discount"]["amountMinor"], &quote["total"]["amountMinor"]),
        (&json!("599"), &json!("5398"))
    );
    let held_to = json!({ "lines": lines, "coupons": ["save10"], "quote": quote["quote"] });
    let placed = order(&alice, held_to).await.ok();
    assert_eq!(
        (&placed["total"], &placed["promotions"][0]["promotionId"]),
        (&quote["total"], &json!("tenth"))
    );
    let stolen = json!({ "lines": lines, "coupons": ["save10"], "quote": quote["quote"] });
    assert_eq!(order(&shop.buyer("bob"), stolen).await.reason(), "QUOTE_OTHER_BUYER");
    alice.pay(placed["orderId"].as_str().unwrap()).await.ok();
    assert_eq!(uses(&shop).await, counts(0, 1));
    shop.settles(0, 3, 5_398).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_grpc() {
    let shop = Shop::open().await;
    save10(&shop, 1).await;
    let folder = shop.stack.folder();
    let tls =
        kit::tls::Client::read(&folder.cert_path("client"), &folder.key_path("client"), &folder.ca_path());
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let address = shop.stack.address("order").unwrap().to_string();
    let channel = kit::client::connect(&tls.unwrap(), "order", &address, contract);
    let (mut carts, mut orders) = (CartServiceClient::new(channel.clone()), OrderServiceClient::new(channel));
    let bearer = |who: &str, role: &str| {
        let token =
            folder.issuer().issue(&Claims::new(who, [role]), kit::clock::Clock::system().now()).unwrap();
        MetadataValue::try_from(format!("Bearer {token}")).unwrap()
    };
    let (guest, alice) = (bearer("guest-77", "guest"), bearer("alice", "buyer"));

    let (sku_id, campaign_id) = (SKU.to_owned(), String::new());
    let item = SetCartItemRequest { sku_id, campaign_id, quantity: 2, expected_version: None };
    let mut set = request(item, WITHIN);
    set.metadata_mut().insert("authorization", guest);
    let cart = carts.set_cart_item(set).await.unwrap().into_inner();
    let mut merge = request(MergeCartRequest { guest_cart_id: cart.cart_id }, WITHIN);
    merge.metadata_mut().insert("authorization", alice.clone());
    let cart = carts.merge_cart(merge).await.unwrap().into_inner();

    let line = |item: CartItem| LineItem {
        sku_id: item.sku_id,
        campaign_id: item.campaign_id,
        quantity: item.quantity,
    };
    let lines: Vec<LineItem> = cart.items.into_iter().map(line).collect();
    let coupons = vec!["SAVE10".to_owned()];
    let mut ask = request(QuotePriceRequest { lines: lines.clone(), coupons: coupons.clone() }, WITHIN);
    ask.metadata_mut().insert("authorization", alice.clone());
    let quote = orders.quote_price(ask).await.unwrap().into_inner();
    let body = CreateOrderRequest { lines, coupons, quote: quote.quote, ..CreateOrderRequest::default() };
    let mut create = request(body, WITHIN);
    create.metadata_mut().insert("authorization", alice);
    create.metadata_mut().insert("idempotency-key", "k1".parse().unwrap());
    let placed = orders.create_order(create).await.unwrap().into_inner();
    assert_eq!(placed.total, quote.total);
    assert_eq!(placed.total.unwrap().amount_minor, 3_998 - 399);
    shop.buyer("alice").pay(&placed.order_id).await.ok();
    shop.settles(0, 2, 3_998 - 399).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_orders_at_once_on_five_uses_give_five_and_cancelled_ones_are_given_again() {
    let shop = Shop::of(&[], &[("order", 2)]).await;
    save10(&shop, 5).await;
    let buyers: Vec<Buyer> = (0..20).map(|at| shop.buyer(&format!("buyer{at}"))).collect();
    let answers = futures::future::join_all(buyers.iter().map(|buyer| order(buyer, one()))).await;
    let mut won = Vec::new();
    for (buyer, answer) in buyers.iter().zip(answers) {
        match answer.reason() {
            "" => won.push((buyer, answer.ok()["orderId"].as_str().unwrap().to_owned())),
            "PROMOTION_USED_UP" | "COUPON_INVALID" => assert_eq!(answer.status.as_u16(), 409),
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!((won.len(), uses(&shop).await), (5, counts(5, 0)));
    shop.settles(5, 0, 0).await;

    let (first, cancelled) = &won[0];
    first.try_cancel(cancelled).await.unwrap().ok();
    let again = eventually(async || {
        let answer = order(&buyers[19], one()).await;
        if answer.status.is_success() { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    })
    .await;
    buyers[19].pay(again["orderId"].as_str().unwrap()).await.ok();
    assert_eq!(uses(&shop).await, counts(4, 1));
    shop.settles(4, 1, 1_800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_an_order_nobody_pays_comes_back_when_it_expires() {
    let settings = [("payment_window_ms", "500"), ("session_grace_ms", "250"), ("hold_grace_ms", "500")];
    let shop = Shop::with(&settings.map(|(key, value)| ("order", key, value))).await;
    save10(&shop, 1).await;
    let alice = shop.buyer("alice");
    let placed = order(&alice, one()).await.ok();
    alice.sees(placed["orderId"].as_str().unwrap(), "ORDER_STATE_EXPIRED").await;
    assert_eq!(uses(&shop).await, counts(0, 0));
    shop.settles(0, 0, 0).await;
}

/// A crash changes nothing: the use is where its order is.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_after_writing_the_order_leaves_one_use_and_no_second() {
    let mut shop = Shop::open().await;
    save10(&shop, 1).await;
    shop.arm("order", "after_insert");
    let alice = shop.buyer("alice");
    let try_it = || {
        let request = alice.request(Method::POST, "/v1/orders").header("idempotency-key", "k1");
        Buyer::try_send(request.header("grpc-previous-rpc-attempts", "1").json(&one()))
    };
    assert!(!try_it().await.is_ok_and(|answer| answer.status.is_success()));
    shop.revive("order").await;
    let placed = eventually(async || {
        let answer = try_it().await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(uses(&shop).await, counts(1, 0));
    alice.pay(placed["orderId"].as_str().unwrap()).await.ok();
    assert_eq!(uses(&shop).await, counts(0, 1));
    shop.settles(0, 1, 1_800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_promotions_coupons_quotes_and_carts_are_refused_with_a_reason() {
    let shop = Shop::open().await;
    let (alice, staff) = (shop.buyer("alice"), shop.user("sam", "staff"));
    let promote =
        async |promotion: Value| staff.post("/v1/promotions", &json!({ "promotion": promotion })).await;
    let good = json!({ "promotionId": "p", "title": "P", "action": { "percentOffBp": 1 }, "conditions": [{ "coupon": "P" }] });
    promote(good.clone()).await.ok();
    promote(good.clone()).await.ok();
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    let cases = [
        (with("title", json!("Q")), 409, "PROMOTION_EXISTS"),
        (with("action", json!({ "percentOffBp": 10_001 })), 400, "INVALID_ARGUMENT"),
        (with("action", Value::Null), 400, "INVALID_ARGUMENT"),
        (with("conditions", json!([{ "coupon": "A" }, { "coupon": "B" }])), 400, "INVALID_ARGUMENT"),
        (with("conditions", json!([{ "coupon": "a b" }])), 400, "INVALID_ARGUMENT"),
        (with("promotionId", json!("a/b")), 400, "INVALID_ARGUMENT"),
    ];
    for (promotion, status, reason) in cases {
        let answer = promote(promotion).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{answer:?}");
    }
    assert_eq!(
        alice.post("/v1/promotions", &json!({ "promotion": good })).await.reason(),
        "PERMISSION_DENIED"
    );
    assert_eq!(staff.get("/v1/promotions/none").await.reason(), "PROMOTION_NOT_FOUND");
    // They name their coupons.
    for address in ["/v1/promotions", "/v1/promotions/p"] {
        assert_eq!(alice.get(address).await.reason(), "PERMISSION_DENIED", "{address}");
    }

    let unknown =
        order(&alice, json!({ "lines": [{ "skuId": SKU, "quantity": 1 }], "coupons": ["NONE"] })).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.reason(), unknown.field()),
        (409, "COUPON_INVALID", "coupons[0]")
    );
    let forged = order(&alice, json!({ "lines": [{ "skuId": SKU, "quantity": 1 }], "quote": "AAAA" })).await;
    assert_eq!((forged.status.as_u16(), forged.reason(), forged.field()), (400, "QUOTE_INVALID", "quote"));
    let nobody = alice.post("/v1/cart:merge", &json!({ "guestCartId": Uuid::now_v7() })).await;
    assert_eq!((nobody.status.as_u16(), nobody.reason()), (404, "CART_NOT_FOUND"));
    assert_eq!(
        alice.post("/v1/cart:merge", &json!({ "guestCartId": "x" })).await.reason(),
        "INVALID_ARGUMENT"
    );
    shop.settles(0, 0, 0).await;
}
