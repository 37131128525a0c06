//! What was committed is told, once, on JetStream.

use futures::StreamExt as _;
use prost::Message as _;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::stock_move::Move;
use stampede_proto::event::v1::{Event, StockMove};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_committed_change_of_a_purchase_arrives_on_jetstream() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    alice.pay(&order).await.ok();
    shop.settles(0, 1, crate::harness::UNIT_PRICE).await;

    let client = async_nats::connect(shop.stack.servers().nats_url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream.get_stream("STAMPEDE").await.unwrap();
    let told = stream.info().await.unwrap().state.messages;
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig::default())
        .await
        .unwrap();
    let messages: Vec<_> =
        consumer.messages().await.unwrap().take(usize::try_from(told).unwrap()).collect().await;

    let mut subjects = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for message in messages {
        let message = message.unwrap();
        let event = Event::decode(message.payload.clone()).unwrap();
        assert!(event.fact.is_some(), "{}", message.subject);
        is_a_cloud_event(&message, &event);
        assert!(ids.insert(event.event_id.clone()), "{} was told twice", message.subject);
        match event.fact {
            Some(Fact::StockMoved(moved)) => subjects.extend(moved.moves.iter().map(name_of)),
            _ => subjects.push(message.subject.to_string()),
        }
    }
    for subject in [
        "stampede.inventory.sku_created",
        "stampede.inventory.campaign_created",
        "stampede.inventory.held",
        "stampede.inventory.committed",
        "stampede.order.placed",
        "stampede.order.confirmed",
        "stampede.payment.authorized",
        "stampede.payment.captured",
    ] {
        assert_eq!(subjects.iter().filter(|s| *s == subject).count(), 1, "{subject} in {subjects:?}");
    }
    let at = |subject: &str| subjects.iter().position(|s| s == subject);
    assert!(at("stampede.order.placed") < at("stampede.order.confirmed"));
}

/// By the words of the specification alone: CloudEvents 1.0, its NATS binding in binary mode.
fn is_a_cloud_event(message: &async_nats::jetstream::Message, event: &Event) {
    let headers = message.headers.as_ref().unwrap();
    let attribute = |name: &str| headers.get(name).map(|value| value.as_str()).unwrap_or_default().to_owned();
    assert_eq!(attribute("ce-specversion"), "1.0");
    assert_eq!(attribute("ce-id"), event.event_id);
    assert_eq!(attribute("ce-subject"), event.key, "the keys of this story need no encoding");
    assert_eq!(attribute("ce-datacontenttype"), "application/protobuf");
    // Anything but application/cloudevents means binary mode.
    assert_eq!(attribute("content-type"), "application/protobuf");
    let kind = attribute("ce-type");
    assert_eq!(format!("stampede.{kind}"), message.subject.as_str());
    assert_eq!(attribute("ce-source"), format!("/stampede/{}", kind.split('.').next().unwrap()));
    OffsetDateTime::parse(&attribute("ce-time"), &Rfc3339).expect("ce-time is an RFC 3339 instant");
    let id = attribute("Nats-Msg-Id");
    assert_eq!(id, event.event_id, "the stream knows a repetition by it");
}

/// What a transaction moved is told together; the story counts each.
fn name_of(moved: &StockMove) -> String {
    let name = match moved.r#move.as_ref().unwrap() {
        Move::Held(_) => "held",
        Move::Deducted(_) => "deducted",
        Move::Committed(_) => "committed",
        Move::Released(_) => "released",
        Move::Expired(_) => "expired",
    };
    format!("stampede.inventory.{name}")
}
