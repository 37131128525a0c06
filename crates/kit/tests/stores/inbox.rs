//! The inbox and its consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_nats::jetstream;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use stampede_kit::clock::Clock;
use stampede_kit::inbox::{
    ConsumerConfig, Message, Poison, Position, consume, first_time, letters, put_back, replay,
};
use stampede_kit::nats::{Stream, header};
use stampede_kit::outbox::{NewEvent, Relay};
use stampede_kit::task;
use stampede_kit::testing::{self, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::support::{client, commit, event, eventually, messaging};

pub const CONSUMER: &str = "payment-orders";

/// A service with an outbox, a consumer that writes what it hears into a table, and a stream between them.
pub struct Service {
    pub database: TestDatabase,
    pub client: async_nats::Client,
    pub stream: Stream,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Service {
    pub async fn new() -> Self {
        let database = messaging().await;
        sqlx::raw_sql("CREATE TABLE heard (place bigint GENERATED ALWAYS AS IDENTITY, key text, text text)")
            .execute(&database.pool)
            .await
            .unwrap();
        let (client, stream, stop) = (client().await, testing::stream(), CancellationToken::new());
        let relay = Relay::new(database.pool.clone(), client.clone()).stream(stream.clone());
        let tasks = vec![task::spawn("test", relay.run(stop.clone()))];
        Self { database, client, stream, stop, tasks }
    }

    pub fn hear<H>(&mut self, pool: sqlx::PgPool, handler: H)
    where
        H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
            + Send
            + Sync
            + 'static,
    {
        self.hear_as(CONSUMER, pool, handler);
    }

    pub fn hear_as<H>(&mut self, name: &'static str, pool: sqlx::PgPool, handler: H)
    where
        H: for<'a> Fn(&'a mut PgConnection, &'a Message) -> BoxFuture<'a, anyhow::Result<()>>
            + Send
            + Sync
            + 'static,
    {
        let config = ConsumerConfig::new(name, ["order.*", "order.*.late"]).stream(self.stream.clone());
        let consuming = consume(pool, self.client.clone(), config, handler, self.stop.clone());
        self.tasks.push(task::spawn("test", consuming));
    }

    pub async fn heard(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT text FROM heard ORDER BY place")
            .fetch_all(&self.database.pool)
            .await
            .unwrap()
    }

    pub async fn has_heard(&self, count: usize) -> Vec<String> {
        eventually("the events are heard", async || {
            Some(self.heard().await).filter(|heard| heard.len() >= count)
        })
        .await
    }

    pub async fn dead_letters(&self) -> u64 {
        // Who publishes first makes the stream; until then there is no letter.
        let found = jetstream::new(self.client.clone()).get_stream(&self.stream.name).await;
        let Ok(stream) = found else { return 0 };
        let subject = self.stream.subject(&format!("dead.{CONSUMER}"));
        let mut subjects = stream.info_with_subjects(subject).await.unwrap();
        let mut letters = 0;
        while let Some(Ok((_, count))) = futures::StreamExt::next(&mut subjects).await {
            letters += count as u64;
        }
        letters
    }

    pub async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
        jetstream::new(self.client.clone()).delete_stream(&self.stream.name).await.unwrap();
    }
}

pub fn write<'a>(conn: &'a mut PgConnection, message: &'a Message) -> BoxFuture<'a, anyhow::Result<()>> {
    Box::pin(async move {
        sqlx::query("INSERT INTO heard (key, text) VALUES ($1, $2)")
            .bind(&message.key)
            .bind(String::from_utf8(message.payload.to_vec())?)
            .execute(conn)
            .await?;
        Ok(())
    })
}

#[tokio::test]
async fn an_event_is_first_once_for_each_consumer_and_only_if_it_commits() {
    let database = messaging().await;
    let event = Uuid::now_v7();
    let mut rolled_back = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    assert!(first_time(&mut rolled_back, "a", event).await.unwrap());
    rolled_back.rollback().await.unwrap();
    let mut conn = database.pool.acquire().await.unwrap();
    assert!(first_time(&mut conn, "a", event).await.unwrap());
    assert!(!first_time(&mut conn, "a", event).await.unwrap());
    assert!(first_time(&mut conn, "b", event).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_handled_in_the_order_of_their_key_with_what_the_outbox_wrote() {
    let mut service = Service::new().await;
    service.hear(service.database.pool.clone(), |conn, message| {
        Box::pin(async move {
            anyhow::ensure!(message.subject == "order.placed" && message.attempt == 1);
            write(conn, message).await
        })
    });
    for number in 0..20 {
        commit(&service.database, &[event("a", &format!("{number:02}")), event("b", "b")]).await;
    }
    let heard = service.has_heard(40).await;
    assert_eq!(heard.len(), 40);
    assert!(heard.iter().filter(|text| *text != "b").is_sorted());
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_delivered_twice_takes_effect_once() {
    let mut service = Service::new().await;
    let NewEvent { id, subject, payload, .. } = event("a", "once");
    stampede_kit::nats::ensure(&service.client, &service.stream).await.unwrap();
    for message_id in ["first", "second"] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(header::MESSAGE_ID, message_id);
        headers.insert(header::CE_ID, id.to_string());
        headers.insert(header::CE_TIME, "2026-01-01T00:00:00Z");
        headers.insert(header::CE_PARTITION_KEY, "a");
        let subject = service.stream.subject(&subject);
        let jetstream = jetstream::new(service.client.clone());
        jetstream
            .publish_with_headers(subject, headers, payload.clone().into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    service.hear(service.database.pool.clone(), write);
    commit(&service.database, &[event("a", "after")]).await;
    assert_eq!(service.has_heard(2).await, ["once", "after"]);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_keeps_failing_is_dead_after_its_attempts_and_can_be_replayed() {
    let mut service = Service::new().await;
    let (attempts, mended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    service.hear(service.database.pool.clone(), {
        let (attempts, mended) = (attempts.clone(), mended.clone());
        move |conn, message| {
            let (attempts, mended) = (attempts.clone(), mended.clone());
            Box::pin(async move {
                write(conn, message).await?;
                if message.payload == "bad" && mended.load(Ordering::SeqCst) == 0 {
                    attempts.fetch_add(1, Ordering::SeqCst);
                    assert!(message.attempt != 3, "a handler may panic");
                    anyhow::bail!("cannot");
                }
                Ok(())
            })
        }
    });
    commit(&service.database, &[event("a", "bad"), event("b", "good")]).await;
    eventually("the letter is there", async || (service.dead_letters().await == 1).then_some(())).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 5);
    assert_eq!(service.heard().await, ["good"]);

    mended.store(1, Ordering::SeqCst);
    let [letter] = letters(&service.client, &service.stream, 1, 10).await.unwrap().try_into().unwrap();
    assert_eq!((letter.consumer.as_str(), letter.attempts), (CONSUMER, 5));
    assert_eq!((letter.subject.as_str(), letter.reason.as_str()), ("order.placed", "cannot"));
    assert_eq!(letter.stream, service.stream.name);
    replay(&service.client, &service.stream, &letter).await.unwrap();
    assert_eq!(service.has_heard(2).await, ["good", "bad"]);
    assert_eq!(letters(&service.client, &service.stream, 1, 10).await.unwrap(), []);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_put_back_hears_everything_from_there_and_only_what_is_new_has_an_effect() {
    let mut service = Service::new().await;
    let seen = Arc::new(AtomicU32::new(0));
    service.hear(service.database.pool.clone(), {
        let seen = seen.clone();
        move |conn, message| {
            seen.fetch_add(1, Ordering::SeqCst);
            write(conn, message)
        }
    });
    for number in 1..=6 {
        commit(&service.database, &[event("a", &number.to_string())]).await;
    }
    service.has_heard(6).await;
    let (client, stream) = (service.client.clone(), service.stream.name.clone());
    let handled = async || {
        let stored = jetstream::new(client.clone()).get_stream(&stream).await.unwrap();
        let info = stored.consumer_info(CONSUMER).await.ok()?;
        (info.ack_floor.stream_sequence >= 6 && info.num_pending == 0).then_some(())
    };
    eventually("six are acknowledged", handled).await;
    let now = Clock::system().now();
    let forward = put_back(&client, &stream, CONSUMER, Position::Sequence(8), now).await;
    assert!(forward.unwrap_err().to_string().contains("pass over"));
    assert!(put_back(&client, &stream, "nobody", Position::Sequence(1), now).await.is_err());

    // The database forgets the last two, as one that is brought back from a backup does.
    sqlx::raw_sql(
        "DELETE FROM heard WHERE text IN ('5', '6');
         DELETE FROM inbox WHERE event_id IN
           (SELECT event_id FROM outbox WHERE convert_from(payload, 'UTF8') IN ('5', '6'))",
    )
    .execute(&service.database.pool)
    .await
    .unwrap();
    assert_eq!(put_back(&client, &stream, CONSUMER, Position::Sequence(2), now).await.unwrap(), 5);
    assert_eq!(service.has_heard(6).await, ["1", "2", "3", "4", "5", "6"]);
    eventually("all of them came again", handled).await;
    assert_eq!(seen.load(Ordering::SeqCst), 8, "what is known never reaches the handler");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_event_is_dead_at_once_and_so_is_a_message_that_is_no_event() {
    let mut service = Service::new().await;
    let attempts = Arc::new(AtomicU32::new(0));
    service.hear(service.database.pool.clone(), {
        let attempts = attempts.clone();
        move |_, _| {
            attempts.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Err(Poison("not a message".to_owned()).into()) })
        }
    });
    commit(&service.database, &[event("a", "bad")]).await;
    stampede_kit::nats::ensure(&service.client, &service.stream).await.unwrap();
    let subject = service.stream.subject("order.nonsense");
    let jetstream = jetstream::new(service.client.clone());
    jetstream.publish(subject, "?".into()).await.unwrap().await.unwrap();
    eventually("both letters are there", async || (service.dead_letters().await == 2).then_some(())).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_absence_of_postgres_uses_up_no_attempt() {
    let mut service = Service::new().await;
    let url = service.database.url.expose().to_owned();
    let proxy = Proxy::to(&url, true).await;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(std::time::Duration::from_millis(100))
        .connect_lazy(&proxy.url(&url))
        .unwrap();
    let seen = Arc::new(AtomicU32::new(0));
    service.hear(pool, {
        let seen = seen.clone();
        move |conn, message| {
            seen.fetch_max(message.attempt, Ordering::SeqCst);
            write(conn, message)
        }
    });
    commit(&service.database, &[event("a", "before")]).await;
    service.has_heard(1).await;
    proxy.cut();
    commit(&service.database, &[event("a", "during")]).await;
    let more_than_its_attempts = async || (proxy.refused() > stampede_kit::inbox::ATTEMPTS).then_some(());
    eventually("the event fails more often than it has attempts", more_than_its_attempts).await;
    assert_eq!(service.heard().await, ["before"]);
    proxy.mend();
    assert_eq!(service.has_heard(2).await, ["before", "during"]);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(service.dead_letters().await, 0);
    service.end().await;
}
