//! What a provider tells, in every order and number, ends in the same amounts; what contradicts a fact is kept beside it.

use proptest::prelude::*;
use stampede_types::{Money, OrderId, PaymentId};

use super::*;
use crate::domain::{Amounts, CaptureMode, Method, MethodKind, Refused, State, Terms, Token, attempt_id};

const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const PSP: &str = "psp";

/// A payment of 100 that is held, with captures of these amounts under way.
fn held(capture: CaptureMode, captures: &[i64]) -> Payment {
    let method = Method { kind: MethodKind::Card, token: Token::new("tok_visa") };
    let amount = Money::new(100, "EUR".parse().unwrap());
    let terms = Terms { order: OrderId::new(Uuid::nil()), amount, method, tenders: Vec::new(), capture };
    let mut payment = Payment::new(PaymentId::new(Uuid::nil()), terms, PSP, AT);
    let key = payment.attempts[0].id;
    assert!(matches!(payment.hear(PSP, &done(key, 100), AT), Heard::Recorded { .. }));
    for amount in captures {
        payment.begin(Operation::Capture, capture_id(*amount), Some(*amount)).unwrap();
    }
    payment
}

fn capture_id(amount: i64) -> Uuid {
    attempt_id(PaymentId::new(Uuid::nil()), Operation::Capture, &amount.to_string())
}

fn done(key: Uuid, amount_minor: i64) -> Notice {
    let answer = Answer::Done {
        reference: format!("ref-{key}"),
        amount_minor,
        currency: "EUR".into(),
        hold_expires_at: None,
    };
    Notice::Answer { key, answer }
}

fn fact(kind: Spontaneous, reference: &str, amount_minor: i64) -> Notice {
    Notice::Fact { kind, reference: reference.into(), amount_minor, currency: "EUR".into() }
}

/// A whole life: two captures, refunds by hand of which one comes back, disputes won, lost and open, and one wrong amount.
fn life() -> Vec<Notice> {
    vec![
        done(capture_id(60), 60),
        done(capture_id(40), 40),
        done(capture_id(40), 41),
        fact(Spontaneous::RefundedByHand, "r1", 30),
        fact(Spontaneous::RefundReversed, "r1", 30),
        fact(Spontaneous::RefundedByHand, "r2", 50),
        fact(Spontaneous::DisputeOpened, "d1", 20),
        fact(Spontaneous::DisputeWon, "d1", 15),
        fact(Spontaneous::DisputeLost, "d1", 5),
        fact(Spontaneous::DisputeOpened, "d2", 10),
    ]
}

/// Tells them one by one, and what was early again after each, until nothing of it is heard any more; what is early to the end.
fn tell(payment: &mut Payment, notices: &[Notice]) -> Vec<Notice> {
    let mut early: Vec<Notice> = Vec::new();
    for notice in notices {
        early.push(notice.clone());
        let mut waiting = usize::MAX;
        while early.len() < waiting {
            waiting = early.len();
            early.retain(|notice| matches!(payment.hear(PSP, notice, AT), Heard::Early(_)));
        }
        let amounts = payment.amounts();
        let ceilings = amounts.refunded_minor <= amounts.captured_minor
            && amounts.disputed_minor <= amounts.captured_minor
            && (0..=amounts.disputed_minor).contains(&amounts.lost_minor);
        assert!(ceilings && amounts.refunded_minor >= 0, "{amounts:?}");
    }
    early
}

proptest! {
    #[test]
    fn the_same_notices_in_any_order_and_number_give_the_same_amounts(
        order in Just(life()).prop_shuffle(),
        again in Just(life()).prop_shuffle(),
        twice in 0..10_usize,
    ) {
        let mut payment = held(CaptureMode::Manual, &[60, 40]);
        let notices: Vec<_> = order.into_iter().chain(again.into_iter().take(twice)).collect();
        prop_assert_eq!(tell(&mut payment, &notices), vec![]);
        let expected = Amounts {
            authorized_minor: 100,
            captured_minor: 100,
            refunded_minor: 50,
            disputed_minor: 15,
            lost_minor: 5,
            ..Amounts::default()
        };
        prop_assert_eq!(payment.amounts(), expected);
        prop_assert_eq!(payment.standing().state, State::Conflicted);
    }
}

#[test]
fn a_hold_that_lapses_is_expired_and_after_a_part_was_taken_captured_whichever_is_heard_first() {
    let mut whole = held(CaptureMode::Manual, &[]);
    tell(&mut whole, &[fact(Spontaneous::Expired, "e", 100)]);
    assert_eq!((whole.standing().state, whole.amounts().voided_minor), (State::Expired, 100));
    assert!(whole.standing().capture(None).is_err());
    for first in [0, 1] {
        let mut notices = [done(capture_id(60), 60), fact(Spontaneous::Expired, "e", 40)];
        notices.rotate_left(first);
        let mut part = held(CaptureMode::Manual, &[60]);
        assert_eq!(tell(&mut part, &notices), []);
        assert_eq!((part.standing().state, part.amounts().voided_minor), (State::Captured, 40));
    }
}

