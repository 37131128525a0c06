//! Captured in parts, over a longer time than a hold lasts: what was not taken when a hold lapses is held again without anybody asking, and
//! nothing more than that, with answers lost, holds lapsing by themselves and callers going away.

use std::time::Duration;

use stampede_payment::{
    Authorize, CaptureMode, Error, MAX_REAUTHORIZATIONS, Operation, Payment, Reason, State, Terms,
};
use stampede_types::PaymentId;
use tokio::time::Instant;
use uuid::Uuid;

use crate::bench::{Bench, card, eur, new_id};

const ALL: i64 = 10_000;
/// What is refused for now is asked for again after this, and not longer than that.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);
/// Holds long enough for what happens before it lapses, also on a busy machine.
const SHORT: &str = "tok_hold_2000";
const THEN_LONG: &str = "again_hold_600000";

fn hold(id: PaymentId, place: usize) -> PaymentId {
    PaymentId::new(id.derive(&format!("tender/{place}")))
}

fn in_parts(id: PaymentId, token: &str) -> Authorize {
    let asked = card(id, ALL, token);
    Authorize { terms: Terms { capture: CaptureMode::Multiple, ..asked.terms }, ..asked }
}

/// Held again with what was left.
fn is_held(payment: &Payment, holds: usize, left_minor: i64) -> bool {
    let amounts = payment.amounts();
    payment.parts.len() >= holds
        && amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor == left_minor
}

fn is_quiet(payment: &Payment) -> bool {
    !payment.parts.iter().any(|part| part.attempts.iter().any(|attempt| attempt.is_open()))
}

impl Bench {
    async fn in_parts(&self, token: &str) -> PaymentId {
        let id = new_id();
        self.payments.authorize(in_parts(id, token)).await.unwrap();
        id
    }

    /// This token, and 60.00 of 100.00 taken before its hold lapses.
    async fn sixty(&self, token: &str) -> PaymentId {
        let id = self.in_parts(token).await;
        self.take(id, Some(6_000)).await;
        id
    }

