//! Several tenders on one payment: all or none, with every answer lost, refused, late or crossed by a void.

use prost::Message as _;
use stampede_payment::{Authorize, Error, Method, MethodKind, Payment, State, Tender, Terms, Token};
use stampede_proto::event::v1::Event;
use stampede_proto::event::v1::event::Fact;
use stampede_types::PaymentId;
use uuid::Uuid;

use crate::bench::{Bench, card, eur, new_id};

/// A gift card of 30.00 and a card for 70.00.
fn split(id: PaymentId, gift: &str, bank: &str) -> Authorize {
    let asked = card(id, 10_000, "tok_visa");
    let tender = |kind, token: &str, amount| {
        let method = Method { kind, token: Token::new(token) };
        Tender { amount: eur(amount), method }
    };
    let tenders = vec![tender(MethodKind::StoredValue, gift, 3_000), tender(MethodKind::Card, bank, 7_000)];
    Authorize { terms: Terms { method: Method::tenders(), tenders, ..asked.terms }, ..asked }
}

fn part(id: PaymentId, place: usize) -> PaymentId {
    PaymentId::new(id.derive(&format!("tender/{place}")))
}

impl Bench {
    async fn split(&self, id: PaymentId, gift: &str, bank: &str) -> Result<Payment, Error> {
        self.payments.authorize(split(id, gift, bank)).await
    }

    /// Each tender agrees with the provider and the books, and this much of both is held and taken.
    async fn assert_all_agreed(&self, id: PaymentId, held: i64, taken: i64) {
        let payment = self.payments.get(id).await.unwrap();
        for part in &payment.parts {
            self.assert_agreed(part.id).await;
        }
        let amounts = payment.amounts();
        let (left, kept) = (
            amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor,
            amounts.captured_minor - amounts.refunded_minor,
        );
        assert_eq!((left, kept), (held, taken), "{payment:?}");
    }

    /// The same with the state beside each.
    async fn told_of(&self, id: PaymentId) -> Vec<String> {
        let told: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT subject, payload FROM outbox WHERE event_key = $1 ORDER BY position")
                .bind(id.to_string())
                .fetch_all(&self.database.pool)
                .await
                .unwrap();
        let read = |(subject, payload): (String, Vec<u8>)| {
            let event = Event::decode(payload.as_slice()).unwrap();
            let Some(Fact::PaymentChanged(changed)) = event.fact else { panic!("{subject} says nothing") };
            assert_eq!(changed.payment_id, id.to_string());
            format!("{subject} {}", changed.state().as_str_name())
        };
        told.into_iter().map(read).collect()
    }

    /// What others heard of this payment, in order.
    pub async fn news(&self, id: PaymentId) -> Vec<String> {
        sqlx::query_scalar("SELECT subject FROM outbox WHERE event_key = $1 ORDER BY position")
            .bind(id.to_string())
            .fetch_all(&self.database.pool)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn edge_case_2_both_tenders_are_held_taken_and_given_back_as_one_payment() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let held = bench.split(id, "tok_visa", "tok_visa").await.unwrap();
    assert_eq!((held.standing().state, held.amounts().authorized_minor), (State::Authorized, 10_000));
    assert_eq!(bench.split(id, "tok_visa", "tok_visa").await.unwrap(), held, "the same again");
    let capture = Uuid::now_v7();
    for _ in 0..2 {
        let taken = bench.payments.capture(id, capture, Some(eur(10_000))).await.unwrap();
        assert_eq!(taken.standing().state, State::Captured);
    }
    bench.payments.refund(id, Uuid::now_v7(), Some(eur(8_000))).await.unwrap();
    assert_eq!(bench.truth(part(id, 1), "refunded_minor").await, 7_000, "the last tender first");
    assert_eq!(bench.truth(part(id, 0), "refunded_minor").await, 1_000);
    bench.assert_all_agreed(id, 0, 2_000).await;
    let heard = [
        "payment.authorized PAYMENT_STATE_PROCESSING",
        "payment.authorized PAYMENT_STATE_AUTHORIZED",
        "payment.captured PAYMENT_STATE_PARTIALLY_CAPTURED",
        "payment.captured PAYMENT_STATE_CAPTURED",
    ];
    assert_eq!(bench.told_of(id).await[..4], heard);
    assert!(bench.news(part(id, 0)).await.is_empty(), "nobody outside knows a part");
}

#[tokio::test]
async fn edge_case_2_a_refused_tender_lets_go_of_the_one_before() {
    let bench = Bench::start().await;
    let id = new_id();
    let failed = bench.split(id, "tok_visa", "tok_declined_insufficient_funds").await.unwrap();
    assert_eq!(failed.standing().state, State::Failed);
    assert_eq!(failed.decline.as_deref(), Some("insufficient_funds"));
    bench.until(id, |payment| payment.amounts().voided_minor == 3_000).await;
    bench.assert_all_agreed(id, 0, 0).await;
    assert_eq!(bench.payments.get(id).await.unwrap().standing().state, State::Failed);
    let late = bench.payments.capture(id, Uuid::now_v7(), None).await;
    assert!(matches!(late, Err(Error::Illegal(step)) if step.state == State::Failed));
}

#[tokio::test]
async fn the_first_that_is_refused_is_the_only_one_that_is_asked() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let failed = bench.split(id, "tok_declined_lost_card", "tok_visa").await.unwrap();
    assert_eq!((failed.standing().state, failed.parts.len()), (State::Failed, 1));
    bench.assert_all_agreed(id, 0, 0).await;
}

