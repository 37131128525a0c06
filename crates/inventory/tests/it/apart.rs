//! Neighbours: what fails in the database, or waits for a row that somebody else holds, does so alone.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use stampede_proto::inventory::v1::Reservation;
use tokio::task::JoinHandle;
use tonic::Status;
use uuid::Uuid;

use crate::shop::{Asked, FLASH, Shop, TEE, eventually, metadata, reason};

/// Nobody waits for so long: a test's connections wait for a lock for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// Three cells, met and loaded by everybody.
async fn shop() -> Arc<Shop> {
    let shop = Arc::new(Shop::open().await);
    shop.flash(1_000, 1_000).await;
    shop.sku("cap", 1_000).await;
    shop.sku("mug", 1_000).await;
    for asked in [(TEE, FLASH, 1), ("cap", "", 1), ("mug", "", 1)] {
        shop.reserve(Uuid::now_v7(), "warm", &[asked]).await.unwrap();
    }
    shop
}

/// Holds the shelf's row of a SKU until it is dropped.
async fn hold_row(db: &PgPool, sku: &str) -> Transaction<'static, Postgres> {
    let mut holding = db.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM stock WHERE pool = 'shelf' AND sku_id = $1 FOR UPDATE")
        .bind(sku)
        .execute(&mut *holding)
        .await
        .unwrap();
    holding
}

fn reserve(
    shop: &Arc<Shop>,
    buyer: &'static str,
    lines: Vec<Asked<'static>>,
) -> JoinHandle<Result<Reservation, Status>> {
    let shop = shop.clone();
    tokio::spawn(async move { shop.reserve(Uuid::now_v7(), buyer, &lines).await })
}

/// Every verb of the other cells, again and again.
async fn neighbours_go_on(shop: &Arc<Shop>) {
    let going_on = async {
        for _ in 0..5 {
            let (sold, gone) = (Uuid::now_v7(), Uuid::now_v7());
            shop.reserve(sold, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
            shop.reserve(gone, "alice", &[("mug", "", 1), (TEE, FLASH, 1)]).await.unwrap();
            shop.commit(sold).await.unwrap();
            shop.release(gone).await.unwrap();
            shop.deduct(Uuid::now_v7(), "bob", ("mug", "", 1)).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, going_on).await.expect("a row that others need holds up everybody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_holds_up_no_demand_of_another_cell() {
    let shop = shop().await;
    let holding = hold_row(&shop.database.pool, "cap").await;
    // Gathered with the others, and in one request with them: their rows are locked first, in the order of the pools.
    let alone: Vec<_> = (0..6).map(|_| reserve(&shop, "carol", vec![("cap", "", 1)])).collect();
    let together: Vec<_> = [(TEE, FLASH, 1), ("mug", "", 1)]
        .iter()
        .cycle()
        .take(12)
        .map(|other| reserve(&shop, "carol", vec![*other, ("cap", "", 1)]))
        .collect();
    let gathered: Vec<_> = (0..20).map(|_| reserve(&shop, "dave", vec![(TEE, FLASH, 1)])).collect();
    neighbours_go_on(&shop).await;
    for answer in gathered {
        tokio::time::timeout(PATIENCE, answer).await.expect("held up").unwrap().unwrap();
    }
    assert!(alone.iter().all(|answer| !answer.is_finished()));
    holding.rollback().await.unwrap();
    for answer in alone {
        answer.await.unwrap().unwrap();
    }
    let succeeded = succeeded(together).await;
    assert_eq!(shop.level("cap", "").await.held, 1 + 6 + succeeded);
}

/// What touches several cells is told after a while that somebody holds one; it has nothing then.
async fn succeeded(answers: Vec<JoinHandle<Result<Reservation, Status>>>) -> i64 {
    let mut succeeded = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Ok(_) => succeeded += 1,
            refused @ Err(_) => assert_eq!(reason(refused), "UNAVAILABLE"),
        }
    }
    succeeded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_holds_up_no_ending_of_another_cell() {
    let shop = shop().await;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        alone.push(held(&shop, &[("cap", "", 1)]).await);
        together.push(held(&shop, &[(TEE, FLASH, 1), ("cap", "", 1)]).await);
    }
    let holding = hold_row(&shop.database.pool, "cap").await;
    let commit = |id| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.commit(id).await })
    };
    let alone: Vec<_> = alone.into_iter().map(commit).collect();
    let together: Vec<_> = together.into_iter().map(commit).collect();
    neighbours_go_on(&shop).await;
    assert!(alone.iter().all(|answer| !answer.is_finished()));
    holding.rollback().await.unwrap();
    for answer in alone {
        answer.await.unwrap().unwrap();
    }
    let succeeded = succeeded(together).await;
    assert_eq!(shop.level("cap", "").await.committed, 6 + succeeded);
}

