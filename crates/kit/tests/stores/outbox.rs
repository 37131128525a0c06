//! The outbox and its relay.

use std::collections::HashMap;

use async_nats::jetstream;
use futures::StreamExt as _;
use stampede_kit::nats::{self, Stream};
use stampede_kit::outbox::{Relay, Traced, append, append_traced, prune, prune_others};
use stampede_kit::task;
use stampede_kit::testing::{self, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::proxy::Proxy;
use crate::support::{client, commit, event, eventually, messaging};

struct Relaying {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

fn relay(database: &TestDatabase, client: &async_nats::Client, stream: &Stream) -> Relaying {
    let stop = CancellationToken::new();
    let relay = Relay::new(database.pool.clone(), client.clone()).stream(stream.clone());
    Relaying { stop: stop.clone(), task: task::spawn("test", relay.run(stop)) }
}

impl Relaying {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

async fn unpublished(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox_waiting").fetch_one(&database.pool).await.unwrap()
}

async fn all_published(database: &TestDatabase) {
    eventually("everything is published", async || (unpublished(database).await == 0).then_some(())).await;
}

/// Everything in the stream, oldest first, as (key, text).
async fn stored(client: &async_nats::Client, stream: &Stream) -> Vec<(String, String)> {
    let stored = jetstream::new(client.clone()).get_stream(&stream.name).await.unwrap();
    let count = stored.cached_info().state.messages;
    let consumer = stored.create_consumer(jetstream::consumer::pull::OrderedConfig::default()).await.unwrap();
    let messages = consumer.messages().await.unwrap().take(usize::try_from(count).unwrap());
    messages
        .map(|message| {
            let message = message.unwrap();
            let headers = message.headers.as_ref().unwrap();
            let key = headers.get(nats::header::CE_PARTITION_KEY).unwrap().as_str().to_owned();
            (key, String::from_utf8(message.payload.to_vec()).unwrap())
        })
        .collect()
        .await
}

async fn drop_stream(client: &async_nats::Client, stream: &Stream) {
    jetstream::new(client.clone()).delete_stream(&stream.name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_event_is_published_once_and_in_the_order_of_its_key() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let relaying = relay(&database, &client, &stream);
    for round in 0..30 {
        let events: Vec<_> = ["a", "b", "a", "c"].iter().map(|key| event(key, &round.to_string())).collect();
        commit(&database, &events).await;
    }
    all_published(&database).await;
    relaying.stop().await;

    let stored = stored(&client, &stream).await;
    assert_eq!(stored.len(), 120);
    let mut by_key: HashMap<String, Vec<u32>> = HashMap::new();
    for (key, text) in stored {
        by_key.entry(key).or_default().push(text.parse().unwrap());
    }
    assert_eq!(by_key["a"].len(), 60);
    assert!(by_key.values().all(|rounds| rounds.is_sorted()));
    drop_stream(&client, &stream).await;
}

#[tokio::test]
async fn an_event_of_a_transaction_that_rolled_back_is_never_published() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let mut transaction = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    append(&mut transaction, &[event("a", "never")]).await.unwrap();
    transaction.rollback().await.unwrap();
    commit(&database, &[event("a", "once")]).await;
    let relaying = relay(&database, &client, &stream);
    all_published(&database).await;
    relaying.stop().await;
    assert_eq!(stored(&client, &stream).await, [("a".to_owned(), "once".to_owned())]);
    drop_stream(&client, &stream).await;
}

#[tokio::test]
async fn a_lower_position_that_commits_later_is_published_too() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let relaying = relay(&database, &client, &stream);
    let mut slow = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    append(&mut slow, &[event("a", "slow")]).await.unwrap();
    commit(&database, &[event("b", "fast")]).await;
    all_published(&database).await;
    slow.commit().await.unwrap();
    all_published(&database).await;
    relaying.stop().await;
    assert_eq!(stored(&client, &stream).await.len(), 2);
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_survives_the_absence_of_nats_and_catches_up() {
    let (database, direct, stream) = (messaging().await, client().await, testing::stream());
    let proxy = Proxy::to(&testing::nats_url(), false).await;
    let url = proxy.url(&testing::nats_url());
    let client = nats::connect(&stampede_kit::Secret::new(url)).await.unwrap();
    let relaying = relay(&database, &client, &stream);

    commit(&database, &[event("a", "1")]).await;
    proxy.mend();
    all_published(&database).await;
    proxy.cut();
    eventually("the client has noticed", async || (!crate::support::is_connected(&client)).then_some(()))
        .await;
    commit(&database, &[event("a", "2"), event("a", "3")]).await;
    proxy.mend();
    all_published(&database).await;
    assert!(!relaying.task.is_finished());
    relaying.stop().await;

    let texts: Vec<_> = stored(&direct, &stream).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "2", "3"]);
    drop_stream(&direct, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_died_between_publishing_and_marking_leaves_each_event_in_the_stream_once() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let first = relay(&database, &client, &stream);
    commit(&database, &[event("a", "1"), event("b", "2"), event("a", "3")]).await;
    all_published(&database).await;
    first.stop().await;
    // As if its transaction had never marked them.
    let again = "INSERT INTO outbox_waiting SELECT position FROM outbox";
    sqlx::query(again).execute(&database.pool).await.unwrap();
    commit(&database, &[event("a", "4")]).await;
    let second = relay(&database, &client, &stream);
    all_published(&database).await;
    second.stop().await;
    let texts: Vec<_> = stored(&client, &stream).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "2", "3", "4"]);
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_whose_acknowledgements_were_lost_are_published_again_and_stored_once_in_order() {
    let (database, direct, stream) = (messaging().await, client().await, testing::stream());
    let proxy = Proxy::to(&testing::nats_url(), true).await;
    let client = crate::support::connected(&proxy.url(&testing::nats_url())).await;
    let relaying = relay(&database, &client, &stream);
    commit(&database, &[event("a", "1")]).await;
    all_published(&database).await;
    // What is sent arrives; what is answered does not.
    proxy.deafen();
    commit(&database, &[event("a", "2"), event("b", "x"), event("a", "3")]).await;
    let arrived = async || {
        let stream = jetstream::new(direct.clone()).get_stream(&stream.name).await.ok()?;
        (stream.cached_info().state.messages >= 3).then_some(())
    };
    eventually("events have arrived", arrived).await;
    assert_eq!(unpublished(&database).await, 3, "nothing is marked that was not acknowledged");
    proxy.mend();
    all_published(&database).await;
    relaying.stop().await;
    let of_a: Vec<_> = stored(&direct, &stream)
        .await
        .into_iter()
        .filter(|(key, _)| key == "a")
        .map(|(_, text)| text)
        .collect();
    assert_eq!(of_a, ["1", "2", "3"]);
    drop_stream(&direct, &stream).await;
}

#[tokio::test]
async fn events_written_together_keep_the_traces_of_their_own_requests() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = |key: &str, trace: Option<&str>| Traced {
        event: event(key, key),
        traceparent: trace.map(Into::into),
    };
    let mut transaction = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    append_traced(&mut transaction, &[traced("a", Some(trace)), traced("b", None)]).await.unwrap();
    transaction.commit().await.unwrap();
    let relaying = relay(&database, &client, &stream);
    all_published(&database).await;
    relaying.stop().await;
    let kept = jetstream::new(client.clone()).get_stream(&stream.name).await.unwrap();
    let mut traces = Vec::new();
    for sequence in 1..=2 {
        let headers = kept.get_raw_message(sequence).await.unwrap().headers;
        traces.push(headers.get(nats::header::TRACEPARENT).map(|trace| trace.as_str().to_owned()));
    }
    assert_eq!(traces, [Some(trace.to_owned()), None]);
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_is_caught_up_in_bounded_batches() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    sqlx::raw_sql(
        "INSERT INTO outbox (event_id, subject, event_key, payload)
         SELECT gen_random_uuid(), 'order.placed', 'key-' || n % 5000, convert_to(n::text, 'UTF8')
         FROM generate_series(1, 20000) AS n ORDER BY n",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let relaying = relay(&database, &client, &stream);
    all_published(&database).await;
    relaying.stop().await;
    let info = jetstream::new(client.clone()).get_stream(&stream.name).await.unwrap().cached_info().clone();
    assert_eq!(info.state.messages, 20_000);
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_of_one_database_publish_each_event_once() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let (one, two) = (relay(&database, &client, &stream), relay(&database, &client, &stream));
    for number in 0..20 {
        commit(&database, &[event("a", &number.to_string())]).await;
    }
    all_published(&database).await;
    // Whichever leads, the other takes over when it is gone.
    one.stop().await;
    commit(&database, &[event("a", "20")]).await;
    all_published(&database).await;
    two.stop().await;
    let texts: Vec<_> = stored(&client, &stream).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, (0..=20).map(|number| number.to_string()).collect::<Vec<_>>());
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_lost_is_filled_again_from_the_outbox() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let relaying = relay(&database, &client, &stream);
    commit(&database, &[event("a", "1"), event("a", "2")]).await;
    all_published(&database).await;
    drop_stream(&client, &stream).await;
    // Nobody hears this one, so the relay notices and makes the stream again.
    commit(&database, &[event("a", "3")]).await;
    let filled = async || {
        let stream = jetstream::new(client.clone()).get_stream(&stream.name).await.ok()?;
        (stream.cached_info().state.messages == 3).then_some(())
    };
    eventually("the stream has all three again", filled).await;
    all_published(&database).await;
    relaying.stop().await;
    let texts: Vec<_> = stored(&client, &stream).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "2", "3"]);
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_filled_once_and_the_next_relay_knows() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let first = relay(&database, &client, &stream);
    commit(&database, &[event("a", "1"), event("a", "2")]).await;
    all_published(&database).await;
    first.stop().await;
    // From here on whatever waits again is refused, and the relay would try again for ever.
    sqlx::raw_sql("DELETE FROM outbox_waiting; ALTER TABLE outbox_waiting ADD CHECK (position > 2)")
        .execute(&database.pool)
        .await
        .unwrap();
    let second = relay(&database, &client, &stream);
    commit(&database, &[event("a", "3")]).await;
    all_published(&database).await;
    second.stop().await;
    let texts: Vec<_> = stored(&client, &stream).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "2", "3"]);
    drop_stream(&client, &stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_with_nothing_to_send_notices_that_somebody_else_made_the_stream_again() {
    let (database, client, stream) = (messaging().await, client().await, testing::stream());
    let relaying = relay(&database, &client, &stream);
    commit(&database, &[event("a", "1"), event("a", "2")]).await;
    all_published(&database).await;
    drop_stream(&client, &stream).await;
    nats::ensure(&client, &stream).await.unwrap();
    let filled = async || {
        let stream = jetstream::new(client.clone()).get_stream(&stream.name).await.ok()?;
        (stream.cached_info().state.messages == 2).then_some(())
    };
    eventually("both are there again", filled).await;
    relaying.stop().await;
    let texts: Vec<_> = stored(&client, &stream).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "2"]);
    drop_stream(&client, &stream).await;
}