#[tokio::test]
async fn lost_answers_are_found_and_the_next_tender_is_asked_without_the_caller() {
    let bench = Bench::start().await;
    for (gift, bank) in [
        ("tok_timeout_after", "tok_timeout_after"),
        ("tok_timeout_before", "tok_error_500_after"),
        ("tok_error_500_once", "tok_outage_800"),
    ] {
        let id = new_id();
        bench.split(id, gift, bank).await.unwrap();
        bench.until_state(id, State::Authorized).await;
        bench.assert_all_agreed(id, 10_000, 0).await;
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_in_the_middle_leaves_nothing_half_asked_for() {
    let bench = Bench::start().await;
    for patience in [1, 10, 20, 40, 60, 80] {
        let id = new_id();
        let patience = std::time::Duration::from_millis(patience);
        // The caller's request is dropped wherever it is: its process may as well have died.
        let _ = tokio::time::timeout(patience, bench.split(id, "tok_slow_30", "tok_slow_30")).await;
        match bench.payments.get(id).await {
            Ok(_) => {
                bench.until_state(id, State::Authorized).await;
                bench.assert_all_agreed(id, 10_000, 0).await;
            }
            Err(error) => assert!(matches!(error, Error::NotFound(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_void_lets_go_of_what_is_held_and_of_what_is_not_known_yet() {
    let bench = Bench::start().await;
    for (gift, bank) in
        [("tok_timeout_after", "tok_visa"), ("tok_visa", "tok_timeout_after"), ("tok_visa", "tok_visa")]
    {
        let id = new_id();
        bench.split(id, gift, bank).await.unwrap();
        bench.payments.void(id).await.unwrap();
        bench.until_state(id, State::Voided).await;
        bench.assert_all_agreed(id, 0, 0).await;
        // What was not asked for by then is not asked for any more.
        let asked = bench.payments.get(id).await.unwrap().parts.len();
        assert_eq!(asked, if gift == "tok_timeout_after" { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_void_and_its_authorisation_at_once_leave_nothing_held_of_either() {
    let bench = Bench::start().await;
    for _ in 0..10 {
        let id = new_id();
        let (authorized, voided) =
            tokio::join!(bench.split(id, "tok_slow_20", "tok_slow_20"), bench.payments.void(id));
        authorized.unwrap();
        voided.unwrap();
        bench.until_state(id, State::Voided).await;
        if !bench.payments.get(id).await.unwrap().parts.is_empty() {
            bench.assert_all_agreed(id, 0, 0).await;
        }
    }
}

#[tokio::test]
async fn edge_case_2_a_capture_that_one_of_them_refuses_is_given_back_by_the_other() {
    let bench = Bench::start().await;
    let id = new_id();
    bench.split(id, "tok_visa", "tok_visa__capture_declined_expired_card").await.unwrap();
    let refused = bench.payments.capture(id, Uuid::now_v7(), None).await;
    assert!(matches!(refused, Err(Error::Declined(class)) if class == "expired_card"));
    // What the saga of an order does then: let go of what is held, give back what was taken.
    let left = bench.payments.void(id).await.unwrap();
    assert_eq!(left.standing().state, State::Captured);
    bench.payments.refund(id, Uuid::now_v7(), None).await.unwrap();
    bench.assert_all_agreed(id, 0, 0).await;
}

#[tokio::test]
async fn rival_refunds_of_two_tenders_never_give_back_more_than_was_taken() {
    let bench = Bench::without_resolver().await;
    for _ in 0..5 {
        let id = new_id();
        bench.split(id, "tok_visa", "tok_visa").await.unwrap();
        bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
        let refund = || bench.payments.refund(id, Uuid::now_v7(), Some(eur(6_000)));
        let (one, two) = tokio::join!(refund(), refund());
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|given| **given).count(), 1);
        bench.assert_all_agreed(id, 0, 4_000).await;
    }
}

#[tokio::test]
async fn other_tenders_under_the_same_id_are_refused_and_a_part_is_nobodys_to_move() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.split(id, "tok_visa", "tok_visa").await.unwrap();
    let other = bench.split(id, "tok_visa", "tok_mastercard").await;
    assert!(matches!(other, Err(Error::Conflict(_))));
    assert!(matches!(bench.authorize(id, 10_000, "tok_visa").await, Err(Error::Conflict(_))));
    let gift = part(id, 0);
    assert!(matches!(bench.payments.void(gift).await, Err(Error::NotFound(_))));
    assert!(matches!(bench.payments.capture(gift, Uuid::now_v7(), None).await, Err(Error::NotFound(_))));
    assert!(matches!(bench.authorize(gift, 3_000, "tok_visa").await, Err(Error::Conflict(_))));
    let capture = Uuid::now_v7();
    bench.payments.capture(id, capture, Some(eur(5_000))).await.unwrap();
    let more = bench.payments.capture(id, capture, Some(eur(6_000))).await;
    assert!(matches!(more, Err(Error::Conflict(_))));
    bench.assert_all_agreed(id, 5_000, 5_000).await;
}

#[tokio::test]
async fn a_tender_that_nobody_takes_begins_nothing() {
    let (bench, _b) = Bench::pair(&["card=simulator"]).await;
    let id = new_id();
    let refused = bench.split(id, "tok_visa", "tok_visa").await;
    assert!(matches!(refused, Err(Error::Unroutable { method: MethodKind::StoredValue, .. })));
    assert!(matches!(bench.payments.get(id).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_payer_who_has_to_do_something_for_the_second_keeps_the_first_waiting_and_no_longer() {
    let bench = Bench::start().await;
    let id = new_id();
    let asked = bench.split(id, "tok_visa", "tok_3ds_400").await.unwrap();
    assert_eq!(asked.standing().state, State::RequiresAction);
    assert!(asked.action().is_some());
    bench.until_state(id, State::Expired).await;
    bench.until(id, |payment| payment.amounts().voided_minor == 3_000).await;
    bench.assert_all_agreed(id, 0, 0).await;
}

const TOKENS: [&str; 7] = [
    "tok_visa",
    "tok_timeout_after__capture_timeout_after",
    "tok_error_500_after__refund_timeout_after",
    "tok_declined_insufficient_funds",
    "tok_slow_30__void_timeout_after",
    "tok_visa__capture_declined_expired_card",
    "tok_timeout_before__webhook_twice__capture_webhook_early__capture_timeout_before",
];

#[tokio::test]
async fn every_pair_of_misbehaviours_ends_with_all_of_the_money_or_none_of_it() {
    let (bench, _b) = Bench::pair(&["*=simulator>simulator-b"]).await;
    let stories = (0..TOKENS.len() * TOKENS.len()).map(async |at| {
        let (id, capture) = (new_id(), Uuid::now_v7());
        let asked = split(id, TOKENS[at / TOKENS.len()], TOKENS[at % TOKENS.len()]);
        bench.payments.authorize(asked).await.unwrap();
        let known = |payment: &Payment| matches!(payment.standing().state, State::Authorized | State::Failed);
        if bench.until(id, known).await.standing().state == State::Failed {
            bench.until(id, |payment| !payment.parts.iter().any(is_open)).await;
            return bench.assert_all_agreed(id, 0, 0).await;
        }
        let taken = loop {
            match bench.payments.capture(id, capture, None).await {
                Err(Error::Unknown) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                taken @ (Ok(_) | Err(_)) => break taken,
            }
        };
        match taken {
            Ok(_) => bench.assert_all_agreed(id, 0, 10_000).await,
            Err(Error::Declined(_)) => {
                bench.payments.void(id).await.unwrap();
                bench.until(id, |payment| !payment.parts.iter().any(is_open)).await;
                if bench.payments.get(id).await.unwrap().amounts().captured_minor > 0 {
                    bench.payments.refund(id, Uuid::now_v7(), None).await.unwrap();
                }
                bench.until(id, |payment| !payment.parts.iter().any(is_open)).await;
                bench.assert_all_agreed(id, 0, 0).await;
            }
            Err(error) => panic!("{error}"),
        }
    });
    futures::future::join_all(stories).await;
}

fn is_open(part: &Payment) -> bool {
    part.attempts.iter().any(|attempt| attempt.is_open())
}
