//! Answers in every order and number end in the same amounts.

use proptest::prelude::*;
use stampede_types::{Money, OrderId, PaymentId};

use super::*;
use crate::domain::{Amounts, CaptureMode, Method, MethodKind, State, Terms, Token, attempt_id};

const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn payment() -> Payment {
    let method = Method { kind: MethodKind::Card, token: Token::new("tok_visa") };
    let amount = Money::new(100, "EUR".parse().unwrap());
    let terms = Terms {
        order: OrderId::new(Uuid::nil()),
        amount,
        method,
        tenders: Vec::new(),
        capture: CaptureMode::Manual,
    };
    Payment::new(PaymentId::new(Uuid::nil()), terms, "psp", AT)
}

fn done(attempt: &Attempt, amount_minor: i64) -> Answer {
    Answer::Done {
        reference: format!("ref-{}", attempt.id),
        amount_minor,
        currency: "EUR".into(),
        hold_expires_at: None,
    }
}

fn authorized() -> Payment {
    let mut payment = payment();
    let attempt = payment.attempts[0].clone();
    payment.settle(attempt.id, &done(&attempt, 100), AT);
    payment
}

fn begin(payment: &mut Payment, operation: Operation, word: &str, amount: i64) -> Attempt {
    let id = attempt_id(payment.id, operation, word);
    payment.begin(operation, id, Some(amount)).unwrap()
}

#[test]
fn the_same_answer_twice_is_one_fact() {
    let mut payment = authorized();
    let attempt = payment.attempts[0].clone();
    assert_eq!(payment.settle(attempt.id, &done(&attempt, 100), AT), Settlement::Unchanged);
    assert_eq!(payment.settle(attempt.id, &Answer::Lost, AT), Settlement::Unchanged);
    assert_eq!((payment.events.len(), payment.standing().state), (1, State::Authorized));
}

#[test]
fn a_decline_after_the_money_was_held_is_a_conflict_and_overwrites_nothing() {
    let mut payment = authorized();
    let refused = Answer::Refused { reference: None, decline: "stolen_card".into() };
    assert!(matches!(payment.settle(payment.attempts[0].id, &refused, AT), Settlement::Conflict(_)));
    assert_eq!(payment.standing().state, State::Conflicted);
    assert_eq!((payment.amounts().authorized_minor, payment.amounts().declined), (100, false));
}

#[test]
fn another_amount_than_asked_for_is_a_conflict() {
    let mut payment = payment();
    let attempt = payment.attempts[0].clone();
    let Settlement::Conflict(conflict) = payment.settle(attempt.id, &done(&attempt, 99), AT) else {
        panic!("99 is not 100");
    };
    assert_eq!(conflict.amount_minor, Some(99));
    assert_eq!((payment.standing().state, payment.amounts().authorized_minor), (State::Conflicted, 0));
}

#[test]
fn a_void_that_was_waiting_follows_the_authorisation() {
    let mut payment = payment();
    let attempt = payment.attempts[0].clone();
    payment.settle(attempt.id, &Answer::Lost, AT);
    payment.void_requested = true;
    let Settlement::Settled { follow_up: Some(void), .. } =
        payment.settle(attempt.id, &done(&attempt, 100), AT)
    else {
        panic!("the void follows");
    };
    payment.settle(void.id, &done(&void, 100), AT);
    assert_eq!((payment.standing().state, payment.amounts().voided_minor), (State::Voided, 100));
}

#[test]
fn a_payment_closed_before_it_was_authorised_is_voided_and_its_question_is_over() {
    let mut payment = payment();
    let void = payment.begin_void(0);
    assert_eq!(payment.settle(void.id, &done(&void, 0), AT), Settlement::Premature);
    payment.settle_never_held(void.id, &done(&void, 0), AT);
    assert_eq!(payment.standing().state, State::Voided);
    assert!(payment.open_attempt(Operation::Authorize).is_none());
}

#[test]
fn a_void_that_let_go_of_nothing_because_the_hold_had_lapsed_waits_for_the_authorisation_too() {
    let mut payment = payment();
    let void = payment.begin_void(0);
    assert_eq!(payment.settle(void.id, &done(&void, 0), AT), Settlement::Premature);
    let attempt = payment.attempts[0].clone();
    payment.settle(attempt.id, &done(&attempt, 100), AT);
    payment.settle(void.id, &done(&void, 0), AT);
    assert_eq!((payment.standing().state, payment.conflict.is_none()), (State::Expired, true));
    let amounts = payment.amounts();
    assert_eq!((amounts.authorized_minor, amounts.voided_minor), (100, 100));
    assert_eq!(payment.settle(attempt.id, &done(&attempt, 100), AT), Settlement::Unchanged);
}

#[test]
fn a_void_of_money_we_have_not_heard_of_waits_for_the_authorisation() {
    let mut payment = payment();
    let void = payment.begin_void(0);
    assert_eq!(payment.settle(void.id, &done(&void, 100), AT), Settlement::Premature);
    let attempt = payment.attempts[0].clone();
    payment.settle(attempt.id, &done(&attempt, 100), AT);
    payment.settle(void.id, &done(&void, 100), AT);
    assert_eq!((payment.standing().state, payment.amounts().voided_minor), (State::Voided, 100));
}

