//! Two live providers: who is asked, who is asked next, and where the money is at the end.

use stampede_kit::refusal::reason_of;
use stampede_payment::{Authorize, Error, Method, MethodKind, State, Terms, Token};
use stampede_types::{Money, PaymentId};
use tonic::Status;
use uuid::Uuid;

use crate::bench::{Bench, card, eur, new_id};

const CARD: &str = "card=simulator>simulator-b";

fn with(id: PaymentId, kind: MethodKind, token: &str, currency: &str) -> Authorize {
    let Authorize { payment, terms } = card(id, 10_000, token);
    let method = Method { kind, token: Token::new(token) };
    let amount = Money::new(10_000, currency.parse().unwrap());
    Authorize { payment, terms: Terms { method, amount, ..terms } }
}

#[tokio::test]
async fn a_method_and_a_currency_lead_to_their_provider_and_all_that_follows_goes_there() {
    let (bench, b) = Bench::pair(&["card=simulator", "card/USD=simulator-b", "alipay=simulator-b"]).await;
    for (kind, token, currency, at_b) in [
        (MethodKind::Card, "tok_visa", "EUR", 0),
        (MethodKind::Card, "tok_visa", "USD", 10_000),
        (MethodKind::Alipay, "session-1", "CNY", 10_000),
    ] {
        let id = new_id();
        bench.payments.authorize(with(id, kind, token, currency)).await.unwrap();
        bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
        bench
            .payments
            .refund(id, Uuid::now_v7(), Some(Money::new(4_000, currency.parse().unwrap())))
            .await
            .unwrap();
        for what in ["authorized_minor", "captured_minor"] {
            assert_eq!(
                (b.number(id, what).await, bench.truth(id, what).await),
                (at_b, 10_000 - at_b),
                "{what}"
            );
        }
        assert_eq!(b.number(id, "refunded_minor").await + bench.truth(id, "refunded_minor").await, 4_000);
        bench.assert_booked(id, 0, 6_000).await;
    }
}

#[tokio::test]
async fn what_nobody_takes_is_refused_with_its_reason_and_leaves_nothing() {
    let (bench, _b) = Bench::pair(&["card=simulator"]).await;
    let id = new_id();
    let refused =
        bench.payments.authorize(with(id, MethodKind::WechatPay, "session-1", "CNY")).await.unwrap_err();
    assert_eq!(reason_of(&Status::from(refused)).as_deref(), Some("PAYMENT_UNROUTABLE"));
    assert!(matches!(bench.payments.get(id).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_provider_that_cannot_is_followed_by_the_next_in_the_same_call() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    let id = new_id();
    for _ in 0..2 {
        let payment = bench.authorize(id, 10_000, "tok_at_a_declined_issuer_unavailable").await.unwrap();
        assert_eq!((payment.standing().state, payment.decline), (State::Authorized, None));
    }
    bench.payments.capture(id, Uuid::now_v7(), Some(eur(6_000))).await.unwrap();
    let rest = bench.payments.void(id).await.unwrap();
    assert_eq!((rest.standing().state, rest.amounts().voided_minor), (State::Captured, 4_000));
    assert_eq!((bench.truth(id, "declines").await, bench.truth(id, "authorizations").await), (1, 0));
    assert_eq!((b.number(id, "captured_minor").await, b.number(id, "voided_minor").await), (6_000, 4_000));
    bench.assert_booked(id, 0, 6_000).await;
}

#[tokio::test]
async fn what_speaks_against_the_buyer_is_not_asked_elsewhere() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    let id = new_id();
    let payment = bench.authorize(id, 10_000, "tok_at_a_declined_insufficient_funds").await.unwrap();
    assert_eq!(
        (payment.standing().state, payment.decline.as_deref()),
        (State::Failed, Some("insufficient_funds"))
    );
    assert_eq!(b.number(id, "authorizations").await, 0);
}

#[tokio::test]
async fn while_the_first_is_not_known_nobody_else_is_asked() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    for token in ["tok_at_a_timeout_after", "tok_at_a_timeout_before", "tok_at_a_outage_1500"] {
        let id = new_id();
        bench.authorize(id, 10_000, token).await.unwrap();
        bench.until_state(id, State::Authorized).await;
        assert_eq!(
            (bench.truth(id, "authorizations").await, b.number(id, "authorizations").await),
            (1, 0),
            "{token}"
        );
        bench.assert_booked(id, 10_000, 0).await;
    }
}

