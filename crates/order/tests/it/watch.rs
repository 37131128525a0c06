//! WatchOrder: the order as it is, then as it becomes; a token resumes without a gap.

use std::time::Duration;

use futures::StreamExt as _;
use stampede_proto::order::v1::{Order, OrderState, WatchOrderRequest, WatchOrderResponse};
use tonic::{Status, Streaming};

use crate::shop::{Shop, reason};

async fn watch(shop: &Shop, who: &str, role: &str, order: &Order, token: &str) -> Result<Watch, Status> {
    let message = WatchOrderRequest { order_id: order.order_id.clone(), resume_token: token.into() };
    let request = shop.request(who, role, message);
    Ok(Watch(shop.orders.clone().watch_order(request).await?.into_inner()))
}

#[derive(Debug)]
struct Watch(Streaming<WatchOrderResponse>);

impl Watch {
    /// The next message, heartbeats too; none at the end.
    async fn next(&mut self) -> Option<WatchOrderResponse> {
        let message = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        message.expect("a message in time").transpose().unwrap()
    }

    async fn news(&mut self) -> (Order, String) {
        loop {
            let message = self.next().await.expect("the watch goes on");
            if let Some(order) = message.order {
                return (order, message.resume_token);
            }
        }
    }

    /// The order, and the versions told on the way, once the order has come to this state.
    async fn until(&mut self, state: OrderState) -> (Order, Vec<i64>) {
        let mut versions = Vec::new();
        loop {
            let (order, _) = self.news().await;
            versions.push(order.version);
            if order.state() == state {
                return (order, versions);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_the_present_state_then_each_change_and_ends_with_the_order() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    let mut watch = watch(&shop, "alice", "buyer", &order, "").await.unwrap();
    assert_eq!(watch.news().await.0, order);
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    let (_, paid) = watch.until(OrderState::Confirmed).await;
    shop.cancel("alice", &order).await.unwrap();
    let (cancelled, undone) = watch.until(OrderState::Cancelled).await;
    assert_eq!(cancelled, shop.get("alice", "buyer", &order).await.unwrap());
    let told = [paid, undone].concat();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order: {told:?}");
    assert!(watch.next().await.is_none(), "a cancelled order has nothing more to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_resumes_with_what_was_missed_and_with_nothing_when_nothing_was() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    let (_, token) = watch(&shop, "alice", "buyer", &order, "").await.unwrap().news().await;
    // Five seconds later: a heartbeat with a token of the same place, and no order.
    let quiet = watch(&shop, "alice", "buyer", &order, &token).await.unwrap().next().await.unwrap();
    assert_eq!((quiet.order, quiet.resume_token.as_str()), (None, token.as_str()));
    assert!(quiet.heartbeat.unwrap().at.is_some());

    shop.pay("alice", &order, "tok_visa").await.unwrap();
    let missed = watch(&shop, "alice", "buyer", &order, &token).await.unwrap().news().await.0;
    assert_eq!(missed.state(), OrderState::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_has_ended_is_told_once_more_and_the_watch_ends() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    shop.cancel("alice", &order).await.unwrap();
    let mut first = watch(&shop, "alice", "buyer", &order, "").await.unwrap();
    let (told, token) = first.news().await;
    assert_eq!(told.state(), OrderState::Cancelled);
    assert!(first.next().await.is_none());
    let mut again = watch(&shop, "alice", "buyer", &order, &token).await.unwrap();
    assert_eq!(again.news().await.0, told);
    assert!(again.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_order_from_the_future_or_made_up_is_refused() {
    let shop = Shop::open().await;
    let (order, other) = (shop.tee("k1").await, shop.tee("k2").await);
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    let (_, token) = watch(&shop, "alice", "buyer", &order, "").await.unwrap().news().await;
    for (order, token) in [(&other, token.as_str()), (&order, "made-up"), (&order, &"0".repeat(34))] {
        let refused = watch(&shop, "alice", "buyer", order, token).await;
        assert_eq!(reason(refused), "RESUME_TOKEN_INVALID");
    }
    // The same order in a database that was brought back from before the payment.
    sqlx::query("UPDATE orders SET version = 1 WHERE order_id = $1::uuid")
        .bind(&order.order_id)
        .execute(&shop.database.pool)
        .await
        .unwrap();
    assert_eq!(reason(watch(&shop, "alice", "buyer", &order, &token).await), "RESUME_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_order_is_for_staff_and_for_others_it_does_not_exist() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    assert_eq!(reason(watch(&shop, "bob", "buyer", &order, "").await), "ORDER_NOT_FOUND");
    let told = watch(&shop, "carol", "staff", &order, "").await.unwrap().news().await.0;
    assert_eq!(told, order);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_stopped_gets_the_newest_state_only() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    let mut slow = watch(&shop, "alice", "buyer", &order, "").await.unwrap();
    slow.news().await;
    for _ in 0..50 {
        raise(&shop, &order).await;
    }
    let newest = crate::shop::eventually("the newest version is told", async || {
        let (told, _) = slow.news().await;
        (told.version == 51).then_some(())
    });
    newest.await;
}

/// A change that nobody tells of: as if the process that made it had died right after its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_nobody_told_of_is_seen_by_looking() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    let mut watch = watch(&shop, "alice", "buyer", &order, "").await.unwrap();
    watch.news().await;
    raise(&shop, &order).await;
    assert_eq!(watch.news().await.0.version, 2);
}

async fn raise(shop: &Shop, order: &Order) {
    sqlx::query("UPDATE orders SET version = version + 1 WHERE order_id = $1::uuid")
        .bind(&order.order_id)
        .execute(&shop.database.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_made_by_another_instance_is_told_long_before_the_next_look() {
    let shop = Shop::open().await;
    let neighbour = shop.neighbour().await;
    let order = shop.tee("k").await;
    let mut here = watch(&shop, "alice", "buyer", &order, "").await.unwrap();
    let request = WatchOrderRequest { order_id: order.order_id.clone(), resume_token: String::new() };
    let there = neighbour.clone().watch_order(shop.request("alice", "buyer", request)).await.unwrap();
    let mut there = Watch(there.into_inner());
    here.news().await;
    there.news().await;
    // Ten changes at one instance, each told at the other: by looking alone they would take ten seconds.
    let began = std::time::Instant::now();
    for _ in 0..5 {
        shop.pay("alice", &order, "tok_declined").await.unwrap_err();
        let declined = shop.get("alice", "buyer", &order).await.unwrap();
        while there.news().await.0.version < declined.version {}
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_says_that_the_order_has_not_ended() {
    let shop = Shop::open().await;
    let order = shop.tee("k").await;
    let mut watch = watch(&shop, "alice", "buyer", &order, "").await.unwrap();
    watch.news().await;
    shop.stop();
    let end = tokio::time::timeout(Duration::from_secs(10), watch.0.next()).await.expect("an end in time");
    assert_eq!(reason(end.expect("more than a quiet end")), "UNAVAILABLE");
}
