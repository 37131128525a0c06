//! Capturing: what is authorised, once, and never more.

use stampede_payment::{Authorize, CaptureMode, Error, State, Terms};
use stampede_types::PaymentId;
use uuid::Uuid;

use crate::bench::{Bench, card, eur, new_id};

#[tokio::test]
async fn a_capture_takes_all_that_is_left_and_the_same_id_takes_it_once() {
    let bench = Bench::without_resolver().await;
    let (id, capture) = (new_id(), Uuid::now_v7());
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    for _ in 0..2 {
        let payment = bench.payments.capture(id, capture, None).await.unwrap();
        assert_eq!((payment.standing().state, payment.amounts().captured_minor), (State::Captured, 10_000));
    }
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn an_automatic_payment_is_captured_by_the_call_that_authorises_it_and_once() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    for _ in 0..2 {
        let payment = bench.payments.authorize(automatic(id, "tok_visa")).await.unwrap();
        assert_eq!((payment.standing().state, payment.amounts().captured_minor), (State::Captured, 10_000));
    }
    let manual = bench.authorize(id, 10_000, "tok_visa").await;
    assert!(matches!(manual, Err(Error::Conflict(_))), "another mode is another payment");
    assert_eq!(bench.truth(id, "captures").await, 1);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn an_automatic_payment_whose_answers_are_lost_is_captured_by_the_resolver() {
    let bench = Bench::start().await;
    for token in ["tok_timeout_after", "tok_visa__capture_timeout_after", "tok_visa__capture_timeout_before"]
    {
        let id = new_id();
        bench.payments.authorize(automatic(id, token)).await.unwrap();
        bench.until_state(id, State::Captured).await;
        assert_eq!(bench.truth(id, "captures").await, 1);
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn an_automatic_payment_that_is_voided_while_it_is_unknown_is_never_captured() {
    let bench = Bench::start().await;
    let id = new_id();
    bench.payments.authorize(automatic(id, "tok_timeout_after")).await.unwrap();
    let voided = bench.payments.void(id).await;
    let payment = bench.until(id, |payment| payment.attempts.iter().all(|attempt| !attempt.is_open())).await;
    let expected = if voided.is_ok() { State::Voided } else { State::Captured };
    assert_eq!(payment.standing().state, expected);
    bench.assert_agreed(id).await;
}

fn automatic(id: PaymentId, token: &str) -> Authorize {
    let asked = card(id, 10_000, token);
    Authorize { terms: Terms { capture: CaptureMode::Automatic, ..asked.terms }, ..asked }
}

#[tokio::test]
async fn captures_of_sixty_and_sixty_of_one_hundred_at_once_take_sixty() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 100, "tok_visa__capture_slow_100").await.unwrap();
    let capture = || bench.payments.capture(id, Uuid::now_v7(), Some(eur(60)));
    let (a, b) = tokio::join!(capture(), capture());
    let refused = if a.is_ok() { b } else { a };
    assert!(matches!(refused, Err(Error::Exceeded { .. })), "{refused:?}");
    let payment = bench.payments.get(id).await.unwrap();
    assert_eq!((payment.standing().state, payment.amounts().captured_minor), (State::PartiallyCaptured, 60));
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_capture_whose_answer_is_lost_is_asked_for_and_never_done_twice() {
    for token in ["tok_visa__capture_timeout_after", "tok_visa__capture_timeout_before"] {
        let bench = Bench::start().await;
        let (id, capture) = (new_id(), Uuid::now_v7());
        bench.authorize(id, 10_000, token).await.unwrap();
        let lost = bench.payments.capture(id, capture, None).await;
        assert!(matches!(lost, Err(Error::Unknown)), "{lost:?}");
        bench.until_state(id, State::Captured).await;
        bench.payments.capture(id, capture, None).await.unwrap();
        assert_eq!(bench.truth(id, "captures").await, 1);
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn a_declined_capture_gives_its_reservation_back_and_says_its_class_again() {
    let bench = Bench::without_resolver().await;
    let (id, capture) = (new_id(), Uuid::now_v7());
    bench.authorize(id, 10_000, "tok_visa__capture_declined_authorization_expired").await.unwrap();
    for _ in 0..2 {
        let refused = bench.payments.capture(id, capture, None).await;
        assert!(
            matches!(&refused, Err(Error::Declined(class)) if class == "authorization_expired"),
            "{refused:?}"
        );
    }
    let payment = bench.payments.get(id).await.unwrap();
    assert_eq!((payment.standing().state, payment.standing().pending.capture_minor), (State::Authorized, 0));
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn the_same_capture_with_another_amount_is_a_conflict() {
    let bench = Bench::without_resolver().await;
    let (id, capture) = (new_id(), Uuid::now_v7());
    bench.authorize(id, 100, "tok_visa").await.unwrap();
    bench.payments.capture(id, capture, Some(eur(40))).await.unwrap();
    let refused = bench.payments.capture(id, capture, Some(eur(41))).await;
    assert!(matches!(refused, Err(Error::Conflict(_))));
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn what_is_not_authorised_is_not_captured() {
    let bench = Bench::without_resolver().await;
    let declined = new_id();
    bench.authorize(declined, 100, "tok_declined_do_not_honour").await.unwrap();
    let refused = bench.payments.capture(declined, Uuid::now_v7(), None).await;
    assert!(matches!(refused, Err(Error::Illegal(step)) if step.state == State::Failed));
    let nothing = bench.payments.capture(new_id(), Uuid::now_v7(), None).await;
    assert!(matches!(nothing, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn another_currency_and_no_amount_are_refused_by_field() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 100, "tok_visa").await.unwrap();
    let dollars = stampede_types::Money::new(50, "USD".parse().unwrap());
    for (amount, path) in [(dollars, "amount.currency"), (eur(0), "amount.amount_minor")] {
        let refused = bench.payments.capture(id, Uuid::now_v7(), Some(amount)).await;
        assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == path));
    }
}

/// A capture of nothing under this name becomes a fact of the payment.
pub async fn captured_nothing(bench: &Bench, payment: PaymentId, reference: &str) {
    sqlx::query(
        "INSERT INTO payment_event (event_id, payment_id, kind, amount_minor, provider, provider_reference, at)
         VALUES ($1, $2, 'CAPTURED', 0, 'simulator', $3, now())",
    )
    .bind(Uuid::now_v7())
    .bind(payment.uuid())
    .bind(reference.to_owned())
    .execute(&bench.database.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_reference_that_belongs_to_another_fact_is_a_conflict_and_the_first_fact_stays() {
    let bench = Bench::without_resolver().await;
    let (first, second, capture) = (bench.captured("tok_visa").await, new_id(), Uuid::now_v7());
    bench.authorize(second, 10_000, "tok_visa").await.unwrap();
    // The simulator names a capture after its key: this name is given to another payment's fact beforehand.
    let reference = format!("cap_{}", second.derive(&format!("CAPTURE/{capture}")));
    captured_nothing(&bench, first, &reference).await;
    for _ in 0..2 {
        let refused = bench.payments.capture(second, capture, None).await;
        assert!(
            matches!(&refused, Err(Error::Illegal(step)) if step.state == State::Conflicted),
            "{refused:?}"
        );
    }
    let payment = bench.payments.get(second).await.unwrap();
    assert_eq!((payment.standing().state, payment.amounts().captured_minor), (State::Conflicted, 0));
    let kept: (String, i64) =
        sqlx::query_as("SELECT provider_reference, amount_minor FROM payment_conflict WHERE payment_id = $1")
            .bind(second.uuid())
            .fetch_one(&bench.database.pool)
            .await
            .unwrap();
    assert_eq!(kept, (reference, 10_000));
}