#[tokio::test]
async fn a_crash_between_the_two_providers_is_resumed_at_the_second() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    for token in [
        "tok_at_a_declined_processing_error__at_b_timeout_before",
        "tok_at_a_declined_processing_error__at_b_timeout_after",
    ] {
        let id = new_id();
        // The second was begun with the decline of the first.
        bench.left_in_the_middle(card(id, 10_000, token), 2).await;
        bench.until_state(id, State::Authorized).await;
        assert_eq!((b.number(id, "authorizations").await, bench.truth(id, "declines").await), (1, 1));
        bench.assert_booked(id, 10_000, 0).await;
    }
}

#[tokio::test]
async fn a_decline_that_is_told_before_it_is_answered_leads_on_once() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_at_a_declined_do_not_honour__at_a_webhook_early").await.unwrap();
    bench.until_state(id, State::Authorized).await;
    assert_eq!((bench.truth(id, "declines").await, b.number(id, "authorizations").await), (1, 1));
    bench.assert_booked(id, 10_000, 0).await;
}

#[tokio::test]
async fn when_all_providers_cannot_the_payment_has_failed() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    let id = new_id();
    let payment = bench.authorize(id, 10_000, "tok_declined_issuer_unavailable").await.unwrap();
    assert_eq!(
        (payment.standing().state, payment.decline.as_deref()),
        (State::Failed, Some("issuer_unavailable"))
    );
    assert_eq!((bench.truth(id, "declines").await, b.number(id, "declines").await), (1, 1));
}

#[tokio::test]
async fn a_hold_that_turns_up_at_the_first_provider_is_let_go_there() {
    let (bench, b) = Bench::pair(&[CARD]).await;
    let id = new_id();
    let payment = bench.authorize(id, 10_000, "tok_at_a_declined_issuer_unavailable").await.unwrap();
    let first = payment.attempts.iter().find(|attempt| attempt.provider == "simulator").unwrap().id;
    bench.psp.happens(id, "held_after_all", &first.to_string(), 0).await;
    let settled = bench
        .until(id, |payment| {
            payment.totals().voided_minor == 10_000 && payment.attempts.iter().all(|a| !a.is_open())
        })
        .await;
    assert_eq!((settled.standing().state, settled.conflict), (State::Authorized, None));
    assert_eq!((bench.truth(id, "voided_minor").await, b.number(id, "voided_minor").await), (10_000, 0));
    bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
    assert_eq!((bench.truth(id, "captured_minor").await, b.number(id, "captured_minor").await), (0, 10_000));
    bench.assert_booked(id, 0, 10_000).await;
}

#[tokio::test]
async fn a_webhook_of_the_wrong_provider_is_a_conflict() {
    let (bench, b) = Bench::pair(&["card=simulator"]).await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    // Somebody used our name for a payment of his own at the other provider.
    let key = bench.payments.get(id).await.unwrap().attempts[0].id;
    let body = serde_json::json!({
        "payment": id.to_string(), "amount_minor": 10_000, "currency": "EUR", "source": "tok_visa",
    });
    let request = reqwest::Client::new().post(format!("{}/v1/authorizations", b.url())).json(&body);
    request.header("idempotency-key", key.to_string()).send().await.unwrap();
    let payment = bench.until_state(id, State::Conflicted).await;
    assert_eq!(payment.amounts().authorized_minor, 10_000);
}
