//! What the provider tells by itself: once, whenever it comes, and only when it is signed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_kit::clock::Clock;
use stampede_payment::{Error, State};
use stampede_types::PaymentId;
use uuid::Uuid;

use crate::bench::{Bench, TIMEOUT, WEBHOOK_KEY, eur, new_id, service_with};

/// `t=,v1=` of the body, made that many seconds ago.
fn signed(body: &str, key: &str, seconds_ago: i64) -> String {
    let at = (Clock::system().now().unix_timestamp() - seconds_ago).to_string();
    let secret = hex::decode(key.split_once(':').unwrap().1).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(&at).chain_update(b".");
    format!("t={at},v1={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

pub fn message(id: PaymentId, event: &str, what: &str, reference: &str, amount_minor: i64) -> String {
    json!({
        "id": event, "type": what, "payment": id.to_string(), "reference": reference,
        "amount_minor": amount_minor, "currency": "EUR",
    })
    .to_string()
}

impl Bench {
    /// Something that nobody here asked for, told by a signed webhook.
    pub async fn desk(&self, id: PaymentId, what: &str, reference: &str, amount_minor: i64) {
        let body = message(id, &format!("{what}-{reference}"), what, reference, amount_minor);
        self.receive(&body).await.unwrap();
    }

    pub async fn receive(&self, body: &str) -> Result<(), Error> {
        self.payments.receive("simulator", body.as_bytes(), &signed(body, WEBHOOK_KEY, 0)).await
    }

    pub async fn conflicts(&self, id: PaymentId) -> Vec<(Option<String>, Option<String>, Option<i64>)> {
        sqlx::query_as(
            "SELECT kind, provider_reference, amount_minor FROM payment_conflict WHERE payment_id = $1",
        )
        .bind(id.uuid())
        .fetch_all(&self.database.pool)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn what_is_not_signed_or_signed_long_ago_or_of_nobody_is_refused_and_leaves_nothing() {
    let bench = Bench::without_resolver().await;
    let body = message(bench.captured("tok_visa").await, "e1", "refunded_by_hand", "r1", 100);
    let other = "other:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    let receive = async |provider: &str, body: &str, signature: String| {
        bench.payments.receive(provider, body.as_bytes(), &signature).await.unwrap_err()
    };
    assert!(matches!(receive("simulator", &body, signed(&body, other, 0)).await, Error::Unsigned(_)));
    assert!(matches!(receive("simulator", &body, signed(&body, WEBHOOK_KEY, 400)).await, Error::Unsigned(_)));
    let changed = body.replace("100", "101");
    assert!(matches!(
        receive("simulator", &changed, signed(&body, WEBHOOK_KEY, 0)).await,
        Error::Unsigned(_)
    ));
    assert!(matches!(receive("stripe", &body, signed(&body, WEBHOOK_KEY, 0)).await, Error::NoProvider));
    let nonsense = "{}";
    let refused = receive("simulator", nonsense, signed(nonsense, WEBHOOK_KEY, 0)).await;
    assert!(matches!(refused, Error::Invalid { field: "payload", .. }));
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM webhook").fetch_one(&bench.database.pool).await.unwrap();
    assert_eq!(kept, 0);
    // With the other key added the same message is good: rotation.
    let rotated = service_with(&bench.database, &bench.psp, TIMEOUT, [WEBHOOK_KEY, other]);
    rotated.receive("simulator", body.as_bytes(), &signed(&body, other, 0)).await.unwrap();
    assert_eq!(bench.webhooks("APPLIED").await, 1);
}

#[tokio::test]
async fn edge_case_8_a_webhook_that_comes_twice_has_one_effect_and_is_taken_both_times() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    let body = message(id, "e1", "refunded_by_hand", "r1", 4_000);
    let (one, two) = tokio::join!(bench.receive(&body), bench.receive(&body));
    one.and(two).unwrap();
    bench.receive(&body).await.unwrap();
    // The same thing under another name is the same thing.
    bench.receive(&message(id, "e2", "refunded_by_hand", "r1", 4_000)).await.unwrap();
    assert_eq!(bench.payments.get(id).await.unwrap().amounts().refunded_minor, 4_000);
    assert_eq!(bench.webhooks("APPLIED").await, 2);

    let told = Bench::told().await;
    let id = new_id();
    told.authorize(id, 10_000, "tok_webhook_twice__capture_webhook_twice").await.unwrap();
    told.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
    // Two rows of four messages that were all answered with 2xx.
    told.until_taken(4).await;
    assert_eq!(told.webhooks("APPLIED").await, 2);
    told.assert_agreed(id).await;
}

#[tokio::test]
async fn edge_case_9_another_amount_under_a_known_name_is_kept_as_a_row_and_the_first_fact_stays() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    bench.receive(&message(id, "e1", "refunded_by_hand", "r1", 4_000)).await.unwrap();
    bench.receive(&message(id, "e2", "refunded_by_hand", "r1", 4_001)).await.unwrap();
    let payment = bench.payments.get(id).await.unwrap();
    assert_eq!((payment.standing().state, payment.amounts().refunded_minor), (State::Conflicted, 4_000));
    // What was refused once is not refused once more when it comes again.
    bench.receive(&message(id, "e2", "refunded_by_hand", "r1", 4_001)).await.unwrap();
    let kept = (Some("REFUNDED".to_owned()), Some("r1".to_owned()), Some(4_001));
    assert_eq!(bench.conflicts(id).await, [kept]);
    assert_eq!(bench.webhooks("REFUSED").await, 1);
    // Another payment cannot have it either.
    let other = bench.captured("tok_visa").await;
    bench.receive(&message(other, "e3", "refunded_by_hand", "r1", 4_000)).await.unwrap();
    let payment = bench.payments.get(other).await.unwrap();
    assert_eq!((payment.standing().state, payment.amounts().refunded_minor), (State::Conflicted, 0));
    assert_eq!(bench.conflicts(other).await.len(), 1);
}

#[tokio::test]
async fn a_webhook_with_a_wrong_amount_is_a_conflict_whether_it_comes_before_or_after_the_answer() {
    let bench = Bench::told().await;
    for token in [
        "tok_visa__capture_webhook_wrong_amount",
        "tok_visa__capture_webhook_wrong_amount__capture_webhook_early",
    ] {
        let id = new_id();
        bench.authorize(id, 10_000, token).await.unwrap();
        // What the call says is true; that the two differ is for a person.
        let _ = bench.payments.capture(id, Uuid::now_v7(), None).await;
        let payment = bench.until_state(id, State::Conflicted).await;
        assert_eq!(payment.amounts().captured_minor, 10_000, "{token}");
        let kinds = bench.conflicts(id).await;
        assert!(kinds.iter().any(|kept| kept.2 == Some(10_001)), "{kinds:?}");
    }
}

#[tokio::test]
async fn edge_case_10_webhooks_out_of_order_end_in_the_same_amounts() {
    let bench = Bench::without_resolver().await;
    let mut amounts = Vec::new();
    for reversed in [false, true] {
        let id = bench.captured("tok_visa").await;
        let name = |what: &str| format!("{what}-{reversed}");
        let mut told = [
            message(id, &name("e1"), "refunded_by_hand", &name("r1"), 3_000),
            message(id, &name("e2"), "refund_reversed", &name("r1"), 3_000),
            message(id, &name("e3"), "dispute_opened", &name("d1"), 2_000),
            message(id, &name("e4"), "dispute_won", &name("d1"), 1_500),
            message(id, &name("e5"), "dispute_lost", &name("d1"), 500),
            message(id, &name("e6"), "refunded_by_hand", &name("r2"), 1_000),
        ];
        if reversed {
            told.reverse();
        }
        for body in told {
            bench.receive(&body).await.unwrap();
        }
        amounts.push(bench.payments.get(id).await.unwrap().amounts());
    }
    assert_eq!(amounts[0], amounts[1]);
    assert_eq!(
        (amounts[0].refunded_minor, amounts[0].disputed_minor, amounts[0].lost_minor),
        (1_000, 500, 500)
    );
    assert_eq!((bench.webhooks("APPLIED").await, bench.webhooks("PARKED").await), (12, 0));
}

#[tokio::test]
async fn edge_case_11_a_webhook_before_our_own_answer_is_stored_is_applied_and_one_before_its_payment_is_parked()
 {
    let bench = Bench::told().await;
    let early = new_id();
    // Told of each step before the call about it is answered, and of the first two never answered.
    let token = "tok_webhook_early__timeout_after__capture_webhook_early__capture_timeout_after__refund_webhook_early";
    let payment = bench.authorize(early, 10_000, token).await.unwrap();
    assert_eq!(payment.standing().state, State::Authorized);
    let _ = bench.payments.capture(early, Uuid::now_v7(), None).await;
    bench.until_state(early, State::Captured).await;
    bench.payments.refund(early, Uuid::now_v7(), Some(eur(1_000))).await.unwrap();
    bench.assert_agreed(early).await;

    let late = new_id();
    bench.receive(&message(late, "e1", "dispute_opened", "d1", 700)).await.unwrap();
    assert_eq!(bench.webhooks("PARKED").await, 1);
    bench.authorize(late, 10_000, "tok_visa").await.unwrap();
    bench.payments.capture(late, Uuid::now_v7(), None).await.unwrap();
    bench.until(late, |payment| payment.amounts().disputed_minor == 700).await;
    assert_eq!(bench.webhooks("PARKED").await, 0);
}

#[tokio::test]
async fn late_and_reordered_webhooks_without_a_resolver_still_end_every_attempt() {
    let bench = Bench::told().await;
    for token in [
        "tok_timeout_after__webhook_late_1500",
        "tok_error_500_after__webhook_reordered",
        "tok_visa__capture_timeout_after__capture_webhook_reordered",
    ] {
        let id = new_id();
        bench.authorize(id, 10_000, token).await.unwrap();
        bench.until_state(id, State::Authorized).await;
        let _ = bench.payments.capture(id, Uuid::now_v7(), None).await;
        bench.until_state(id, State::Captured).await;
        bench.assert_agreed(id).await;
    }
}

#[tokio::test]
async fn edge_case_26_a_dispute_after_a_refund_leaves_nothing_to_give_back() {
    let bench = Bench::told().await;
    let id = bench.captured("tok_visa").await;
    bench.payments.refund(id, Uuid::now_v7(), Some(eur(4_000))).await.unwrap();
    bench.psp.happens(id, "dispute_opened", "d1", 10_000).await;
    bench.until(id, |payment| payment.amounts().disputed_minor == 10_000).await;
    let refused = bench.payments.refund(id, Uuid::now_v7(), Some(eur(1))).await;
    assert!(matches!(refused, Err(Error::Exceeded { left_minor: Some(0) })), "{refused:?}");
    bench.psp.happens(id, "dispute_won", "d1", 10_000).await;
    bench.until(id, |payment| payment.amounts().disputed_minor == 0).await;
    bench.payments.refund(id, Uuid::now_v7(), Some(eur(6_000))).await.unwrap();
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn a_refund_that_comes_back_may_be_given_again_and_a_hold_that_lapses_is_expired() {
    let bench = Bench::told().await;
    let id = bench.captured("tok_visa").await;
    let refunded = bench.payments.refund(id, Uuid::now_v7(), None).await.unwrap();
    let reference = refunded.events.last().unwrap().reference.clone().unwrap();
    bench.psp.happens(id, "refund_reversed", &reference, 10_000).await;
    bench.until(id, |payment| payment.amounts().refunded_minor == 0).await;
    bench.payments.refund(id, Uuid::now_v7(), None).await.unwrap();
    bench.assert_agreed(id).await;

    let held = new_id();
    bench.authorize(held, 10_000, "tok_visa").await.unwrap();
    bench.psp.happens(held, "authorization_expired", "x1", 10_000).await;
    bench.until_state(held, State::Expired).await;
    let refused = bench.payments.capture(held, Uuid::now_v7(), None).await;
    assert!(matches!(refused, Err(Error::Illegal(step)) if step.state == State::Expired));
    bench.assert_agreed(held).await;
}

#[tokio::test]
async fn what_waits_longer_than_anything_takes_is_left_to_a_person() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    bench.receive(&message(id, "e1", "refund_reversed", "nobody", 100)).await.unwrap();
    bench.receive(&message(new_id(), "e2", "dispute_opened", "d9", 100)).await.unwrap();
    assert_eq!(bench.webhooks("PARKED").await, 2);
    sqlx::query("UPDATE webhook SET received_at = now() - interval '4 days', next_try_at = now()")
        .execute(&bench.database.pool)
        .await
        .unwrap();
    assert_eq!(bench.payments.hear_due().await.unwrap(), 2);
    assert_eq!(bench.webhooks("REFUSED").await, 2);
    assert_eq!(bench.payments.get(id).await.unwrap().standing().state, State::Conflicted);
    let kept: Vec<Value> = bench.conflicts(id).await.into_iter().map(|kept| json!(kept)).collect();
    assert_eq!(kept, [json!(["REFUND_REVERSED", "nobody", 100])]);
}
