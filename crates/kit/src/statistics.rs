//! Keeps what Postgres believes of our tables near the truth while they fill. A prepared statement keeps its plan, and a plan made for
//! an empty table reads all of it for each row; autovacuum looks once a minute, in which a sale writes a million rows. So each
//! second the tables are measured, and one that has doubled since it was counted is counted again, which makes every session
//! plan anew. It never reads more than a sample and never waits for a lock.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// How often the tables are measured: one statement that opens no table.
const EVERY: Duration = Duration::from_secs(1);
/// Pages a table may grow by before anybody cares.
const SMALL: i32 = 8;
/// Three hundred times as many rows are read of a table: enough to know its size, and a tenth of what autovacuum reads.
const SAMPLE: u32 = 10;

/// Looks after the tables of the session's schema until it is told to stop. A database that is away is asked again.
///
/// # Errors
/// None: the signature is a task's.
pub async fn keep(db: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = round(&db).await {
            tracing::warn!(%error, "the tables were not counted");
        }
    }
}

/// Counts the tables that have doubled; their names.
///
/// # Errors
/// The database does not answer.
pub async fn round(db: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = db.acquire().await?;
    let grown: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class
         WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
           AND pg_relation_size(oid) / current_setting('block_size')::bigint > 2 * relpages::bigint + $1",
    )
    .bind(SMALL)
    .fetch_all(&mut *conn)
    .await?;
    let mut counted = Vec::new();
    for table in grown {
        // Whoever has the lock is counting it, or changing it.
        let count = format!(
            "BEGIN; SET LOCAL lock_timeout = '10ms'; SET LOCAL default_statistics_target = {SAMPLE}; ANALYZE {table}; COMMIT"
        );
        match sqlx::raw_sql(sqlx::AssertSqlSafe(count)).execute(&mut *conn).await {
            Ok(_) => counted.push(table),
            Err(error) if is_locked(&error) => {
                sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
            }
            Err(error) => {
                // Nobody else may get this session in the middle of a transaction.
                conn.close_on_drop();
                return Err(error);
            }
        }
    }
    Ok(counted)
}

fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}
