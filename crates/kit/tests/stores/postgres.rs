//! The pool.

use std::task::Poll;

use sqlx::migrate::Migrator;
use stampede_kit::{Secret, postgres, statistics, task, testing};

use crate::proxy::Proxy;
use crate::support::eventually;

#[tokio::test]
async fn every_session_has_its_limits() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let pool = postgres::connect(&database.url, 2, &Migrator::DEFAULT).await.unwrap();
    for (setting, value) in [
        ("statement_timeout", "10s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
    ] {
        let found: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&pool).await.unwrap();
        assert_eq!(found, value, "{setting}");
    }
    let name: String =
        sqlx::query_scalar("SELECT current_setting('application_name')").fetch_one(&pool).await.unwrap();
    assert!(!name.is_empty());
}

#[tokio::test]
async fn a_plan_made_while_a_table_was_small_does_not_scan_it_when_it_has_grown() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let pool = postgres::connect(&database.url, 1, &Migrator::DEFAULT).await.unwrap();
    let table =
        "CREATE TABLE thing (id bigint PRIMARY KEY); INSERT INTO thing VALUES (1), (2); ANALYZE thing";
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    let scans = async || -> i64 {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&pool).await.unwrap();
        let counted = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'thing'";
        sqlx::query_scalar(counted).fetch_one(&pool).await.unwrap()
    };
    let before = scans().await;
    // Postgres may keep the plan of a prepared statement from the sixth time on.
    for id in 1..=8_i64 {
        sqlx::query("SELECT id FROM thing WHERE id = $1").bind(id).fetch_optional(&pool).await.unwrap();
    }
    assert_eq!(scans().await, before);
}

#[tokio::test]
async fn a_join_planned_for_an_empty_table_is_planned_anew_when_the_table_has_filled() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let pool = postgres::connect(&database.url, 2, &Migrator::DEFAULT).await.unwrap();
    let table = "CREATE TABLE thing (id bigint PRIMARY KEY); ANALYZE thing";
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    // A session with a plan it keeps, as the ledger's are.
    let mut session = pool.acquire().await.unwrap();
    let prepared = "SET plan_cache_mode = force_generic_plan; SET enable_hashjoin = off; SET enable_mergejoin = off;
                    PREPARE find(bigint[]) AS SELECT t.id FROM unnest($1) AS k (id) JOIN thing t ON t.id = k.id";
    sqlx::raw_sql(prepared).execute(&mut *session).await.unwrap();
    let mut plan = async || {
        let lines: Vec<String> =
            sqlx::query_scalar("EXPLAIN EXECUTE find('{1}')").fetch_all(&mut *session).await.unwrap();
        lines.join("\n")
    };
    assert!(!plan().await.contains("Index Cond"), "the trap is there: all of the table for each batch");
    let fill = "INSERT INTO thing SELECT generate_series(1, 20000)";
    sqlx::query(fill).execute(&pool).await.unwrap();

    assert_eq!(statistics::round(&pool).await.unwrap(), ["thing"]);
    assert!(plan().await.contains("Index Cond"), "{}", plan().await);
    assert_eq!(statistics::round(&pool).await.unwrap(), [""; 0], "it has been counted");
}

