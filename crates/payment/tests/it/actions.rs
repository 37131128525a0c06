//! Payers who have to do something first: they do it, fail, go away, or are too late.

use stampede_payment::{Payment, State};
use uuid::Uuid;

use crate::bench::{Bench, new_id};

async fn asked(bench: &Bench, token: &str) -> Payment {
    let payment = bench.authorize(new_id(), 10_000, token).await.unwrap();
    assert_eq!((payment.standing().state, payment.events.len()), (State::RequiresAction, 0), "{token}");
    payment
}

#[tokio::test]
async fn what_the_payer_has_done_is_heard_of_by_webhook_and_taken() {
    let bench = Bench::told().await;
    let payment = asked(&bench, "tok_3ds").await;
    let again = bench.authorize(payment.id, 10_000, "tok_3ds").await.unwrap();
    assert_eq!(again.action(), payment.action(), "the same request is the same action");
    assert_eq!(bench.psp.acts(&payment, "completed").await, 200);
    bench.until_state(payment.id, State::Authorized).await;
    bench.payments.capture(payment.id, Uuid::now_v7(), None).await.unwrap();
    bench.assert_agreed(payment.id).await;
}

#[tokio::test]
async fn what_nobody_tells_is_asked_for() {
    let bench = Bench::start().await;
    for (token, outcome, state) in [
        ("tok_3ds", "completed", State::Authorized),
        ("tok_3ds", "failed", State::Failed),
        ("tok_3ds_fails", "completed", State::Failed),
        ("tok_3ds__declined_insufficient_funds", "completed", State::Failed),
    ] {
        let payment = asked(&bench, token).await;
        bench.psp.acts(&payment, outcome).await;
        bench.until_state(payment.id, state).await;
        bench.assert_agreed(payment.id).await;
    }
}

#[tokio::test]
async fn a_failure_is_told_with_its_class_and_is_asked_of_nobody_else() {
    let (bench, b) = Bench::pair(&["card=simulator>simulator-b"]).await;
    let payment = asked(&bench, "tok_3ds").await;
    bench.psp.acts(&payment, "failed").await;
    let failed = bench.until_state(payment.id, State::Failed).await;
    assert_eq!(failed.decline.as_deref(), Some("authentication_failed"));
    assert_eq!(b.number(payment.id, "authorizations").await, 0);
}

#[tokio::test]
async fn a_session_that_nobody_uses_is_closed_at_its_end_and_nothing_comes_of_it_later() {
    let bench = Bench::start().await;
    let payment = asked(&bench, "tok_3ds_1500").await;
    let expired = bench.until_state(payment.id, State::Expired).await;
    assert_eq!((expired.action(), expired.amounts().authorized_minor), (None, 0));
    assert_eq!(bench.psp.acts(&payment, "completed").await, 409, "the provider has closed it");
    assert_eq!(bench.truth(payment.id, "authorizations").await, 0);
    bench.assert_agreed(payment.id).await;
}

#[tokio::test]
async fn a_void_closes_the_session_at_once() {
    let bench = Bench::without_resolver().await;
    let payment = asked(&bench, "tok_3ds").await;
    let voided = bench.payments.void(payment.id).await.unwrap();
    assert_eq!(voided.standing().state, State::Voided);
    assert_eq!(bench.psp.acts(&payment, "completed").await, 409);
    bench.assert_agreed(payment.id).await;
}

#[tokio::test]
async fn a_void_that_meets_what_the_payer_has_just_done_lets_it_go() {
    let bench = Bench::without_resolver().await;
    let payment = asked(&bench, "tok_3ds__webhook_never").await;
    bench.psp.acts(&payment, "completed").await;
    let voided = bench.payments.void(payment.id).await.unwrap();
    assert_eq!((voided.standing().state, voided.amounts().voided_minor), (State::Voided, 10_000));
    bench.assert_agreed(payment.id).await;
}

#[tokio::test]
async fn a_void_that_comes_after_the_hold_has_lapsed_knows_that_it_was_held_and_contradicts_nobody() {
    let bench = Bench::without_resolver().await;
    let payment = asked(&bench, "tok_3ds__webhook_never").await;
    bench.psp.acts(&payment, "completed").await;
    bench.psp.happens(payment.id, "authorization_expired", "x1", 10_000).await;
    let voided = bench.payments.void(payment.id).await.unwrap();
    let amounts = voided.amounts();
    assert_eq!(voided.standing().state, State::Expired);
    assert_eq!((amounts.authorized_minor, amounts.voided_minor), (10_000, 10_000));
    bench.assert_agreed(payment.id).await;
}

#[tokio::test]
async fn what_is_asked_of_the_payer_in_a_lost_answer_is_found_out() {
    let bench = Bench::start().await;
    let id = new_id();
    let lost = bench.authorize(id, 10_000, "tok_3ds__timeout_after").await.unwrap();
    assert_eq!(lost.standing().state, State::Unknown);
    let payment = bench.until_state(id, State::RequiresAction).await;
    bench.psp.acts(&payment, "completed").await;
    bench.until_state(id, State::Authorized).await;
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn the_provider_that_is_asked_next_may_ask_the_payer() {
    let (bench, b) = Bench::pair(&["card=simulator>simulator-b"]).await;
    let payment = asked_next(&bench).await;
    assert_eq!(b.acts(&payment, "completed").await, 200);
    bench.until_state(payment.id, State::Authorized).await;
    assert_eq!(
        (b.number(payment.id, "authorizations").await, bench.truth(payment.id, "declines").await),
        (1, 1)
    );
    bench.assert_booked(payment.id, 10_000, 0).await;
}

async fn asked_next(bench: &Bench) -> Payment {
    let token = "tok_at_a_declined_issuer_unavailable__at_b_3ds";
    let payment = bench.authorize(new_id(), 10_000, token).await.unwrap();
    assert_eq!(payment.standing().state, State::RequiresAction);
    payment
}