    /// Captures as a caller does: it asks again while nothing is held, under another id when it was declined.
    async fn take(&self, id: PaymentId, amount: Option<i64>) {
        let (deadline, mut word) = (Instant::now() + PATIENCE, Uuid::now_v7());
        loop {
            match self.payments.capture(id, word, amount.map(eur)).await {
                Ok(_) => return,
                Err(Error::Unknown | Error::Illegal(_)) => {}
                Err(Error::Declined(_)) => word = Uuid::now_v7(),
                Err(error) => panic!("{error}"),
            }
            let stands = self.payments.get(id).await.unwrap();
            assert!(Instant::now() < deadline, "it is never taken: {stands:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Each hold agrees with its provider and the books; this much of all is held and taken, and never was more held than was left.
    async fn assert_renewed(&self, id: PaymentId, held: i64, taken: i64) {
        let payment = self.payments.get(id).await.unwrap();
        let mut left = ALL;
        for part in &payment.parts {
            self.assert_agreed(part.id).await;
            let authorized = self.truth(part.id, "authorized_minor").await;
            assert!(authorized == left || authorized == 0, "{authorized} held of {left}: {payment:?}");
            left -= part.amounts().captured_minor;
        }
        let amounts = payment.amounts();
        let now = amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor;
        assert_eq!((now, amounts.captured_minor), (held, taken), "{payment:?}");
    }

    async fn waits_for_a_person(&self, id: PaymentId) -> bool {
        let page = self.payments.stuck(0, "").await.unwrap();
        page.stuck.iter().any(|stuck| stuck.case.payment == id && stuck.case.reason == Reason::HoldLapsed)
    }
}

#[tokio::test]
async fn edge_case_3_what_is_left_when_a_hold_runs_out_is_held_again_and_captured() {
    let bench = Bench::start().await;
    let id = new_id();
    let asked = in_parts(id, &format!("{SHORT}__{THEN_LONG}"));
    let held = bench.payments.authorize(asked.clone()).await.unwrap();
    assert_eq!((held.standing().state, held.amounts().authorized_minor), (State::Authorized, ALL));
    assert!(held.hold_expires_at().is_some(), "the provider has said until when");
    bench.take(id, Some(6_000)).await;
    let again = bench.until(id, |payment| is_held(payment, 2, 4_000)).await;
    assert_eq!(again.standing().state, State::PartiallyCaptured);
    assert!(again.hold_expires_at() > held.hold_expires_at());
    let same = bench.payments.authorize(asked).await.unwrap();
    assert_eq!(same, again, "the same terms are the same payment");
    let too_much = bench.payments.capture(id, Uuid::now_v7(), Some(eur(4_001))).await;
    assert!(matches!(too_much, Err(Error::Exceeded { left_minor: Some(4_000) })), "{too_much:?}");
    let all = bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
    assert_eq!((all.standing().state, all.amounts().captured_minor), (State::Captured, ALL));
    assert_eq!(all.hold_expires_at(), None);
    bench.assert_renewed(id, 0, ALL).await;
    assert_eq!(bench.truth(hold(id, 0), "voided_minor").await, 4_000);
    assert_eq!(bench.truth(hold(id, 1), "authorized_minor").await, 4_000);
    assert!(!bench.waits_for_a_person(id).await, "what was held again is nobody's");
    bench.payments.refund(id, Uuid::now_v7(), Some(eur(5_000))).await.unwrap();
    assert_eq!(bench.truth(hold(id, 1), "refunded_minor").await, 4_000, "the last hold's first");
}

#[tokio::test]
async fn edge_case_3_a_lapse_that_the_provider_tells_is_followed_like_one_that_we_make() {
    let (bench, _b) = Bench::pair(&["*=simulator"]).await;
    let id = bench.sixty("tok_visa").await;
    bench.psp.happens(hold(id, 0), "authorization_expired", "e1", 4_000).await;
    bench.until(id, |payment| is_held(payment, 2, 4_000)).await;
    bench.take(id, None).await;
    bench.assert_renewed(id, 0, ALL).await;
    let heard =
        ["authorized", "captured", "expired", "authorized", "captured"].map(|fact| format!("payment.{fact}"));
    assert_eq!(bench.news(id).await, heard);
    assert!(bench.news(hold(id, 1)).await.is_empty(), "nobody outside knows a hold");
    let waiting = bench.payments.stuck(0, "").await.unwrap().stuck;
    assert!(waiting.is_empty(), "what was held again is nobody's: {waiting:?}");
    let untouched = bench.in_parts("tok_visa__mark_1").await;
    bench.psp.happens(hold(untouched, 0), "authorization_expired", "e2", ALL).await;
    bench.until(untouched, |payment| is_held(payment, 2, ALL)).await;
    bench.take(untouched, None).await;
    bench.assert_renewed(untouched, 0, ALL).await;
}

#[tokio::test]
async fn edge_case_3_a_capture_that_is_declined_leaves_the_hold_for_another_one() {
    let bench = Bench::start().await;
    let id = bench.in_parts(&format!("{SHORT}__capture_declined_once_issuer_unavailable__{THEN_LONG}")).await;
    for holds in [1, 2] {
        let left = if holds == 1 { ALL } else { 4_000 };
        bench.until(id, |payment| is_held(payment, holds, left)).await;
        let declined = bench.payments.capture(id, Uuid::now_v7(), None).await;
        assert!(matches!(declined, Err(Error::Declined(class)) if class == "issuer_unavailable"));
        let share = if holds == 1 { Some(6_000) } else { None };
        bench.payments.capture(id, Uuid::now_v7(), share.map(eur)).await.unwrap();
    }
    bench.assert_renewed(id, 0, ALL).await;
    assert_eq!(bench.payments.get(id).await.unwrap().parts.len(), 2);
}

#[tokio::test]
async fn edge_case_3_a_rest_that_is_declined_ends_the_payment_and_waits_for_a_person() {
    let bench = Bench::start().await;
    let token = format!("{SHORT}__again_declined_insufficient_funds");
    for (mark, taken, end) in [(0, 6_000, State::Captured), (1, 0, State::Failed)] {
        let id = bench.in_parts(&format!("{token}__mark_{mark}")).await;
        if taken > 0 {
            bench.take(id, Some(taken)).await;
        }
        let ended = bench.until_state(id, end).await;
        assert_eq!((ended.decline.as_deref(), ended.parts.len()), (Some("insufficient_funds"), 2));
        bench.assert_renewed(id, 0, taken).await;
        assert!(bench.waits_for_a_person(id).await);
        let more = bench.payments.capture(id, Uuid::now_v7(), Some(eur(1))).await;
        assert!(matches!(more, Err(Error::Illegal(step)) if step.state == end), "{more:?}");
        assert_eq!(bench.payments.void(id).await.unwrap().standing().state, end);
    }
}

#[tokio::test]
async fn a_void_while_the_rest_is_asked_for_again_leaves_nothing_held() {
    let bench = Bench::start().await;
    let tokens = ["timeout_after", "timeout_before", "slow_300", "error_500_after", "hold_1"];
    let stories = tokens.into_iter().map(async |again| {
        let id = bench.sixty(&format!("{SHORT}__again_{again}")).await;
        bench.until(id, |payment| payment.parts.len() == 2).await;
        bench.payments.void(id).await.unwrap();
        bench.until(id, |payment| payment.standing().state == State::Captured && is_quiet(payment)).await;
        bench.assert_renewed(id, 0, 6_000).await;
        let ended = bench.payments.get(id).await.unwrap();
        assert!(ended.parts.len() == 2 || again == "hold_1", "{ended:?}");
        assert!(!bench.waits_for_a_person(id).await, "it was let go on purpose");
    });
    futures::future::join_all(stories).await;
}

#[tokio::test]
async fn a_payment_that_was_let_go_is_never_asked_for_again() {
    let (bench, _b) = Bench::pair(&["*=simulator"]).await;
    for (mark, taken, end) in [(0, 6_000, State::Captured), (1, 0, State::Voided)] {
        let id = bench.in_parts(&format!("tok_hold_600000__void_timeout_after__mark_{mark}")).await;
        if taken > 0 {
            bench.take(id, Some(taken)).await;
        }
        bench.payments.void(id).await.unwrap();
        let ended = bench.until(id, |payment| payment.standing().state == end && is_quiet(payment)).await;
        assert_eq!(ended.parts.len(), 1);
        bench.assert_renewed(id, 0, taken).await;
    }
}

#[tokio::test]
async fn lost_answers_of_the_second_authorisation_are_found_and_never_hold_twice() {
    let bench = Bench::start().await;
    let tokens = ["timeout_after", "timeout_before", "error_500_once", "error_500_after", "outage_800"];
    let stories = tokens.into_iter().map(async |again| {
        let id = bench.sixty(&format!("{SHORT}__again_{again}__{THEN_LONG}")).await;
        bench.until(id, |payment| is_held(payment, 2, 4_000)).await;
        bench.take(id, None).await;
        bench.assert_renewed(id, 0, ALL).await;
        assert_eq!(bench.payments.get(id).await.unwrap().parts.len(), 2);
    });
    futures::future::join_all(stories).await;
}

#[tokio::test]
async fn whoever_renews_a_hold_may_go_away_anywhere() {
    let bench = Bench::without_resolver().await;
    for patience in [1, 4, 8, 16, 32, 64] {
        let token = format!("tok_hold_300__void_slow_10__again_slow_30__{THEN_LONG}__mark_{patience}");
        let id = bench.in_parts(&token).await;
        let (deadline, mut patience) = (Instant::now() + PATIENCE, Duration::from_millis(patience));
        while !is_held(&bench.payments.get(id).await.unwrap(), 2, ALL) {
            assert!(Instant::now() < deadline, "it is never held again");
            // Its process may as well have died: the next one finds what it left.
            let _ = tokio::time::timeout(patience, bench.payments.resolve_due()).await;
            patience = (patience * 2).min(Duration::from_secs(1));
            tokio::time::sleep(PAUSE).await;
        }
        bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
        bench.assert_renewed(id, 0, ALL).await;
        assert_eq!(bench.payments.get(id).await.unwrap().parts.len(), 2);
    }
}

#[tokio::test]
async fn holds_that_lapse_at_once_are_not_asked_for_without_end() {
    let bench = Bench::start().await;
    let id = bench.in_parts("tok_hold_1").await;
    let ended = bench.until_state(id, State::Expired).await;
    assert_eq!(ended.parts.len(), MAX_REAUTHORIZATIONS + 1);
    bench.assert_renewed(id, 0, 0).await;
    assert!(bench.waits_for_a_person(id).await);
}

#[tokio::test]
async fn two_that_renew_at_once_ask_once() {
    let bench = Bench::without_resolver().await;
    let id = bench.sixty(&format!("tok_hold_1000__{THEN_LONG}")).await;
    let deadline = Instant::now() + PATIENCE;
    while !is_held(&bench.payments.get(id).await.unwrap(), 2, 4_000) {
        assert!(Instant::now() < deadline, "it is never held again");
        let (one, two) = tokio::join!(bench.payments.resolve_due(), bench.payments.resolve_due());
        assert!(one.is_ok() && two.is_ok());
        tokio::time::sleep(PAUSE).await;
    }
    bench.assert_renewed(id, 4_000, 6_000).await;
    assert_eq!(bench.truth(hold(id, 0), "voids").await, 1);
}

#[tokio::test]
async fn other_modes_let_a_hold_lapse_as_before() {
    let bench = Bench::start().await;
    let id = new_id();
    let held = bench.authorize(id, ALL, "tok_hold_1").await.unwrap();
    assert!(held.hold_expires_at().is_some());
    let renewed = bench.in_parts("tok_hold_1__mark_1").await;
    bench.until_state(renewed, State::Expired).await;
    let kept = bench.payments.get(id).await.unwrap();
    assert_eq!((kept.standing().state, kept.parts.len()), (State::Authorized, 0));
    assert!(!kept.attempts.iter().any(|attempt| attempt.operation == Operation::Void));
}

/// What may go wrong at each step, the later hold's beside the first one's.
const TOKENS: [&str; 8] = [
    "webhook_twice",
    "capture_timeout_after__void_timeout_after",
    "capture_timeout_before__again_timeout_after",
    "void_timeout_before__again_error_500_after",
    "void_error_500_after__again_capture_timeout_after",
    "capture_webhook_reordered__void_webhook_early__again_webhook_early",
    "void_slow_50__void_webhook_late_300__again_webhook_never",
    "capture_declined_once_processing_error__again_outage_500",
];

#[tokio::test]
async fn whatever_goes_wrong_over_many_holds_exactly_the_whole_is_taken() {
    let (bench, _b) = Bench::pair(&["*=simulator>simulator-b"]).await;
    let stories = TOKENS.iter().enumerate().map(async |(at, token)| {
        // Three holds at least: the later ones lapse as well.
        let id = bench.in_parts(&format!("tok_hold_1500__{token}__mark_{at}")).await;
        for (holds, share) in [(1, Some(2_500)), (2, Some(4_000)), (3, None)] {
            bench.until(id, |payment| payment.parts.len() >= holds).await;
            bench.take(id, share).await;
        }
        let ended =
            bench.until(id, |payment| payment.standing().state == State::Captured && is_quiet(payment)).await;
        assert!(ended.parts.len() >= 3);
        bench.assert_renewed(id, 0, ALL).await;
    });
    futures::future::join_all(stories).await;
    assert!(bench.payments.stuck(0, "").await.unwrap().stuck.is_empty());
}