#[tokio::test]
async fn what_was_heard_and_answered_long_ago_goes_however_much_it_is() {
    let database = messaging().await;
    sqlx::raw_sql(
        "INSERT INTO inbox (consumer, event_id, received_at)
         SELECT 'c', gen_random_uuid(), now() - days * interval '1 day'
         FROM unnest(ARRAY[1, 9]) AS days, generate_series(1, 12000);
         INSERT INTO idempotency (scope, key, fingerprint, response, completed_at)
         SELECT 's', n::text || '/' || days, '', '', now() - days * interval '1 day'
         FROM unnest(ARRAY[0, 9]) AS days, generate_series(1, 7000) AS n",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let mut conn = database.pool.acquire().await.unwrap();
    prune_others(&mut conn).await.unwrap();
    let count = "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM idempotency)";
    let left: (i64, i64) = sqlx::query_as(count).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(left, (12_000, 7_000), "what is young stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_yesterday_are_pruned_and_what_is_younger_or_waits_stays() {
    let database = messaging().await;
    sqlx::raw_sql(
        "INSERT INTO outbox (event_id, subject, event_key, payload, created_at)
         SELECT gen_random_uuid(), 'order.placed', 'k', '', now() - hours * interval '1 hour'
         FROM UNNEST(ARRAY[72, 30, 25, 1]) AS hours;
         DELETE FROM outbox_waiting WHERE position NOT IN
           (SELECT position FROM outbox WHERE created_at < now() - interval '71 hours')",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let mut conn = database.pool.acquire().await.unwrap();
    prune(&mut conn).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(left, 2, "one written lately, one that waits");
}
