//! An order as browsers follow it: server-sent events and gRPC-web through the gateway, resumed, and over when the order is.

use reqwest::Method;
use stampede_proto::order::v1::{OrderState, WatchOrderRequest, WatchOrderResponse};

use crate::harness::Shop;
use crate::harness::feed::{Events, Messages};

const WATCH: &str = "/stampede.order.v1.OrderService/WatchOrder";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_its_order_by_server_sent_events_and_takes_up_where_it_left() {
    let shop = Shop::of(&[], &[("order", 2)]).await;
    let (alice, bob) = (shop.buyer("alice"), shop.buyer("bob"));
    let order = alice.order_one().await;
    let path = format!("/v1/orders/{order}:watch");
    let mut feed = Events::open(alice.request(Method::GET, &path)).await;
    let (seen, placed) = feed.news().await;
    assert_eq!(placed["order"]["state"], "ORDER_STATE_AWAITING_PAYMENT", "{placed}");
    alice.pay(&order).await.ok();
    let mut told = placed;
    while told["order"]["state"] != "ORDER_STATE_CONFIRMED" {
        told = feed.news().await.1;
    }
    assert_eq!(told["order"]["paymentState"], "ORDER_PAYMENT_STATE_PAID", "{told}");
    drop(feed);

    let again = alice.request(Method::GET, &path).header("last-event-id", &seen);
    let (_, missed) = Events::open(again).await.news().await;
    assert_eq!(missed["order"], told["order"], "what was missed, the newest of it");
    alice.try_cancel(&order).await.unwrap().ok();
    let by_query = alice.request(Method::GET, &format!("{path}&resumeToken={seen}").replacen('&', "?", 1));
    let mut last = Events::open(by_query).await;
    let mut told = last.news().await.1;
    while told["order"]["state"] != "ORDER_STATE_CANCELLED" {
        told = last.news().await.1;
    }
    assert!(last.ended().await, "nothing comes after the end");

    let other = alice.order_one().await;
    let refused = alice.get(&format!("/v1/orders/{other}:watch?resumeToken={seen}")).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (400, "RESUME_TOKEN_INVALID"));
    assert_eq!(bob.get(&path).await.reason(), "ORDER_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_its_order_by_grpc_web_until_it_ends() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    let ask = |resume_token: &str| WatchOrderRequest {
        order_id: order.clone(),
        resume_token: resume_token.to_owned(),
    };
    let mut feed: Messages<WatchOrderResponse> = Messages::open(&alice, WATCH, &ask("")).await;
    let placed = feed.next().await.unwrap();
    assert_eq!(placed.order.as_ref().unwrap().state(), OrderState::AwaitingPayment);
    alice.try_cancel(&order).await.unwrap().ok();
    let mut states = Vec::new();
    while let Some(message) = feed.next().await {
        states.extend(message.order.map(|order| order.state()));
    }
    assert_eq!(states.last(), Some(&OrderState::Cancelled), "{states:?}");
    let mut again: Messages<WatchOrderResponse> =
        Messages::open(&alice, WATCH, &ask(&placed.resume_token)).await;
    assert_eq!(again.next().await.unwrap().order.unwrap().state(), OrderState::Cancelled);
    assert!(again.next().await.is_none());
}
