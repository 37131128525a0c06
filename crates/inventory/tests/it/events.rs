//! What was committed arrives on JetStream, once, in the order of each key.

use std::time::Duration;

use async_nats::jetstream;
use futures::StreamExt as _;
use prost::Message as _;
use stampede_kit::{Secret, nats, outbox, testing};
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::stock_move::Move;
use stampede_proto::event::v1::{Event, StockMove};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE};

#[tokio::test]
async fn events_of_committed_changes_arrive_on_jetstream() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let id = Uuid::now_v7();
    shop.reserve(id, "alice", &[(TEE, FLASH, 2)]).await.unwrap();
    shop.commit(id).await.unwrap();

    let client = nats::connect(&Secret::from(testing::nats_url())).await.unwrap();
    let stream = testing::stream();
    nats::ensure(&client, &stream).await.unwrap();
    let relay = outbox::Relay::new(shop.database.pool.clone(), client.clone()).stream(stream.clone());
    let relaying = tokio::spawn(relay.run(shop.stop.clone()));

    let jetstream = jetstream::new(client);
    let consumer = jetstream.get_stream(&stream.name).await.unwrap();
    let config = jetstream::consumer::pull::Config::default();
    let consumer = consumer.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut events = Vec::new();
    for _ in 0..4 {
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next()).await.expect("in time");
        let message = message.unwrap().unwrap();
        let event = Event::decode(message.payload.clone()).unwrap();
        let sent_as = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str();
        assert_eq!(sent_as, event.event_id);
        events.push((stream.relative(&message.subject).to_owned(), event));
    }
    let subjects: Vec<_> = events.iter().map(|(subject, _)| subject.as_str()).collect();
    let expected =
        ["sku_created", "campaign_created", "moved", "moved"].map(|fact| format!("inventory.{fact}"));
    assert_eq!(subjects, expected);
    let Some(Fact::StockMoved(moved)) = &events[2].1.fact else { panic!("{:?} moved nothing", events[2].1) };
    let [StockMove { r#move: Some(Move::Held(held)) }] = moved.moves.as_slice() else {
        panic!("{moved:?} is no hold")
    };
    let reservation = held.reservation.as_ref().unwrap();
    assert_eq!(
        (reservation.reservation_id.as_str(), reservation.lines[0].quantity),
        (id.to_string().as_str(), 2)
    );
    shop.stop.cancel();
    relaying.await.unwrap().unwrap();
    jetstream.delete_stream(&stream.name).await.unwrap();
}