#[test]
fn a_void_that_meets_a_lapsed_hold_ends_it_as_expired_whichever_is_heard_first() {
    for first in [0, 1] {
        let mut payment = held(CaptureMode::Manual, &[]);
        let void = payment.begin_void(100);
        let mut notices = [done(void.id, 0), fact(Spontaneous::Expired, "e", 100)];
        notices.rotate_left(first);
        assert_eq!(tell(&mut payment, &notices), []);
        assert_eq!((payment.standing().state, payment.amounts().voided_minor), (State::Expired, 100));
    }
}

#[test]
fn edge_case_9_the_same_reference_with_another_amount_is_a_conflict_and_the_first_fact_stays() {
    let mut payment = held(CaptureMode::Manual, &[60]);
    tell(&mut payment, &[done(capture_id(60), 60), fact(Spontaneous::RefundedByHand, "r1", 30)]);
    let before = payment.events.clone();
    let Heard::Conflict(conflict) = payment.hear(PSP, &fact(Spontaneous::RefundedByHand, "r1", 31), AT)
    else {
        panic!("31 is not 30");
    };
    assert_eq!((conflict.reference.as_deref(), conflict.amount_minor), (Some("r1"), Some(31)));
    assert_eq!(conflict.kind, Some(EventKind::Refunded));
    assert!(matches!(payment.hear(PSP, &done(capture_id(60), 59), AT), Heard::Conflict(_)));
    assert_eq!((&payment.events, payment.standing().state), (&before, State::Conflicted));
}

#[test]
fn a_wrong_amount_told_first_ends_no_attempt_and_the_truth_is_still_heard() {
    let mut payment = held(CaptureMode::Manual, &[60]);
    assert!(matches!(payment.hear(PSP, &done(capture_id(60), 61), AT), Heard::Conflict(_)));
    assert!(payment.open_attempt(Operation::Capture).is_some());
    tell(&mut payment, &[done(capture_id(60), 60)]);
    assert_eq!((payment.amounts().captured_minor, payment.standing().state), (60, State::Conflicted));
}

#[test]
fn edge_case_26_what_is_disputed_is_not_given_back_a_second_time() {
    let mut payment = held(CaptureMode::Manual, &[60]);
    tell(&mut payment, &[done(capture_id(60), 60), fact(Spontaneous::RefundedByHand, "r1", 20)]);
    let refund = |payment: &Payment, amount| payment.standing().refund(Some(amount));
    assert_eq!(refund(&payment, 40), Ok(40));
    // The whole charge comes back by the bank although 20 were given back: nothing more goes.
    tell(&mut payment, &[fact(Spontaneous::DisputeOpened, "d1", 60)]);
    assert_eq!(refund(&payment, 1), Err(Refused::Exceeds { left_minor: 0 }));
    tell(&mut payment, &[fact(Spontaneous::DisputeLost, "d1", 50)]);
    assert_eq!(refund(&payment, 1), Err(Refused::Exceeds { left_minor: 0 }));
    tell(&mut payment, &[fact(Spontaneous::DisputeWon, "d1", 10)]);
    assert_eq!(payment.amounts().disputed_minor, 50);
    assert_eq!(refund(&payment, 1), Err(Refused::Exceeds { left_minor: 0 }));
}

#[test]
fn a_dispute_never_gives_back_more_than_it_took() {
    let mut payment = held(CaptureMode::Manual, &[60]);
    tell(&mut payment, &[done(capture_id(60), 60), fact(Spontaneous::DisputeOpened, "d1", 20)]);
    assert!(matches!(payment.hear(PSP, &fact(Spontaneous::DisputeWon, "d1", 21), AT), Heard::Conflict(_)));
    assert_eq!(payment.amounts().disputed_minor, 20);
}

#[test]
fn another_provider_or_currency_is_believed_nothing() {
    let mut payment = held(CaptureMode::Manual, &[60]);
    assert!(matches!(payment.hear("other", &done(capture_id(60), 60), AT), Heard::Conflict(_)));
    let dollars = Notice::Fact {
        kind: Spontaneous::RefundedByHand,
        reference: "r1".into(),
        amount_minor: 1,
        currency: "USD".into(),
    };
    assert!(matches!(payment.hear(PSP, &dollars, AT), Heard::Conflict(_)));
    assert_eq!(payment.amounts().captured_minor, 0);
}

#[test]
fn an_automatic_payment_begins_its_capture_with_the_fact_that_it_is_held_and_begins_it_once() {
    let mut payment = held(CaptureMode::Automatic, &[]);
    let capture = payment.open_attempt(Operation::Capture).cloned().unwrap();
    assert_eq!((capture.amount_minor, payment.standing().pending.capture_minor), (100, 100));
    let authorization = payment.attempts[0].id;
    assert_eq!(payment.hear(PSP, &done(authorization, 100), AT), Heard::Known);
    tell(&mut payment, &[done(capture.id, 100)]);
    assert_eq!((payment.standing().state, payment.attempts.len()), (State::Captured, 2));
}

#[test]
fn what_waited_too_long_is_a_conflict_with_what_it_said() {
    let mut payment = held(CaptureMode::Manual, &[]);
    let early = fact(Spontaneous::RefundReversed, "r9", 5);
    assert!(matches!(payment.hear(PSP, &early, AT), Heard::Early(_)));
    let conflict = payment.refuse(&early, "what it is about never came");
    assert_eq!((conflict.kind, conflict.amount_minor), (Some(EventKind::RefundReversed), Some(5)));
    assert_eq!(payment.standing().state, State::Conflicted);
}
