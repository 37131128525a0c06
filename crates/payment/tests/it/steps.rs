//! Steps of many payments in one transaction: they share it, and nobody suffers for another.

use std::time::Duration;

use futures::future::join_all;
use stampede_kit::{postgres, task};
use stampede_payment::{Error, State};
use uuid::Uuid;

use crate::bench::{Bench, card, eur, new_id};
use crate::capture::captured_nothing;

const MANY: usize = 24;
/// Longer than everything that does not wait takes, and shorter than the database lets anybody wait for a row.
const HELD: Duration = Duration::from_secs(4);

#[tokio::test]
async fn payments_that_meet_share_transactions_and_all_come_out_right() {
    let bench = Bench::without_resolver().await;
    let ids: Vec<_> = (0..MANY).map(|_| new_id()).collect();
    let authorize = |id| bench.authorize(id, 10_000, "tok_visa");
    for held in join_all(ids.iter().map(|id| authorize(*id))).await {
        assert_eq!(held.unwrap().standing().state, State::Authorized);
    }
    let capture = |id| bench.payments.capture(id, Uuid::now_v7(), None);
    for captured in join_all(ids.iter().map(|id| capture(*id))).await {
        assert_eq!(captured.unwrap().standing().state, State::Captured);
    }
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM payment_event")
        .fetch_one(&bench.database.pool)
        .await
        .unwrap();
    assert!(transactions < 2 * MANY as i64, "{transactions} transactions");
    for id in ids {
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn refunds_that_meet_on_one_payment_give_back_what_there_is_and_no_more() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    let refund = || bench.payments.refund(id, Uuid::now_v7(), Some(eur(1_000)));
    let refunds = join_all((0..16).map(|_| refund())).await;
    let (given, refused): (Vec<_>, Vec<_>) = refunds.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), refused.len()), (10, 6));
    for refused in refused {
        assert!(matches!(refused, Err(Error::Exceeded { left_minor: Some(0) })), "{refused:?}");
    }
    bench.assert_agreed(id).await;
}

/// The same word at the same time: one capture.
#[tokio::test]
async fn the_same_step_many_times_at_once_is_one_step() {
    let bench = Bench::without_resolver().await;
    let (id, word) = (new_id(), Uuid::now_v7());
    for held in join_all((0..8).map(|_| bench.authorize(id, 10_000, "tok_visa"))).await {
        assert_eq!(held.unwrap().attempts.len(), 1);
    }
    for captured in join_all((0..8).map(|_| bench.payments.capture(id, word, Some(eur(6_000))))).await {
        assert_eq!(captured.unwrap().amounts().captured_minor, 6_000);
    }
    assert_eq!((bench.truth(id, "authorizations").await, bench.truth(id, "captures").await), (1, 1));
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_step_that_the_database_refuses_takes_no_other_with_it() {
    let bench = Bench::without_resolver().await;
    let ids: Vec<_> = (0..MANY).map(|_| new_id()).collect();
    // Their answers come at about the same time.
    let authorize = |id| bench.authorize(id, 10_000, "tok_visa__capture_slow_300");
    for held in join_all(ids.iter().map(|id| authorize(*id))).await {
        held.unwrap();
    }
    let words: Vec<_> = ids.iter().map(|_| Uuid::now_v7()).collect();
    // What the provider will call the first one's capture is the name of another fact already.
    let reference = format!("cap_{}", ids[0].derive(&format!("CAPTURE/{}", words[0])));
    let other = bench.captured("tok_visa").await;
    captured_nothing(&bench, other, &reference).await;
    let capture = |(id, word)| bench.payments.capture(id, word, None);
    let captured = join_all(ids.iter().copied().zip(words).map(capture)).await;
    assert!(matches!(&captured[0], Err(Error::Illegal(_))), "{:?}", captured[0]);
    assert_eq!(bench.payments.get(ids[0]).await.unwrap().standing().state, State::Conflicted);
    for (id, captured) in ids.iter().zip(captured).skip(1) {
        assert_eq!(captured.unwrap().standing().state, State::Captured);
        bench.assert_agreed(*id).await;
    }
}

#[tokio::test]
async fn a_payment_that_somebody_holds_holds_up_no_other() {
    let bench = Bench::without_resolver().await;
    let ids: Vec<_> = (0..MANY).map(|_| new_id()).collect();
    for held in join_all(ids.iter().map(|id| bench.authorize(*id, 10_000, "tok_visa"))).await {
        held.unwrap();
    }
    let mut somebody = postgres::begin(&bench.database.pool).await.unwrap();
    sqlx::query("SELECT FROM payment_intent WHERE payment_id = $1 FOR UPDATE")
        .bind(ids[0].uuid())
        .execute(&mut *somebody)
        .await
        .unwrap();
    let payments = bench.payments.clone();
    let first = ids[0];
    let waiting = task::spawn("waiting", async move { payments.capture(first, Uuid::now_v7(), None).await });
    let others = ids.iter().skip(1).map(|id| bench.payments.capture(*id, Uuid::now_v7(), None));
    for captured in tokio::time::timeout(HELD, join_all(others)).await.expect("somebody is waited for") {
        assert_eq!(captured.unwrap().standing().state, State::Captured);
    }
    assert!(!waiting.is_finished(), "it is held");
    somebody.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().standing().state, State::Captured);
    bench.assert_agreed(first).await;
}

/// An id that somebody else is just writing is waited for by who wants the same id, and by nobody else.
#[tokio::test]
async fn an_id_that_somebody_is_writing_holds_up_no_other() {
    let bench = Bench::without_resolver().await;
    let ids: Vec<_> = (0..MANY).map(|_| new_id()).collect();
    let mut somebody = postgres::begin(&bench.database.pool).await.unwrap();
    sqlx::query(
        "INSERT INTO payment_intent (payment_id, state, created_at, updated_at) VALUES ($1, 'VOIDED', now(), now())",
    )
    .bind(ids[0].uuid())
    .execute(&mut *somebody)
    .await
    .unwrap();
    let (payments, first) = (bench.payments.clone(), ids[0]);
    let waiting =
        task::spawn("waiting", async move { payments.authorize(card(first, 10_000, "tok_visa")).await });
    let others = ids.iter().skip(1).map(|id| bench.authorize(*id, 10_000, "tok_visa"));
    for held in tokio::time::timeout(HELD, join_all(others)).await.expect("somebody is waited for") {
        assert_eq!(held.unwrap().standing().state, State::Authorized);
    }
    assert!(!waiting.is_finished(), "its id is taken or free: nobody knows yet");
    somebody.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().standing().state, State::Authorized);
    bench.assert_agreed(first).await;
}
