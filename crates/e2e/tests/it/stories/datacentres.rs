//! Events cross to another datacentre in order and take effect once there, whatever happens to the link; and they are heard again
//! from a position. Six real nats-servers with the configuration in deploy/nats.

use futures::future::BoxFuture;
use sqlx::{Connection as _, PgPool};
use stampede_kit::clock::Clock;
use stampede_kit::inbox::{ConsumerConfig, Message, Position, consume, put_back};
use stampede_kit::nats::Stream;
use stampede_kit::outbox::{NewEvent, Relay, append};
use stampede_kit::task;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xtask::servers::{Kind, Servers};
use xtask::terminal::Step;

use crate::harness::datacentres::Datacentres;
use crate::harness::eventually;

const CONSUMER: &str = "mail-orders";
const MESSAGING: &str = concat!(
    include_str!("../../../../../migrations/order/0001_messaging.sql"),
    include_str!("../../../../../migrations/order/0015_outbox_waiting.sql")
);

/// The databases of a service in the east that tells, and of one in the west that hears.
struct Databases {
    servers: Servers,
    folder: TempDir,
}

impl Databases {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("stampede-").tempdir().unwrap();
        let servers = Servers::start_some(folder.path(), &[Kind::Postgres], &Step::silent()).unwrap();
        Self { servers, folder }
    }

    async fn open(&self, name: &str) -> PgPool {
        let url = self.servers.database_url("postgres");
        let mut server = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut server)
            .await
            .unwrap();
        let pool = PgPool::connect(&self.servers.database_url(name)).await.unwrap();
        sqlx::raw_sql(MESSAGING).execute(&pool).await.unwrap();
        pool
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        xtask::servers::wipe(self.folder.path()).ok();
    }
}

/// Events numbered so in the east, of five orders in turn.
async fn tell(east: &PgPool, numbers: std::ops::RangeInclusive<i32>) {
    for number in numbers {
        let event = NewEvent {
            id: Uuid::now_v7(),
            subject: "order.placed".to_owned(),
            key: format!("order-{}", number % 5),
            payload: number.to_string().into_bytes(),
        };
        let mut tx = east.begin().await.unwrap();
        append(&mut tx, &[event]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn write<'a>(conn: &'a mut sqlx::PgConnection, message: &'a Message) -> BoxFuture<'a, anyhow::Result<()>> {
    Box::pin(async move {
        let number: i32 = std::str::from_utf8(&message.payload)?.parse()?;
        sqlx::query("INSERT INTO heard (number) VALUES ($1)").bind(number).execute(conn).await?;
        Ok(())
    })
}

/// What had an effect in the west, in the order it had it.
async fn heard(west: &PgPool) -> Vec<i32> {
    sqlx::query_scalar("SELECT number FROM heard ORDER BY place").fetch_all(west).await.unwrap()
}

async fn hears(west: &PgPool, count: usize) {
    eventually(async || {
        let heard = heard(west).await.len();
        if heard >= count { Ok(()) } else { Err(format!("{heard} of {count} heard")) }
    })
    .await;
}

fn each_once_and_in_order_of_its_key(heard: &[i32], last: i32) {
    let mut sorted = heard.to_vec();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=last).collect::<Vec<_>>(), "each once");
    for key in 0..5 {
        assert!(heard.iter().filter(|number| *number % 5 == key).is_sorted(), "order-{key}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_the_other_datacentre_once_though_the_link_was_cut_and_are_heard_again_from_a_position()
{
    let datacentres = Datacentres::open().await;
    let databases = Databases::start();
    let (east, west) = (databases.open("east").await, databases.open("west").await);
    sqlx::raw_sql("CREATE TABLE heard (place bigint GENERATED ALWAYS AS IDENTITY, number integer)")
        .execute(&west)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let relay = Relay::new(east.clone(), datacentres.east.client.clone());
    task::spawn("relay", relay.run(stop.clone()));
    let mirror = Stream { name: "STAMPEDE_EAST".to_owned(), ..Stream::default() };
    let config = ConsumerConfig::new(CONSUMER, ["order.*"]).mirror(mirror.clone());
    let hearing = consume(west.clone(), datacentres.west.client.clone(), config, write, stop.clone());
    task::spawn("consumer", hearing);

    tell(&east, 1..=50).await;
    hears(&west, 50).await;

    // The east goes on by itself; the west hears nothing of it, and everything when the link is back.
    datacentres.cut();
    tell(&east, 51..=120).await;
    eventually(async || match datacentres.east.last_of("STAMPEDE").await {
        120 => Ok(()),
        last => Err(format!("{last} of 120 are in the east's stream")),
    })
    .await;
    assert_eq!(heard(&west).await.len(), 50, "the link was cut");
    datacentres.mend();
    hears(&west, 120).await;
    each_once_and_in_order_of_its_key(&heard(&west).await, 120);
    assert_eq!(datacentres.west.last_of("STAMPEDE_EAST").await, 120, "numbers are the original's");
    assert_eq!(datacentres.west.last_of("STAMPEDE").await, 0, "nothing was stored a second time");

    // The west's database is brought back from before the eightieth; the consumer is put back further, to be sure.
    let mut backup = west.begin().await.unwrap();
    sqlx::query("DELETE FROM heard WHERE number > 80").execute(&mut *backup).await.unwrap();
    sqlx::query("DELETE FROM inbox WHERE event_id = ANY($1)")
        .bind(ids(&east, 80).await)
        .execute(&mut *backup)
        .await
        .unwrap();
    backup.commit().await.unwrap();
    let west_nats = &datacentres.west.client;
    let now = Clock::system().now();
    let forward = put_back(west_nats, &mirror.name, CONSUMER, Position::Sequence(122), now).await;
    assert!(forward.unwrap_err().to_string().contains("pass over"), "a consumer is never put forward");
    assert_eq!(put_back(west_nats, &mirror.name, CONSUMER, Position::Sequence(60), now).await.unwrap(), 61);
    hears(&west, 120).await;
    tell(&east, 121..=130).await;
    hears(&west, 130).await;
    each_once_and_in_order_of_its_key(&heard(&west).await, 130);
    stop.cancel();
}

/// The events behind that number.
async fn ids(east: &PgPool, number: i32) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT event_id FROM outbox WHERE convert_from(payload, 'UTF8')::integer > $1")
        .bind(number)
        .fetch_all(east)
        .await
        .unwrap()
}
