//! The way to Postgres: a pool whose every session has its limits, after the schema is up to date.
//! It never waits for ever, neither for the server at the start nor for a lock later.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Postgres, SqlSafeStr as _, SqlStr, Transaction};
use time::OffsetDateTime;

use crate::{Secret, metrics, task};

/// How long the server may take to appear after us.
const START_WITHIN: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// A statement that takes longer is not one of ours.
const STATEMENT_TIMEOUT: &str = "10s";
/// A lock that is held longer belongs to somebody who will not give it back in our caller's time.
const LOCK_TIMEOUT: &str = "5s";
/// A transaction whose owner fell silent lets go of its rows.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "30s";
/// How long a caller may wait for a connection before it is told that the pool is exhausted.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(3);

/// Connects, brings the schema up to date and gives the pool. Replicas that start together migrate one after another:
/// sqlx holds an advisory lock meanwhile.
pub async fn connect(url: &Secret, connections: u32, migrations: &Migrator) -> anyhow::Result<PgPool> {
    // The parser's complaint may quote the URL, which holds a password.
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(|_| anyhow::anyhow!("the database URL is not one"))?;
    let options = named(options).log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
    migrate(&options, migrations).await?;
    let options = options.options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        // Every statement of the house finds its rows by key. Without this a session keeps the plan it made while the table
        // was small, and scans the whole of it for each row once it has grown.
        ("enable_seqscan", "off"),
        // What must scan all the same looks dear then, and would be compiled before it runs.
        ("jit", "off"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_WITHIN)
        // Testing each connection before use would cost a round trip a request; a dead one shows in its first error.
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .context("connecting to Postgres")?;
    observe(&pool);
    Ok(pool)
}

fn observe(pool: &PgPool) {
    let (all, idle) = (pool.clone(), pool.clone());
    metrics::observed("postgres_connections", "Open connections of the pool", &[], move || {
        i64::from(all.size())
    });
    metrics::observed("postgres_connections_idle", "Connections that nobody uses", &[], move || {
        i64::try_from(idle.num_idle()).unwrap_or(i64::MAX)
    });
}

/// Without the pool's limits: a migration may take longer than any request.
async fn migrate(options: &PgConnectOptions, migrations: &Migrator) -> anyhow::Result<()> {
    let session = first_session(options).await?;
    let migrated = migrations.run(&session).await.context("migrating the schema");
    session.close().await;
    migrated
}

async fn first_session(options: &PgConnectOptions) -> anyhow::Result<PgPool> {
    let until = tokio::time::Instant::now() + START_WITHIN;
    loop {
        let session = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_WITHIN);
        match session.connect_with(options.clone()).await {
            Ok(session) => return Ok(session),
            Err(error) if may_pass(&error) && tokio::time::Instant::now() < until => {
                tracing::info!(%error, "waiting for Postgres");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(error) => return Err(error).context("connecting to Postgres"),
        }
    }
}

/// The name that `pg_stat_activity` shows: the URL's, or else the program's.
fn named(options: PgConnectOptions) -> PgConnectOptions {
    if options.get_application_name().is_some() {
        return options;
    }
    let program = std::env::current_exe().ok().and_then(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    options.application_name(program.as_deref().unwrap_or("stampede"))
}

/// Whether connecting later may help: a server or a proxy that is starting cuts connections in the middle of greeting.
fn may_pass(error: &sqlx::Error) -> bool {
    is_outage(error) || matches!(error, sqlx::Error::Protocol(_))
}

/// Begins a transaction. Whoever goes away meanwhile leaves none behind: sqlx hands a connection back as it is when a `BEGIN` on its way is
/// dropped, and what its next user takes for committed would wait for a commit that never comes. So the `BEGIN` is carried to its
/// end, and its transaction rolled back there.
///
/// # Errors
/// As those of the pool, and of the server.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begun(pool, None).await
}

/// The same with a `BEGIN` of one's own.
///
/// # Errors
/// As those of [`begin`].
pub async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begun(pool, Some(statement.into_sql_str())).await
}

/// Statements of a group find their rows by key, whatever the statistics say. A plan is made once and kept: made while a table was still
/// small it would join by reading all of it, and a sale can fill the table within the minute before anybody counts it again. (Our
/// sessions never scan a table; this is about joins.) Since the plan is the same for any values, none is made for particular ones.
const BY_KEY: &str = "BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
                      SET LOCAL plan_cache_mode = force_generic_plan";

/// The same for one that lets go of what it has when it does not get the rest soon.
const BY_KEY_SHORT: &str = "BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
                            SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL lock_timeout = '100ms'";

/// How long a transaction waits for a row that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as the session allows.
    Long,
    /// A tenth of a second: longer than anybody of ours holds one.
    Short,
}

/// Begins the transaction of a group of requests that are written together.
///
/// # Errors
/// As those of [`begin`].
pub async fn begin_by_key(
    pool: &PgPool,
    patience: Patience,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let statement = match patience {
        Patience::Long => BY_KEY,
        Patience::Short => BY_KEY_SHORT,
    };
    begin_with(pool, statement).await
}

async fn begun(
    pool: &PgPool,
    statement: Option<SqlStr>,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    // Waiting for a connection may end at any time.
    let session = pool.acquire().await?;
    task::carried("begin", Transaction::begin(session, statement)).await
}

/// Asks the server for nothing: whether it answers at all.
///
/// # Errors
/// It does not.
pub async fn ping(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT").execute(pool).await.map(|_| ())
}

/// Whether the server was away, or could not answer for reasons of its own, so that the same thing may be tried again
/// later: no fault of the statement's.
pub fn is_outage(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(database) = error {
        // Classes 08 connection, 53 out of resources, 57P shutdown or starting up.
        return database
            .code()
            .is_some_and(|code| ["08", "53", "57P"].iter().any(|class| code.starts_with(class)));
    }
    matches!(
        error,
        // A session that was cut in the middle of a sentence is a protocol error.
        sqlx::Error::Protocol(_)
            | sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// Whether the statement lost to somebody else's transaction: a row was held for longer than we wait, or two waited for each other
/// in a circle. The same thing may be tried again later; at once it would wait again.
pub fn is_contended(error: &sqlx::Error) -> bool {
    // Lock not available, statement cancelled, deadlock, serialization failure.
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["55P03", "57014", "40P01", "40001"].contains(&code.as_ref()))
}

/// What Postgres keeps of an instant: cut to it, what was said before a commit is what is read after it.
#[must_use]
pub fn microseconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_microsecond(at.microsecond()).expect("an instant's own microsecond is in range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_cut_to_what_the_store_keeps() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_234_567_891).unwrap();
        assert_eq!(microseconds(at).nanosecond(), 234_567_000);
    }
}
