//! Voiding: before, during and after the authorisation, held money is let go and nothing is charged later.

use stampede_payment::{Error, State};
use uuid::Uuid;

use crate::bench::{Bench, card, eur, new_id};

#[tokio::test]
async fn held_money_is_let_go_once() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.payments.void(id).await.unwrap().standing().state, State::Voided);
    }
    let late = bench.payments.capture(id, Uuid::now_v7(), None).await;
    assert!(matches!(late, Err(Error::Illegal(step)) if step.state == State::Voided));
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_void_before_its_authorisation_prevents_it() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    assert_eq!(bench.payments.void(id).await.unwrap().standing().state, State::Voided);
    let late = bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    assert_eq!(late.standing().state, State::Voided);
    assert_eq!(bench.truth(id, "authorizations").await, 0);
}

#[tokio::test]
async fn a_void_and_its_authorisation_at_once_leave_nothing_held() {
    let bench = Bench::start().await;
    for _ in 0..10 {
        let id = new_id();
        let (authorized, voided) =
            tokio::join!(bench.authorize(id, 10_000, "tok_slow_20"), bench.payments.void(id));
        authorized.unwrap();
        voided.unwrap();
        bench.until_state(id, State::Voided).await;
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn a_void_of_an_unknown_payment_lets_go_of_what_was_held() {
    void_while_unknown("tok_timeout_after", 1).await;
}

#[tokio::test]
async fn a_void_of_an_unknown_payment_that_never_arrived_closes_it_at_the_provider() {
    void_while_unknown("tok_timeout_before", 0).await;
}

async fn void_while_unknown(token: &str, authorizations: i64) {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 10_000, token).await.unwrap();
    let waiting = bench.payments.void(id).await.unwrap();
    assert_eq!((waiting.standing().state, waiting.void_requested), (State::Unknown, true));
    while bench.payments.get(id).await.unwrap().standing().state != State::Voided {
        bench.payments.resolve_due().await.unwrap();
    }
    let again = bench.authorize(id, 10_000, token).await.unwrap();
    assert_eq!(again.standing().state, State::Voided);
    assert_eq!(bench.truth(id, "authorizations").await, authorizations);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_late_effect_after_the_payment_was_closed_is_refused_by_the_provider() {
    let bench = Bench::start().await;
    let id = new_id();
    // The effect comes 2.5 s after the request; by then the request is lost, voided and closed.
    bench.left_in_the_middle(card(id, 10_000, "tok_slow_2500"), 1).await;
    bench.payments.void(id).await.unwrap();
    bench.until_state(id, State::Voided).await;
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_void_whose_answer_is_lost_is_carried_to_its_end() {
    for token in ["tok_visa__void_timeout_after", "tok_visa__void_timeout_before"] {
        let bench = Bench::start().await;
        let id = new_id();
        bench.authorize(id, 10_000, token).await.unwrap();
        bench.payments.void(id).await.unwrap();
        bench.until_state(id, State::Voided).await;
        assert_eq!(bench.truth(id, "voids").await, 1);
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn a_void_of_a_hold_that_has_lapsed_unheard_ends_the_payment_as_expired() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    bench.psp.happens(id, "authorization_expired", "e1", 10_000).await;
    for _ in 0..2 {
        assert_eq!(bench.payments.void(id).await.unwrap().standing().state, State::Expired);
    }
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn the_rest_of_a_partial_capture_can_be_let_go_and_a_whole_one_cannot() {
    let bench = Bench::without_resolver().await;
    let (part, whole) = (new_id(), bench.captured("tok_visa").await);
    bench.authorize(part, 100, "tok_visa").await.unwrap();
    bench.payments.capture(part, Uuid::now_v7(), Some(eur(60))).await.unwrap();
    let rest = bench.payments.void(part).await.unwrap();
    assert_eq!((rest.standing().state, rest.amounts().voided_minor), (State::Captured, 40));
    let refused = bench.payments.void(whole).await;
    assert!(matches!(refused, Err(Error::Illegal(step)) if step.state == State::Captured));
    bench.assert_agreed(part).await;
}

#[tokio::test]
async fn a_capture_and_a_void_at_once_have_one_winner() {
    let bench = Bench::start().await;
    for _ in 0..10 {
        let id = new_id();
        bench.authorize(id, 100, "tok_visa").await.unwrap();
        let (captured, voided) =
            tokio::join!(bench.payments.capture(id, Uuid::now_v7(), None), bench.payments.void(id));
        assert_ne!(captured.is_ok(), voided.is_ok());
        bench.assert_agreed(id).await;
    }
}
