//! Decisions lead out of every conflict, keep every fact, and leave amounts that fit each other.

use stampede_types::{Money, OrderId, PaymentId};

use super::*;
use crate::domain::stuck::{Reason, possible};
use crate::domain::{CaptureMode, Conflict, Method, MethodKind, Terms, Token, attempt_id};

const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const DECISION: Uuid = Uuid::from_u128(7);

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

fn refused() -> Answer {
    Answer::Refused { reference: None, decline: "closed".into() }
}

/// An attempt of the payment with this answer, and the claim when it is a conflict.
fn told(payment: &mut Payment, attempt: &Attempt, answer: &Answer) -> Vec<Claim> {
    match payment.settle(attempt.id, answer, AT) {
        Settlement::Conflict(conflict) => vec![claim(conflict)],
        Settlement::Unchanged
        | Settlement::Lost
        | Settlement::Waiting
        | Settlement::Settled { .. }
        | Settlement::Premature => Vec::new(),
    }
}

fn claim(conflict: Conflict) -> Claim {
    let Conflict { attempt, kind, reference, amount_minor, reason } = conflict;
    let (provider, reason) = (Some("psp".to_owned()), reason.to_owned());
    Claim { id: 1, attempt, kind, provider, reference, amount_minor, reason, at: AT }
}

fn begin(payment: &mut Payment, operation: Operation, amount: i64) -> Attempt {
    let id = attempt_id(payment.id, operation, "1");
    payment.begin(operation, id, Some(amount)).unwrap()
}

/// Held and captured whole.
fn captured() -> (Payment, Attempt) {
    let mut payment = payment();
    let hold = payment.attempts[0].clone();
    told(&mut payment, &hold, &done(&hold, 100));
    let capture = begin(&mut payment, Operation::Capture, 100);
    told(&mut payment, &capture, &done(&capture, 100));
    (payment, capture)
}

#[test]
fn less_than_was_asked_for_may_be_taken_as_the_fact_or_left_as_not_done() {
    let mut theirs = payment();
    let hold = theirs.attempts[0].clone();
    let claims = told(&mut theirs, &hold, &done(&hold, 90));
    let mut ours = theirs.clone();
    let facts = theirs.take_theirs(&claims, DECISION, AT).unwrap();
    assert_eq!((facts.len(), theirs.amounts().authorized_minor), (1, 90));
    assert_eq!(theirs.standing().state, State::Authorized);
    // The same answer again is known now.
    assert_eq!(theirs.settle(hold.id, &done(&hold, 90), AT), Settlement::Unchanged);

    let facts = ours.keep_ours(AT).unwrap();
    assert_eq!((facts[0].kind, ours.standing().state), (EventKind::Declined, State::Failed));
}

#[test]
fn a_fact_that_was_less_or_not_at_all_is_corrected_by_another_one_and_stays() {
    for (left, state) in [(60, State::PartiallyCaptured), (0, State::Authorized)] {
        let (mut payment, capture) = captured();
        let answer = if left > 0 { done(&capture, left) } else { refused() };
        let claims = told(&mut payment, &capture, &answer);
        let before = payment.events.clone();
        let facts = payment.take_theirs(&claims, DECISION, AT).unwrap();
        assert_eq!(facts[0].kind, EventKind::CaptureCorrected);
        assert!(payment.events.starts_with(&before));
        assert_eq!((payment.amounts().captured_minor, payment.standing().state), (left, state));
    }
}

#[test]
fn what_the_books_cannot_hold_is_not_taken_and_changes_nothing() {
    let (mut payment, capture) = captured();
    let claims = told(&mut payment, &capture, &done(&capture, 101));
    let before = payment.clone();
    assert!(payment.take_theirs(&claims, DECISION, AT).is_err());
    assert_eq!(payment, before);
    let ways = possible(Reason::Conflict, Some(&payment), &claims);
    assert_eq!(ways, [Decision::AskAgain, Decision::KeepOurs, Decision::CloseByHand]);
    payment.keep_ours(AT).unwrap();
    assert_eq!(payment.standing().state, State::Captured);
}

#[test]
fn of_several_claims_none_is_taken() {
    let (mut payment, capture) = captured();
    let mut claims = told(&mut payment, &capture, &done(&capture, 60));
    claims.extend(told(&mut payment, &capture, &done(&capture, 70)));
    assert!(payment.take_theirs(&claims, DECISION, AT).is_err());
    claims.truncate(1);
    claims.push(Claim { id: 2, ..claims[0].clone() });
    assert!(payment.take_theirs(&claims, DECISION, AT).is_ok());
}

#[test]
fn asked_again_the_provider_may_agree_or_contradict_again() {
    let mut payment = payment();
    let hold = payment.attempts[0].clone();
    let claims = told(&mut payment, &hold, &done(&hold, 99));
    let in_question: Vec<_> = payment.in_question(&claims).iter().map(|attempt| attempt.id).collect();
    assert_eq!(in_question, [hold.id]);
    let again = payment.ask_again(&[(hold.id, done(&hold, 99))], AT);
    assert!(matches!(again.as_slice(), [Settlement::Conflict(_)]));
    assert_eq!(payment.standing().state, State::Conflicted);
    let again = payment.ask_again(&[(hold.id, done(&hold, 100))], AT);
    assert!(matches!(again.as_slice(), [Settlement::Settled { .. }]));
    assert_eq!(payment.standing().state, State::Authorized);
}

#[test]
fn a_hold_that_could_not_be_let_go_is_asked_about_or_closed_and_never_just_kept() {
    let mut payment = payment();
    let hold = payment.attempts[0].clone();
    told(&mut payment, &hold, &done(&hold, 100));
    let void = payment.begin_void(100);
    let claims = told(&mut payment, &void, &refused());
    let ways = possible(Reason::Conflict, Some(&payment), &claims);
    assert_eq!(ways, [Decision::AskAgain, Decision::CloseByHand]);
    payment.close_by_hand(DECISION, AT);
    assert_eq!((payment.amounts().voided_minor, payment.standing().state), (100, State::Voided));
}

#[test]
fn whatever_is_open_ends_when_it_is_closed_by_hand() {
    let (mut held, (mut taken, _)) = (payment(), captured());
    let refund = begin(&mut taken, Operation::Refund, 30);
    taken.note_refund(&refund, AT);
    let facts = taken.close_by_hand(DECISION, AT);
    assert_eq!(facts.iter().map(|fact| fact.kind).collect::<Vec<_>>(), [EventKind::RefundFailed]);
    assert_eq!((taken.standing().pending.refund_minor, taken.standing().state), (0, State::Captured));
    held.settle(held.attempts[0].id, &Answer::Lost, AT);
    held.close_by_hand(DECISION, AT);
    assert_eq!(held.standing().state, State::Failed);
    for payment in [held, taken] {
        assert!(payment.attempts.iter().all(|attempt| !attempt.is_open()));
    }
}
