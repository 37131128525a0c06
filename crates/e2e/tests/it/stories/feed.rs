//! The stock feed as browsers follow it: server-sent events and gRPC-web through the gateway.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockLevel, WatchStockRequest, WatchStockResponse};

use crate::harness::{Buyer, CAMPAIGN, SKU, Shop};

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>;

fn pieces(response: reqwest::Response) -> Pieces {
    Box::pin(response.bytes_stream().map(|piece| piece.map(Vec::from)))
}

/// Server-sent events, one by one.
struct Events {
    pieces: Pieces,
    text: String,
}

impl Events {
    async fn open(request: reqwest::RequestBuilder) -> Events {
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { pieces: pieces(response), text: String::new() }
    }

    /// The id and the data of the next event that is not a comment.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let Some(data) = field("data: ") {
                    return (field("id: ").unwrap_or("").to_owned(), serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let piece = self.pieces.next().await.expect("the feed goes on").unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event that is no heartbeat.
    async fn news(&mut self) -> (String, Value) {
        loop {
            let (id, event) = self.next().await;
            if event.get("heartbeat").is_none() {
                return (id, event);
            }
        }
    }
}

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

/// Messages of a gRPC-web stream.
struct Messages {
    pieces: Pieces,
    bytes: Vec<u8>,
}

impl Messages {
    async fn open(buyer: &Buyer, resume_token: &str) -> Messages {
        let ask = WatchStockRequest {
            campaign_id: CAMPAIGN.into(),
            resume_token: resume_token.into(),
            ..WatchStockRequest::default()
        };
        let message = ask.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let response = buyer
            .request(Method::POST, "/stampede.inventory.v1.InventoryService/WatchStock")
            .header("content-type", "application/grpc-web+proto")
            .header("x-grpc-web", "1")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
        Messages { pieces: pieces(response), bytes: Vec::new() }
    }

    async fn news(&mut self) -> WatchStockResponse {
        loop {
            let whole = self.bytes.first_chunk::<5>().and_then(|[flags, length @ ..]| {
                assert_eq!(*flags, 0, "a message, not the end");
                let end = 5 + usize::try_from(u32::from_be_bytes(*length)).unwrap();
                (self.bytes.len() >= end).then_some(end)
            });
            if let Some(end) = whole {
                let message = WatchStockResponse::decode(&self.bytes[5..end]).unwrap();
                self.bytes.drain(..end);
                if !matches!(message.update, Some(Update::Heartbeat(_))) {
                    return message;
                }
                continue;
            }
            self.bytes.extend(self.pieces.next().await.expect("the feed goes on").unwrap());
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
    let mut feed = Messages::open(&alice, "").await;
    let snapshot = feed.news().await;
    assert!(
        matches!(&snapshot.update, Some(Update::Snapshot(all)) if all.levels[0].free == 10),
        "{snapshot:?}"
    );
    buy_one(&alice).await;
    let bought = feed.news().await;
    assert_eq!((delta(&bought).free, delta(&bought).held), (9, 1));
    drop(feed);

    buy_one(&alice).await;
    let missed = Messages::open(&alice, &bought.resume_token).await.news().await;
    assert_eq!((delta(&missed).free, delta(&missed).held), (8, 2));
    assert!(missed.sequence > bought.sequence);
}