#[tokio::test]
async fn a_table_that_somebody_has_locked_is_counted_another_time() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let pool = postgres::connect(&database.url, 2, &Migrator::DEFAULT).await.unwrap();
    let filled = "CREATE TABLE thing AS SELECT generate_series(1, 20000) AS id; ANALYZE thing;
                  INSERT INTO thing SELECT generate_series(1, 40000)";
    sqlx::raw_sql(filled).execute(&pool).await.unwrap();
    let mut holder = stampede_kit::postgres::begin(&pool).await.unwrap();
    sqlx::raw_sql("LOCK TABLE thing IN SHARE UPDATE EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
    assert_eq!(statistics::round(&pool).await.unwrap(), [""; 0]);
    holder.rollback().await.unwrap();
    assert_eq!(statistics::round(&pool).await.unwrap(), ["thing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_waited_for() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let proxy = Proxy::to(database.url.expose(), false).await;
    let url = Secret::new(proxy.url(database.url.expose()));
    let connecting = task::spawn("test", async move { postgres::connect(&url, 1, &Migrator::DEFAULT).await });
    eventually("it has been refused", async || (proxy.refused() > 0).then_some(())).await;
    proxy.mend();
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_being_shown() {
    let error =
        postgres::connect(&Secret::new("postgres//hunter2"), 1, &Migrator::DEFAULT).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_row_that_is_held_for_long_and_a_circle_are_told_from_a_fault() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let table = "CREATE TABLE thing (id bigint PRIMARY KEY); INSERT INTO thing VALUES (1), (2)";
    sqlx::raw_sql(table).execute(&database.pool).await.unwrap();
    let take = "SELECT FROM thing WHERE id = $1 FOR UPDATE";
    let (mut one, mut two) = (
        stampede_kit::postgres::begin(&database.pool).await.unwrap(),
        stampede_kit::postgres::begin(&database.pool).await.unwrap(),
    );
    sqlx::query(take).bind(1_i64).execute(&mut *one).await.unwrap();
    sqlx::query(take).bind(2_i64).execute(&mut *two).await.unwrap();
    // Whoever has an answer lets go of what he holds.
    let cross = async |mut tx: sqlx::Transaction<'_, sqlx::Postgres>, id: i64| {
        sqlx::query(take).bind(id).execute(&mut *tx).await
    };
    let (first, second) = tokio::join!(cross(one, 2), cross(two, 1));
    let circle = first.err().or(second.err()).unwrap();
    assert!(postgres::is_contended(&circle) && !postgres::is_outage(&circle), "{circle}");

    let mut holder = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    sqlx::query(take).bind(1_i64).execute(&mut *holder).await.unwrap();
    let mut waiting = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    sqlx::query("SET LOCAL lock_timeout = '20ms'").execute(&mut *waiting).await.unwrap();
    let held = sqlx::query(take).bind(1_i64).execute(&mut *waiting).await.unwrap_err();
    assert!(postgres::is_contended(&held) && !postgres::is_outage(&held), "{held}");
    let double = sqlx::query("INSERT INTO thing VALUES (2)").execute(&database.pool).await.unwrap_err();
    assert!(!postgres::is_contended(&double) && !postgres::is_outage(&double), "{double}");
}

/// How often somebody tries to go away in time.
const TRIES: usize = 1_000;

#[tokio::test]
async fn whoever_goes_away_while_a_transaction_begins_leaves_none_behind() {
    let database = testing::database(&Migrator::DEFAULT).await;
    let pool = postgres::connect(&database.url, 1, &Migrator::DEFAULT).await.unwrap();
    for begin in [None, Some("BEGIN ISOLATION LEVEL REPEATABLE READ")] {
        let mut tries = 0..TRIES;
        loop {
            assert!(tries.next().is_some(), "the server has always answered before anybody could go away");
            eventually("the connection is idle", async || (pool.num_idle() == 1).then_some(())).await;
            let mut begun = Box::pin(async {
                match begin {
                    None => postgres::begin(&pool).await,
                    Some(statement) => postgres::begin_with(&pool, statement).await,
                }
            });
            // The connection is there, so what it waits for is the server's answer: on a busy machine it may have come at once.
            match futures::poll!(&mut begun) {
                Poll::Pending => break,
                Poll::Ready(begun) => begun.unwrap().rollback().await.unwrap(),
            }
        }
        // The one connection comes back when the rest is done. A savepoint can only be set inside a transaction.
        let refused = sqlx::raw_sql("SAVEPOINT here").execute(&pool).await.unwrap_err();
        assert_eq!(refused.as_database_error().and_then(|error| error.code()).as_deref(), Some("25P01"));
    }
}
