//! The stock feed as browsers follow it: server-sent events and gRPC-web through the gateway.

use reqwest::Method;
use serde_json::{Value, json};
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockLevel, WatchStockRequest, WatchStockResponse};

use crate::harness::feed::{Events, Messages};
use crate::harness::{Buyer, CAMPAIGN, SKU, Shop};

fn sequence(event: &Value) -> i64 {
    event["sequence"].as_str().unwrap().parse().unwrap()
}

async fn buy_one(buyer: &Buyer) {
    buyer.order(json!([{ "skuId": SKU, "campaignId": CAMPAIGN, "quantity": 1 }])).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_the_stock_by_server_sent_events_and_takes_up_where_it_left() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let path = format!("/v1/stock:watch?campaignId={CAMPAIGN}");
    let mut feed = Events::open(alice.request(Method::GET, &path)).await;
    let (_, snapshot) = feed.next().await;
    assert_eq!(snapshot["snapshot"]["levels"][0]["free"], "10", "{snapshot}");
    buy_one(&alice).await;
    let (seen, delta) = feed.news().await;
    let level = &delta["delta"]["levels"][0];
    assert_eq!((&level["free"], &level["held"]), (&json!("9"), &json!("1")), "{delta}");
    assert!(sequence(&delta) > sequence(&snapshot));
    let (alive, heartbeat) = feed.next().await;
    assert!(heartbeat["heartbeat"]["at"].is_string() && !alive.is_empty(), "{heartbeat}");
    assert!(sequence(&heartbeat) >= sequence(&delta));
    drop(feed);

    buy_one(&alice).await;
    for token in [&seen, &alive] {
        let again = alice.request(Method::GET, &path).header("last-event-id", token);
        let by_query = alice.request(Method::GET, &format!("{path}&resumeToken={token}"));
        for request in [again, by_query] {
            let (_, missed) = Events::open(request).await.news().await;
            assert_eq!(missed["delta"]["levels"][0]["free"], "8", "{missed}");
            assert!(sequence(&missed) > sequence(&heartbeat));
        }
    }
    let refused = alice.get(&format!("{path}&resumeToken=made-up")).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (400, "RESUME_TOKEN_INVALID"));
}

const WATCH: &str = "/stampede.inventory.v1.InventoryService/WatchStock";

async fn watch(buyer: &Buyer, resume_token: &str) -> Messages<WatchStockResponse> {
    let ask = WatchStockRequest {
        campaign_id: CAMPAIGN.into(),
        resume_token: resume_token.into(),
        ..WatchStockRequest::default()
    };
    Messages::open(buyer, WATCH, &ask).await
}

/// The next message that is no heartbeat.
async fn news(feed: &mut Messages<WatchStockResponse>) -> WatchStockResponse {
    loop {
        let message = feed.next().await.expect("the feed goes on");
        if !matches!(message.update, Some(Update::Heartbeat(_))) {
            return message;
        }
    }
}

fn delta(message: &WatchStockResponse) -> &StockLevel {
    match message.update.as_ref().unwrap() {
        Update::Delta(delta) => &delta.levels[0],
        other @ (Update::Snapshot(_) | Update::Heartbeat(_)) => panic!("no delta: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_the_stock_by_grpc_web_and_takes_up_where_it_left() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let mut feed = watch(&alice, "").await;
    let snapshot = news(&mut feed).await;
    assert!(
        matches!(&snapshot.update, Some(Update::Snapshot(all)) if all.levels[0].free == 10),
        "{snapshot:?}"
    );
    buy_one(&alice).await;
    let bought = news(&mut feed).await;
    assert_eq!((delta(&bought).free, delta(&bought).held), (9, 1));
    drop(feed);

    buy_one(&alice).await;
    let missed = news(&mut watch(&alice, &bought.resume_token).await).await;
    assert_eq!((delta(&missed).free, delta(&missed).held), (8, 2));
    assert!(missed.sequence > bought.sequence);
}
