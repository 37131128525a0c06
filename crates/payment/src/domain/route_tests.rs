//! One provider after the other, one hold at the end, and what is left behind is let go.

use stampede_types::{Money, OrderId, PaymentId};
use uuid::Uuid;

use super::*;
use crate::domain::{Answer, CaptureMode, Heard, Method, MethodKind, Notice, State, Terms, Token};

const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn payment(capture: CaptureMode) -> Payment {
    let method = Method { kind: MethodKind::Card, token: Token::new("tok_visa") };
    let amount = Money::new(100, "EUR".parse().unwrap());
    let terms = Terms { order: OrderId::new(Uuid::nil()), amount, method, tenders: Vec::new(), capture };
    let fallbacks = ["b".to_owned(), "c".to_owned()];
    Payment::new(PaymentId::new(Uuid::nil()), terms, "a", AT).falling_back_to(&fallbacks)
}

fn refused(class: &str) -> Answer {
    Answer::Refused { reference: None, decline: class.to_owned() }
}

fn held(by: &str) -> Answer {
    Answer::Done {
        reference: format!("auth-{by}"),
        amount_minor: 100,
        currency: "EUR".into(),
        hold_expires_at: None,
    }
}

/// What `provider` says of its authorisation, and what follows.
fn hears(payment: &mut Payment, provider: &str, answer: &Answer) -> Settlement {
    let of_it =
        |attempt: &&Attempt| attempt.operation == Operation::Authorize && attempt.provider == provider;
    let key = payment.attempts.iter().find(of_it).unwrap().id;
    payment.settle(key, answer, AT)
}

fn follow_up(settlement: Settlement) -> Option<Attempt> {
    match settlement {
        Settlement::Settled { follow_up, .. } => follow_up,
        Settlement::Unchanged
        | Settlement::Lost
        | Settlement::Waiting
        | Settlement::Premature
        | Settlement::Conflict(_) => {
            panic!("not settled")
        }
    }
}

#[test]
fn a_provider_that_cannot_is_followed_by_the_next_until_there_is_none() {
    let mut payment = payment(CaptureMode::Manual);
    let mut keys = vec![payment.attempts[0].id];
    for (from, to) in [("a", "b"), ("b", "c")] {
        let next = follow_up(hears(&mut payment, from, &refused("issuer_unavailable"))).unwrap();
        assert_eq!((next.provider.as_str(), next.amount_minor), (to, 100));
        assert_eq!((payment.standing().state, payment.decline.as_deref()), (State::Processing, None));
        keys.push(next.id);
    }
    assert_eq!(follow_up(hears(&mut payment, "c", &refused("processing_error"))), None);
    assert_eq!(
        (payment.standing().state, payment.decline.as_deref()),
        (State::Failed, Some("processing_error"))
    );
    keys.dedup();
    assert_eq!(keys.len(), 3, "each provider has a key of its own");
}

#[test]
fn what_speaks_against_the_buyer_is_an_answer_wherever_it_is_given() {
    for class in [
        "insufficient_funds",
        "fraudulent",
        "suspected_fraud",
        "stolen_card",
        "lost_card",
        "expired_card",
        "x",
    ] {
        let mut payment = payment(CaptureMode::Manual);
        assert_eq!(follow_up(hears(&mut payment, "a", &refused(class))), None, "{class}");
        assert_eq!((payment.standing().state, payment.decline.as_deref()), (State::Failed, Some(class)));
    }
}

#[test]
fn nobody_else_is_asked_while_the_first_is_not_known_or_the_payment_is_let_go() {
    let mut unknown = payment(CaptureMode::Manual);
    assert_eq!(hears(&mut unknown, "a", &Answer::Lost), Settlement::Lost);
    assert_eq!((unknown.standing().state, unknown.attempts.len()), (State::Unknown, 1));
    let mut given_up = payment(CaptureMode::Manual);
    given_up.void_requested = true;
    assert_eq!(follow_up(hears(&mut given_up, "a", &refused("issuer_unavailable"))), None);
    assert_eq!(given_up.standing().state, State::Failed);
}

#[test]
fn captures_voids_and_refunds_go_to_the_provider_that_holds() {
    let mut payment = payment(CaptureMode::Automatic);
    hears(&mut payment, "a", &refused("issuer_unavailable"));
    let capture = follow_up(hears(&mut payment, "b", &held("b"))).unwrap();
    assert_eq!((capture.operation, capture.provider.as_str()), (Operation::Capture, "b"));
    assert_eq!((payment.holder(), payment.hold_at("b")), (Some("b"), Some("auth-b")));
    payment.settle(
        capture.id,
        &Answer::Done {
            reference: "cap".into(),
            amount_minor: 100,
            currency: "EUR".into(),
            hold_expires_at: None,
        },
        AT,
    );
    let refund = payment.begin(Operation::Refund, Uuid::from_u128(7), Some(40)).unwrap();
    assert_eq!((refund.provider.as_str(), payment.standing().state), ("b", State::Captured));
}

#[test]
fn a_hold_that_was_left_behind_is_let_go_there_and_counts_for_nothing_here() {
    for held_first in [true, false] {
        let mut payment = payment(CaptureMode::Manual);
        hears(&mut payment, "a", &refused("issuer_unavailable"));
        if held_first {
            hears(&mut payment, "b", &held("b"));
        }
        let void = follow_up(hears(&mut payment, "a", &held("a"))).unwrap();
        assert_eq!((void.operation, void.provider.as_str(), void.amount_minor), (Operation::Void, "a", 100));
        assert_eq!(hears(&mut payment, "a", &held("a")), Settlement::Unchanged, "heard twice");
        let late = hears(&mut payment, "a", &refused("issuer_unavailable"));
        assert_eq!(late, Settlement::Unchanged, "what it said first comes last");
        if !held_first {
            assert_eq!(payment.standing().state, State::Processing);
            hears(&mut payment, "b", &held("b"));
        }
        assert_eq!(
            (payment.standing().state, payment.standing().capture(None)),
            (State::Authorized, Ok(100))
        );
        assert_eq!(payment.open_void(), None, "it is no void of the payment");
        let gone = Answer::Done {
            reference: "void-a".into(),
            amount_minor: 100,
            currency: "EUR".into(),
            hold_expires_at: None,
        };
        payment.settle(void.id, &gone, AT);
        assert_eq!((payment.standing().state, payment.amounts().voided_minor), (State::Authorized, 0));
        let totals = payment.totals();
        assert_eq!((totals.authorized_minor, totals.voided_minor), (200, 100));
    }
}

#[test]
fn a_late_hold_of_another_amount_is_a_person_s() {
    let mut payment = payment(CaptureMode::Manual);
    hears(&mut payment, "a", &refused("issuer_unavailable"));
    let other = Answer::Done {
        reference: "auth-a".into(),
        amount_minor: 99,
        currency: "EUR".into(),
        hold_expires_at: None,
    };
    assert!(matches!(hears(&mut payment, "a", &other), Settlement::Conflict(_)));
    let notice = Notice::Answer { key: payment.attempts[0].id, answer: held("a") };
    assert!(matches!(payment.hear("b", &notice, AT), Heard::Conflict(_)), "told by somebody else");
}