#[test]
fn a_decline_heard_beside_a_void_is_a_decline_for_good() {
    let mut payment = payment();
    let void = payment.begin_void(0);
    let refused = Answer::Refused { reference: None, decline: "stolen_card".into() };
    payment.settle(payment.attempts[0].id, &refused, AT);
    assert_eq!(payment.standing().state, State::Failed);
    payment.settle(void.id, &done(&void, 0), AT);
    assert_eq!(payment.standing().state, State::Failed);
    assert!(payment.attempts.iter().all(|attempt| !attempt.is_open()));
}

#[test]
fn a_void_that_finds_the_hold_gone_ends_it_as_lapsed_and_one_of_a_part_is_a_conflict() {
    let mut lapsed = authorized();
    let void = lapsed.begin_void(100);
    let mut part = lapsed.clone();
    assert!(matches!(lapsed.settle(void.id, &done(&void, 0), AT), Settlement::Settled { .. }));
    assert_eq!((lapsed.standing().state, lapsed.amounts().voided_minor), (State::Expired, 100));
    assert_eq!(lapsed.settle(void.id, &done(&void, 0), AT), Settlement::Unchanged);
    assert!(matches!(part.settle(void.id, &done(&void, 40), AT), Settlement::Conflict(_)));
    assert_eq!((part.standing().state, part.amounts().voided_minor), (State::Conflicted, 0));
}

/// A payment of 100 with captures and refunds begun, and the answers that will come.
fn history(captures: &[i64], refunds: &[i64]) -> (Payment, Vec<(Uuid, Answer)>) {
    let mut payment = authorized();
    let mut answers = Vec::new();
    for (at, amount) in captures.iter().enumerate() {
        if let Ok(attempt) = try_begin(&mut payment, Operation::Capture, at, *amount) {
            payment.settle(attempt.id, &done(&attempt, attempt.amount_minor), AT);
        }
    }
    for (at, amount) in refunds.iter().enumerate() {
        if let Ok(attempt) = try_begin(&mut payment, Operation::Refund, at, *amount) {
            let refused = Answer::Refused { reference: None, decline: "closed_account".into() };
            let good = amount % 3 != 0;
            answers.push((attempt.id, if good { done(&attempt, attempt.amount_minor) } else { refused }));
        }
    }
    (payment, answers)
}

fn try_begin(
    payment: &mut Payment,
    operation: Operation,
    at: usize,
    amount: i64,
) -> Result<Attempt, crate::domain::Refused> {
    payment.begin(operation, attempt_id(payment.id, operation, &at.to_string()), Some(amount))
}

proptest! {
    #[test]
    fn events_in_any_order_and_twice_give_the_same_amounts(
        captures in proptest::collection::vec(1..80_i64, 1..5),
        refunds in proptest::collection::vec(1..80_i64, 0..6),
        order in any::<prop::sample::Index>(),
    ) {
        let (mut payment, answers) = history(&captures, &refunds);
        for (id, answer) in &answers {
            payment.settle(*id, answer, AT);
        }
        let straight = payment.amounts();
        let mut shuffled = payment.events.clone();
        let by = order.index(shuffled.len());
        shuffled.rotate_left(by);
        shuffled.extend(payment.events.iter().rev().cloned());
        prop_assert_eq!(Amounts::of(&shuffled), straight);
    }

    #[test]
    fn answers_in_any_order_lost_and_repeated_stay_under_the_ceilings_and_end_alike(
        captures in proptest::collection::vec(1..80_i64, 1..5),
        refunds in proptest::collection::vec(1..80_i64, 0..6),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..30),
    ) {
        let (mut payment, answers) = history(&captures, &refunds);
        let mut straight = payment.clone();
        for (pick, lost) in picks.iter().filter(|_| !answers.is_empty()) {
            let (id, answer) = pick.get(&answers);
            payment.settle(*id, if *lost { &Answer::Lost } else { answer }, AT);
            let standing = payment.standing();
            prop_assert!(standing.amounts.captured_minor <= standing.amounts.authorized_minor);
            prop_assert!(
                standing.amounts.refunded_minor + standing.pending.refund_minor <= standing.amounts.captured_minor
            );
        }
        for (id, answer) in &answers {
            payment.settle(*id, answer, AT);
        }
        for (id, answer) in answers.iter().rev() {
            straight.settle(*id, answer, AT);
        }
        prop_assert_eq!(payment.standing(), straight.standing());
        prop_assert_eq!(payment.standing().pending.refund_minor, 0);
    }
}

#[test]
fn two_refunds_of_sixty_of_one_hundred_cannot_both_begin() {
    let mut payment = authorized();
    let capture = begin(&mut payment, Operation::Capture, "c", 100);
    payment.settle(capture.id, &done(&capture, 100), AT);
    begin(&mut payment, Operation::Refund, "r1", 60);
    assert!(try_begin(&mut payment, Operation::Refund, 2, 60).is_err());
}