async fn held(shop: &Shop, lines: &[Asked<'_>]) -> Uuid {
    let id = Uuid::now_v7();
    shop.reserve(id, "carol", lines).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_values_that_only_postgres_refuses_fail_alone() {
    let shop = shop().await;
    // The ledger finds out when it writes, and reads it as a defect of its own.
    let rule = "ALTER TABLE reservation ADD CONSTRAINT no_poison CHECK (buyer_id <> 'poison')";
    sqlx::query(rule).execute(&shop.database.pool).await.unwrap();
    let asked: Vec<_> = (0..90)
        .map(|n| {
            let buyer = if n % 30 == 7 { "poison" } else { "alice" };
            let line = if n % 2 == 0 { (TEE, FLASH, 1) } else { ("cap", "", 1) };
            (buyer, reserve(&shop, buyer, vec![line]))
        })
        .collect();
    for (buyer, answer) in asked {
        let answer = answer.await.unwrap();
        match buyer {
            "poison" => assert_eq!(reason(answer), "INTERNAL"),
            _ => assert!(answer.is_ok(), "{answer:?}"),
        }
    }
    assert_eq!(shop.level(TEE, FLASH).await.held + shop.level("cap", "").await.held, 2 + 87);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_appears_behind_the_ledgers_back_fails_alone() {
    let shop = shop().await;
    let id = Uuid::now_v7();
    // Inserted after the ledger has looked for it and before it writes: the moment the database alone can tell.
    for statement in [
        "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.buyer_id = 'overtaken' THEN RAISE unique_violation; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER overtake BEFORE INSERT ON reservation FOR EACH ROW EXECUTE FUNCTION overtake()",
    ] {
        sqlx::query(statement).execute(&shop.database.pool).await.unwrap();
    }
    let overtaken = {
        let shop = shop.clone();
        tokio::spawn(async move { shop.reserve(id, "overtaken", &[(TEE, FLASH, 1)]).await })
    };
    let others: Vec<_> = (0..40).map(|_| reserve(&shop, "alice", vec![(TEE, FLASH, 1)])).collect();
    for answer in others {
        answer.await.unwrap().unwrap();
    }
    // Nobody knows whose the id is: the caller asks again.
    assert_eq!(reason(overtaken.await.unwrap()), "UNAVAILABLE");
    sqlx::query("DROP TRIGGER overtake ON reservation").execute(&shop.database.pool).await.unwrap();
    shop.reserve(id, "overtaken", &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(shop.level(TEE, FLASH).await.held, 1 + 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_predicate_ends_nothing_that_somebody_ended_without_the_lock() {
    let shop = shop().await;
    for (change, state) in
        [("state = 'RELEASED', resolved_at = now()", "RELEASED"), ("expires_at = created_at", "EXPIRED")]
    {
        let id = held(&shop, &[("cap", "", 1)]).await;
        let mut behind = shop.database.pool.begin().await.unwrap();
        let update = format!("UPDATE reservation SET {change} WHERE reservation_id = $1");
        sqlx::query(sqlx::AssertSqlSafe(update)).bind(id).execute(&mut *behind).await.unwrap();
        let commit = {
            let shop = shop.clone();
            tokio::spawn(async move { shop.commit(id).await })
        };
        // The ledger has decided by what it read, and waits for the row.
        eventually("the commit waits", async || {
            let waiting = "SELECT count(*) > 0 FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            sqlx::query_scalar(waiting).fetch_one(&shop.database.pool).await.unwrap()
        })
        .await;
        behind.commit().await.unwrap();
        let first = commit.await.unwrap().expect_err("it was ended already");
        assert!(["INTERNAL", "RESERVATION_RESOLVED"].contains(&reason::<()>(Err(first)).as_str()));
        let again = shop.commit(id).await.expect_err("it was ended already");
        assert_eq!(metadata(&again, "state").as_deref(), Some(state));
    }
    assert_eq!(shop.level("cap", "").await.committed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_holds_up_no_cell_of_a_command_that_needs_both() {
    let shop = shop().await;
    let (kept, sold) = (Uuid::now_v7(), Uuid::now_v7());
    // The rows are locked in the order of the cells, so the one that is free comes first.
    for id in [kept, sold] {
        shop.reserve(id, "erin", &[("cap", "", 1), ("mug", "", 1)]).await.unwrap();
    }
    shop.commit(sold).await.unwrap();
    let holding = hold_row(&shop.database.pool, "mug").await;
    let waiting = tokio::spawn({
        let shop = shop.clone();
        async move {
            let later = time::OffsetDateTime::now_utc() + time::Duration::minutes(30);
            tokio::join!(
                crate::resolve::give_back(&shop, sold, Uuid::now_v7(), None),
                crate::extend::extend(&shop, kept, later)
            )
        }
    });
    let going_on = async {
        for _ in 0..5 {
            shop.deduct(Uuid::now_v7(), "bob", ("cap", "", 1)).await.unwrap();
        }
    };
    // A command that waited with the free row in its hand would keep it for five seconds.
    tokio::time::timeout(Duration::from_secs(4), going_on).await.expect("the free row was held, too");
    assert!(!waiting.is_finished(), "both wait for the other row");
    holding.rollback().await.unwrap();
    let (returned, extended) = waiting.await.unwrap();
    returned.unwrap();
    extended.unwrap();
}
