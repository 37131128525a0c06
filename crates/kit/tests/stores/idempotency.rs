//! One answer for one key.

use futures::future::join_all;
use stampede_kit::idempotency::{Claim, Fingerprint, claim, complete, prune, release};
use stampede_kit::testing::TestDatabase;

use crate::support::messaging;

const SCOPE: &str = "order.create/alice";

async fn claimed(database: &TestDatabase, key: &str, request: &[u8]) -> Claim {
    let mut conn = database.pool.acquire().await.unwrap();
    claim(&mut conn, SCOPE, key, &Fingerprint::of(request)).await.unwrap()
}

async fn age(database: &TestDatabase, seconds: f64) {
    sqlx::query(
        "UPDATE idempotency SET created_at = created_at - make_interval(secs => $1),
                                completed_at = completed_at - make_interval(secs => $1)",
    )
    .bind(seconds)
    .execute(&database.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_key_is_new_then_in_flight_then_replayed() {
    let database = messaging().await;
    assert_eq!(claimed(&database, "k", b"body").await, Claim::New);
    assert_eq!(claimed(&database, "k", b"body").await, Claim::InFlight);
    let mut conn = database.pool.acquire().await.unwrap();
    complete(&mut conn, SCOPE, "k", b"answer").await.unwrap();
    complete(&mut conn, SCOPE, "k", b"another answer").await.unwrap();
    assert_eq!(claimed(&database, "k", b"body").await, Claim::Replay(b"answer".to_vec()));
}

#[tokio::test]
async fn a_key_with_another_body_is_a_mismatch_in_flight_and_after() {
    let database = messaging().await;
    assert_eq!(claimed(&database, "k", b"body").await, Claim::New);
    assert_eq!(claimed(&database, "k", b"other").await, Claim::Mismatch);
    age(&database, 120.0).await;
    assert_eq!(claimed(&database, "k", b"other").await, Claim::Mismatch);
    let mut conn = database.pool.acquire().await.unwrap();
    complete(&mut conn, SCOPE, "k", b"").await.unwrap();
    assert_eq!(claimed(&database, "k", b"other").await, Claim::Mismatch);
    assert_eq!(claimed(&database, "k", b"body").await, Claim::Replay(Vec::new()));
}

#[tokio::test]
async fn another_scope_is_another_key() {
    let database = messaging().await;
    assert_eq!(claimed(&database, "k", b"body").await, Claim::New);
    let mut conn = database.pool.acquire().await.unwrap();
    let other = claim(&mut conn, "order.create/bob", "k", &Fingerprint::of(b"other")).await.unwrap();
    assert_eq!(other, Claim::New);
}

#[tokio::test]
async fn a_released_key_is_new_again_and_an_answered_one_cannot_be_released() {
    let database = messaging().await;
    let mut conn = database.pool.acquire().await.unwrap();
    assert_eq!(claimed(&database, "k", b"body").await, Claim::New);
    release(&mut conn, SCOPE, "k").await.unwrap();
    assert_eq!(claimed(&database, "k", b"other").await, Claim::New);
    complete(&mut conn, SCOPE, "k", b"answer").await.unwrap();
    release(&mut conn, SCOPE, "k").await.unwrap();
    assert_eq!(claimed(&database, "k", b"other").await, Claim::Replay(b"answer".to_vec()));
}

#[tokio::test]
async fn a_claim_whose_owner_died_is_taken_over_by_exactly_one() {
    let database = messaging().await;
    assert_eq!(claimed(&database, "k", b"body").await, Claim::New);
    age(&database, 61.0).await;
    let claims = join_all((0..6).map(|_| claimed(&database, "k", b"body"))).await;
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::New).count(), 1);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::InFlight).count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_equal_requests_at_once_exactly_one_does_the_work() {
    let database = messaging().await;
    let claims = join_all((0..8).map(|_| claimed(&database, "k", b"body"))).await;
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::New).count(), 1);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::InFlight).count(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_in_the_works_own_transaction_makes_the_equal_request_wait_and_replay() {
    let database = messaging().await;
    let mut work = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    assert_eq!(claim(&mut work, SCOPE, "k", &Fingerprint::of(b"body")).await.unwrap(), Claim::New);
    let (second, ()) = tokio::join!(claimed(&database, "k", b"body"), async {
        complete(&mut work, SCOPE, "k", b"answer").await.unwrap();
        work.commit().await.unwrap();
    });
    assert_eq!(second, Claim::Replay(b"answer".to_vec()));
}

#[tokio::test]
async fn old_answers_are_pruned_and_young_ones_stay() {
    let database = messaging().await;
    let mut conn = database.pool.acquire().await.unwrap();
    assert_eq!(claimed(&database, "old", b"body").await, Claim::New);
    complete(&mut conn, SCOPE, "old", b"answer").await.unwrap();
    age(&database, 25.0 * 3600.0).await;
    assert_eq!(claimed(&database, "young", b"body").await, Claim::New);
    complete(&mut conn, SCOPE, "young", b"answer").await.unwrap();
    assert_eq!(prune(&mut conn).await.unwrap(), 1);
    assert_eq!(claimed(&database, "young", b"body").await, Claim::Replay(b"answer".to_vec()));
    assert_eq!(claimed(&database, "old", b"body").await, Claim::New);
}
