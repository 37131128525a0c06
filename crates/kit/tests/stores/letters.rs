//! Dead letters put back, and consumers put back: what is passed over, what is not, and who hears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, Source};
use stampede_kit::clock::Clock;
use stampede_kit::inbox::{ConsumerConfig, Poison, Position, consume, letters, put_back, replay};
use stampede_kit::nats::{self, Stream};
use stampede_kit::{metrics, task, testing};
use time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::inbox::{CONSUMER, Service, write};
use crate::support::{client, commit, event, eventually, messaging};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_put_back_is_heard_by_its_consumer_and_by_no_other_whatever_their_inboxes_remember() {
    let mut service = Service::new().await;
    let mended = Arc::new(AtomicU32::new(0));
    service.hear(service.database.pool.clone(), {
        let mended = mended.clone();
        move |conn, message| {
            let mended = mended.clone();
            Box::pin(async move {
                if message.payload == "bad" && mended.load(Ordering::SeqCst) == 0 {
                    return Err(Poison("cannot".to_owned()).into());
                }
                write(conn, message).await
            })
        }
    });
    let others = Arc::new(AtomicU32::new(0));
    service.hear_as("mail-orders", service.database.pool.clone(), {
        let others = others.clone();
        move |_, _| {
            others.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        }
    });
    commit(&service.database, &[event("a", "bad")]).await;
    eventually("both have had it", async || {
        (service.dead_letters().await == 1 && others.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    // As if days had passed.
    sqlx::query("DELETE FROM inbox").execute(&service.database.pool).await.unwrap();
    mended.store(1, Ordering::SeqCst);
    let [letter] = letters(&service.client, &service.stream, 1, 10).await.unwrap().try_into().unwrap();
    replay(&service.client, &service.stream, &letter).await.unwrap();
    assert_eq!(service.has_heard(1).await, ["bad"]);
    // What comes behind it shows that the letter has been passed over.
    commit(&service.database, &[event("a", "after")]).await;
    service.has_heard(2).await;
    eventually("the other has heard what came behind", async || {
        (others.load(Ordering::SeqCst) >= 2).then_some(())
    })
    .await;
    assert_eq!(others.load(Ordering::SeqCst), 2, "the letter was not its own");
    let timed = format!("inbox_since_written_seconds_count{{consumer=\"{CONSUMER}\"");
    // Counted after the commit that is heard of.
    eventually("both are counted", async || {
        let text = metrics::text();
        text.lines().any(|line| line.starts_with(&timed) && line.ends_with(" 2")).then_some(())
    })
    .await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_never_put_forward_over_a_hole_or_to_a_time_that_is_to_come() {
    let (client, stream) = (client().await, testing::stream());
    nats::ensure(&client, &stream).await.unwrap();
    let jetstream = jetstream::new(client.clone());
    let stored = jetstream.get_stream(&stream.name).await.unwrap();
    stored
        .create_consumer(jetstream::consumer::pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            filter_subject: stream.subject("order.*"),
            ..Default::default()
        })
        .await
        .unwrap();
    let publish = async |subject: &str| {
        jetstream.publish(stream.subject(subject), "x".into()).await.unwrap().await.unwrap();
    };
    let put = async |to| put_back(&client, &stream.name, CONSUMER, to, Clock::system().now()).await;
    let refused = async |to| put(to).await.unwrap_err().to_string().contains("pass over");
    for subject in ["order.placed", "payment.captured", "order.placed"] {
        publish(subject).await;
    }
    // Nothing is acknowledged, and the first one has gone as a letter goes that was put back.
    stored.delete_message(1).await.unwrap();
    let time = async |number| {
        let nanos = stored.get_raw_message(number).await.unwrap().time.unix_timestamp_nanos();
        time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap()
    };
    let third = time(3).await;
    assert!(refused(Position::Time(third + Duration::milliseconds(1))).await, "the third is not handled");
    assert!(refused(Position::Sequence(4)).await, "the third is not handled");
    assert_eq!(put(Position::Sequence(3)).await.unwrap(), 1, "the second is none of its own");
    assert_eq!(put(Position::Time(third)).await.unwrap(), 1);
    let tomorrow = Clock::system().now() + Duration::days(1);
    stored.delete_message(3).await.unwrap();
    assert!(refused(Position::Time(tomorrow)).await, "what comes next would be passed over");
    assert!(refused(Position::Sequence(5)).await, "what comes next would be passed over");
    assert_eq!(put(Position::Sequence(4)).await.unwrap(), 0, "there is nothing to pass over");
    jetstream.delete_stream(&stream.name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirrors_consumer_counts_its_own_letters_where_they_are_kept() {
    let (database, client, local) = (messaging().await, client().await, testing::stream());
    // The other place's stream, which takes other subjects here because one server cannot have the same ones twice.
    let (east, mirror) = (testing::stream(), format!("{}_EAST", local.name));
    nats::ensure(&client, &local).await.unwrap();
    nats::ensure(&client, &east).await.unwrap();
    let jetstream = jetstream::new(client.clone());
    let copied = Source { name: east.name.clone(), ..Source::default() };
    jetstream
        .create_stream(Config { name: mirror.clone(), mirror: Some(copied), ..Config::default() })
        .await
        .unwrap();
    let name: &'static str = Box::leak(format!("mirrored-{}", Uuid::now_v7().simple()).into_boxed_str());
    let config = ConsumerConfig::new(name, ["order.*", ">"])
        .mirror(Stream { name: mirror.clone(), prefix: local.prefix.clone() });
    let stop = CancellationToken::new();
    let poisoned = consume(
        database.pool.clone(),
        client.clone(),
        config,
        |_, _| Box::pin(async { Err(Poison("cannot".to_owned()).into()) }),
        stop.clone(),
    );
    let consuming = task::spawn("test", poisoned);
    // Somebody else's letter of the same name, at the other place.
    jetstream.publish(east.subject(&format!("dead.{name}")), "x".into()).await.unwrap().await.unwrap();
    jetstream.publish(east.subject("order.placed"), "no event".into()).await.unwrap().await.unwrap();
    let counted = format!("inbox_dead_letters{{consumer=\"{name}\"");
    eventually("the letter is counted where it is kept", async || {
        let text = metrics::text();
        let kept = letters(&client, &local, 1, 10).await.unwrap().len();
        let line = format!(" {kept}");
        (kept > 0 && text.lines().any(|l| l.starts_with(&counted) && l.ends_with(&line))).then_some(())
    })
    .await;
    stop.cancel();
    consuming.await.unwrap().unwrap();
    for name in [&mirror, &east.name, &local.name] {
        jetstream.delete_stream(name).await.unwrap();
    }
}
