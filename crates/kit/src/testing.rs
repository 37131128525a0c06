//! For tests only, behind the feature `testing`: a fresh database, a stream of its own, where the servers are.
//! It never starts a server; `cargo xtask test` does and says where they are.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::{Secret, nats};

/// Connections of one test; a suite of many tests shares the server's hundred.
const CONNECTIONS: u32 = 8;
/// How long the end of a test waits for its database to go.
const DROPPED_WITHIN: Duration = Duration::from_secs(1);

/// A database of this test's own, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    pub pool: PgPool,
    /// What a service under test takes as `database.url`.
    pub url: Secret,
    name: String,
}

/// Makes a database and migrates it.
pub async fn database(migrations: &Migrator) -> TestDatabase {
    let name = format!("test_{}", Uuid::now_v7().simple());
    let server = PgConnectOptions::from_str(&postgres_url()).expect("TEST_POSTGRES_URL is a Postgres URL");
    execute(&server, format!("CREATE DATABASE {name} TEMPLATE template0"))
        .await
        .expect("the server makes databases");
    let options = server.database(&name);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect_with(options)
        .await
        .expect("the new database takes connections");
    migrations.run(&pool).await.expect("the migrations run");
    let url = Secret::new(with_database(&postgres_url(), &name));
    TestDatabase { pool, url, name }
}

impl Drop for TestDatabase {
    /// Best effort: what is left behind goes with the test server.
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        let (done, dropped) = std::sync::mpsc::channel::<()>();
        // A runtime cannot be blocked from within, and the test's own is about to end.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            let server = PgConnectOptions::from_str(&postgres_url()).ok()?;
            let dropped =
                runtime.block_on(execute(&server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
            done.send(()).ok();
            dropped.ok()
        });
        // Dropping a database waits for every session of the server, also for one that this test's runtime, which stands still
        // meanwhile, has begun to open. That one ends with the test's process.
        let _ = dropped.recv_timeout(DROPPED_WITHIN);
    }
}

/// A JetStream stream of this test's own; give it to the relay and the consumer.
pub fn stream() -> nats::Stream {
    let id = Uuid::now_v7().simple().to_string();
    nats::Stream { name: format!("TEST_{id}"), prefix: format!("test-{id}") }
}

/// The superuser's URL of the test Postgres.
pub fn postgres_url() -> String {
    variable("TEST_POSTGRES_URL")
}

pub fn redis_url() -> String {
    variable("TEST_REDIS_URL")
}

pub fn nats_url() -> String {
    variable("TEST_NATS_URL")
}

#[expect(clippy::disallowed_methods, reason = "tests are told where their servers are by the environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

async fn execute(server: &PgConnectOptions, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(server).await?;
    // The only text in it is a name made here.
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

/// The same server, another database: the path's last part is the name.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
    query.map_or_else(|| format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
}
