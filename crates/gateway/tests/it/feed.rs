//! Server streams as server-sent events.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::house::{House, detail, refused};
use crate::services::ORDER_ID;

/// The fields of each event: (id, event, data).
fn events(text: &str) -> Vec<(String, String, Value)> {
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let event = |event: &str| {
        let data = serde_json::from_str(&field(event, "data")).unwrap();
        (field(event, "id"), field(event, "event"), data)
    };
    text.split("\n\n").filter(|event| !event.is_empty()).map(event).collect()
}

#[tokio::test]
async fn every_message_is_an_event_with_the_token_to_resume_from() {
    let house = House::start().await;

    let response = house.buyer(Method::GET, "/v1/stock:watch?skuIds=A-1&skuIds=B-2").send().await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let events = events(&response.text().await.unwrap());
    let ids: Vec<_> = events.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids, ["t-1", "t-2", "t-3"]);
    assert_eq!(events[2].2["sequence"], "3");
    assert_eq!(events[2].2["delta"]["levels"][0]["free"], "7");
}

#[tokio::test]
async fn a_feed_takes_its_token_from_its_address_and_nothing_else_does() {
    let house = House::start().await;
    let token = house.token("buyer");
    let watch = house.url(&format!("/v1/stock:watch?skuIds=A-1&access_token={token}"));
    assert_eq!(house.client.get(watch).send().await.unwrap().status(), 200);

    let order = house.url(&format!("/v1/orders/{ORDER_ID}?access_token={token}"));
    assert_eq!(refused(house.client.get(order)).await.1, "TOKEN_MISSING");
    let bad = house.url("/v1/stock:watch?skuIds=A-1&access_token=nonsense");
    assert_eq!(refused(house.client.get(bad)).await.0, 401);
}

#[tokio::test]
async fn a_feed_goes_on_after_the_last_event_seen() {
    let house = House::start().await;
    let again = house.buyer(Method::GET, "/v1/stock:watch?resumeToken=t-1").header("last-event-id", "t-40");

    let events = events(&again.send().await.unwrap().text().await.unwrap());

    assert_eq!(events[0].0, "t-41");
}

#[tokio::test]
async fn a_feed_that_cannot_begin_is_an_ordinary_error_and_one_that_breaks_ends_with_an_event() {
    let house = House::start().await;

    let (status, reason, _) = refused(house.buyer(Method::GET, "/v1/stock:watch?resumeToken=nonsense")).await;
    assert_eq!((status, reason.as_str()), (400, "RESUME_TOKEN_INVALID"));

    let broken = house.buyer(Method::GET, "/v1/stock:watch?campaignId=breaks").send().await.unwrap();
    let events = events(&broken.text().await.unwrap());
    let (_, name, last) = events.last().unwrap();
    assert_eq!((events.len(), name.as_str()), (4, "error"));
    assert_eq!(detail(last, "ErrorInfo")["reason"], "CAMPAIGN_NOT_FOUND");
}

#[tokio::test]
async fn an_open_feed_shows_each_event_at_once_and_ends_when_the_gateway_drains() {
    let house = House::start().await;
    let mut feed = house.buyer(Method::GET, "/v1/stock:watch?campaignId=stays").send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("id: t-3") {
        seen.push_str(std::str::from_utf8(&feed.chunk().await.unwrap().unwrap()).unwrap());
    }

    house.gateway.cancel();
    let rest = tokio::time::timeout(Duration::from_secs(5), feed.text()).await.unwrap().unwrap();

    let events = events(&rest);
    let (_, name, last) = events.last().unwrap();
    assert_eq!(name, "error");
    assert_eq!(detail(last, "ErrorInfo")["reason"], "UNAVAILABLE");
}

#[tokio::test]
async fn the_same_feed_comes_as_lines_when_lines_are_asked_for() {
    let house = House::start().await;
    let watch = house
        .buyer(Method::GET, "/v1/stock:watch?campaignId=breaks")
        .header("accept", "application/x-ndjson");

    let response = watch.send().await.unwrap();

    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["resumeToken"], "t-1");
    assert_eq!(detail(&lines[3]["error"], "ErrorInfo")["reason"], "CAMPAIGN_NOT_FOUND");
}
