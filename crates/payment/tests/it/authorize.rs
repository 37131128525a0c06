//! Authorising: once, whatever becomes of the answer.

use stampede_payment::{Error, State};

use crate::bench::{Bench, card, new_id};

#[tokio::test]
async fn a_good_card_is_held_once_and_the_same_request_again_is_the_same_payment() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let first = bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    let second = bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    assert_eq!((first.standing().state, &first.events), (State::Authorized, &second.events));
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_decline_is_an_answer_with_its_class_and_moves_nothing() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let payment = bench.authorize(id, 10_000, "tok_declined_insufficient_funds").await.unwrap();
    assert_eq!(payment.standing().state, State::Failed);
    assert_eq!(payment.decline.as_deref(), Some("insufficient_funds"));
    let again = bench.authorize(id, 10_000, "tok_declined_insufficient_funds").await.unwrap();
    assert_eq!(again.standing().state, State::Failed);
    assert_eq!(bench.truth(id, "declines").await, 1);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn an_answer_lost_before_the_effect_is_sent_again_under_the_same_key() {
    lost_and_found("tok_timeout_before").await;
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_is_asked_for_and_never_charged_again() {
    lost_and_found("tok_timeout_after").await;
}

#[tokio::test]
async fn an_answer_slower_than_our_patience_is_found_although_its_effect_came_late() {
    lost_and_found("tok_slow_1800").await;
}

#[tokio::test]
async fn an_error_of_the_provider_says_nothing_about_its_effect() {
    lost_and_found("tok_error_500_once").await;
    lost_and_found("tok_error_500_after").await;
}

#[tokio::test]
async fn an_outage_of_the_provider_is_outwaited() {
    lost_and_found("tok_outage_1500").await;
}

async fn lost_and_found(token: &str) {
    let bench = Bench::start().await;
    let id = new_id();
    let lost = bench.authorize(id, 10_000, token).await.unwrap();
    assert_eq!(lost.standing().state, State::Unknown);
    bench.until_state(id, State::Authorized).await;
    assert_eq!(bench.truth(id, "authorizations").await, 1);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn asking_again_finds_a_lost_answer_without_waiting_for_the_resolver() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_timeout_after").await.unwrap();
    let again = bench.authorize(id, 10_000, "tok_timeout_after").await.unwrap();
    assert_eq!(again.standing().state, State::Authorized);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn the_same_id_with_another_amount_or_token_is_a_conflict() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    for (amount, token) in [(10_001, "tok_visa"), (10_000, "tok_amex")] {
        let refused = bench.authorize(id, amount, token).await;
        assert!(matches!(refused, Err(Error::Conflict(of)) if of == id));
    }
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn ten_equal_requests_at_once_hold_the_money_once() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let requests = (0..10).map(|_| bench.authorize(id, 10_000, "tok_slow_50"));
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer.unwrap().id, id);
    }
    bench.until_state(id, State::Authorized).await;
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn processing_left_by_a_crash_before_the_provider_acted_is_resumed() {
    left_by_a_crash("tok_timeout_before").await;
}

#[tokio::test]
async fn processing_left_by_a_crash_after_the_provider_acted_is_resumed() {
    left_by_a_crash("tok_timeout_after").await;
}

async fn left_by_a_crash(token: &str) {
    let bench = Bench::start().await;
    let id = new_id();
    bench.left_in_the_middle(card(id, 10_000, token), 1).await;
    let left = bench.payments.get(id).await.unwrap();
    assert_eq!(left.standing().state, State::Processing);
    bench.until_state(id, State::Authorized).await;
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_provider_killed_and_restarted_is_asked_until_it_answers() {
    let mut bench = Bench::start().await;
    let (held, absent) = (new_id(), new_id());
    bench.authorize(held, 10_000, "tok_timeout_after").await.unwrap();
    bench.psp.kill();
    let lost = bench.authorize(absent, 5_000, "tok_visa").await.unwrap();
    assert_eq!(lost.standing().state, State::Unknown);
    bench.psp.restart().await;
    for id in [held, absent] {
        bench.until_state(id, State::Authorized).await;
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn callers_who_ask_all_the_time_do_not_put_the_resolver_off() {
    let bench = Bench::start().await;
    let id = new_id();
    for _ in 0..20 {
        bench.authorize(id, 10_000, "tok_outage_600").await.unwrap();
    }
    bench.until_state(id, State::Authorized).await;
    bench.assert_agreed(id).await;
}
