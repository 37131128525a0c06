//! Refunding: what is captured, once, and never more.

use stampede_payment::{Error, State};
use uuid::Uuid;

use crate::bench::{Bench, TIMEOUT, eur, new_id, service};

#[tokio::test]
async fn a_refund_gives_back_once_however_often_it_is_asked_for() {
    let bench = Bench::without_resolver().await;
    let (id, refund) = (bench.captured("tok_visa").await, Uuid::now_v7());
    for _ in 0..2 {
        let payment = bench.payments.refund(id, refund, Some(eur(4_000))).await.unwrap();
        assert_eq!((payment.standing().state, payment.amounts().refunded_minor), (State::Captured, 4_000));
    }
    let payment = bench.payments.refund(id, Uuid::now_v7(), None).await.unwrap();
    assert_eq!(payment.amounts().refunded_minor, 10_000);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn edge_case_7_refunds_of_sixty_and_sixty_of_one_hundred_from_two_processes_give_back_sixty() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa__refund_slow_100").await;
    let other = service(&bench.database, &bench.psp, TIMEOUT);
    let (a, b) = tokio::join!(
        bench.payments.refund(id, Uuid::now_v7(), Some(eur(6_000))),
        other.refund(id, Uuid::now_v7(), Some(eur(6_000))),
    );
    let refused = if a.is_ok() { b } else { a };
    assert!(matches!(refused, Err(Error::Exceeded { left_minor: Some(4_000) })), "{refused:?}");
    assert_eq!(bench.payments.get(id).await.unwrap().amounts().refunded_minor, 6_000);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_pending_and_then_given_back_once() {
    for token in ["tok_visa__refund_timeout_after", "tok_visa__refund_timeout_before"] {
        let bench = Bench::start().await;
        let (id, refund) = (bench.captured(token).await, Uuid::now_v7());
        let pending = bench.payments.refund(id, refund, None).await.unwrap();
        assert_eq!((pending.standing().pending.refund_minor, pending.amounts().refunded_minor), (10_000, 0));
        let done = bench.until(id, |payment| payment.amounts().refunded_minor == 10_000).await;
        assert_eq!(done.standing().pending.refund_minor, 0);
        assert_eq!(bench.truth(id, "refunds").await, 1);
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn a_declined_refund_frees_what_it_reserved() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa__refund_declined_closed_account").await;
    let refused = bench.payments.refund(id, Uuid::now_v7(), Some(eur(6_000))).await;
    assert!(matches!(&refused, Err(Error::Declined(class)) if class == "closed_account"));
    assert_eq!(bench.payments.get(id).await.unwrap().standing().pending.refund_minor, 0);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn what_is_not_captured_is_not_refunded() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 100, "tok_visa").await.unwrap();
    let refused = bench.payments.refund(id, Uuid::now_v7(), None).await;
    assert!(matches!(refused, Err(Error::Illegal(step)) if step.state == State::Authorized));
}
