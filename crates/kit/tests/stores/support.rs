//! What these tests share: a database with the messaging tables, a client, a way to wait for something.

use std::time::Duration;

use sqlx::migrate::Migrator;
use stampede_kit::outbox::{NewEvent, append};
use stampede_kit::testing::{self, TestDatabase};
use stampede_kit::{Secret, nats};
use uuid::Uuid;

/// Long enough for a loaded machine; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database with the tables every service has.
pub async fn messaging() -> TestDatabase {
    let database = testing::database(&Migrator::DEFAULT).await;
    for tables in [
        include_str!("../../../../migrations/order/0001_messaging.sql"),
        include_str!("../../../../migrations/order/0015_outbox_waiting.sql"),
    ] {
        sqlx::raw_sql(tables).execute(&database.pool).await.unwrap();
    }
    database
}

pub async fn client() -> async_nats::Client {
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_test_writer().try_init();
    connected(&testing::nats_url()).await
}

pub async fn connected(url: &str) -> async_nats::Client {
    let client = nats::connect(&Secret::new(url)).await.unwrap();
    eventually("NATS answers", async || client.flush().await.ok().filter(|()| is_connected(&client))).await;
    client
}

pub fn is_connected(client: &async_nats::Client) -> bool {
    client.connection_state() == async_nats::connection::State::Connected
}

pub fn event(key: &str, text: &str) -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        subject: "order.placed".to_owned(),
        key: key.to_owned(),
        payload: text.as_bytes().to_vec(),
    }
}

pub async fn commit(database: &TestDatabase, events: &[NewEvent]) {
    let mut transaction = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    append(&mut transaction, events).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Asks again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
