//! A lost answer, a refusal and a sum that is not all of it, each told from the other.

use stampede_kit::Refusal;
use tonic::Code;

use super::*;

fn payment(state: PaymentState) -> Payment {
    Payment { state: state.into(), decline: "do_not_honour".into(), ..Payment::default() }
}

#[test]
fn a_lost_answer_is_asked_again_and_never_taken_for_a_no() {
    let unknown = Refusal::new(Code::Unavailable, "PAYMENT_UNKNOWN", "lost");
    for answer in [authorized(&payment(PaymentState::Unknown)), declined(&unknown.into())] {
        assert!(matches!(answer, Outcome::Pending(_)), "{answer:?}");
    }
    for silence in
        [Status::deadline_exceeded("late"), Status::cancelled("gone away"), Status::unavailable("no")]
    {
        assert!(matches!(declined(&silence), Outcome::Away(_)), "{silence:?}");
    }
}

#[test]
fn a_fault_of_the_peers_own_is_no_outage() {
    let fault = Refusal::new(Code::Internal, "INTERNAL", "a bug");
    assert!(matches!(declined(&fault.into()), Outcome::Pending(_)));
    assert!(matches!(declined(&Status::internal("the stream broke")), Outcome::Away(_)));
}

#[test]
fn captured_money_is_not_voided_but_given_back() {
    let refused = |state: &str| {
        not_voided(
            &Refusal::new(Code::FailedPrecondition, "PAYMENT_STATE", "no").metadata("state", state).into(),
        )
    };
    assert_eq!(
        (refused("CAPTURED"), voided(&payment(PaymentState::PartiallyCaptured))),
        (Outcome::Captured, Outcome::Done)
    );
    assert!(matches!(refused("AUTHORIZED"), Outcome::Pending(_)));
    assert!(matches!(refused("CONFLICTED"), Outcome::Refused(_)));
    let money =
        |amount_minor| Some(stampede_proto::common::v1::Money { amount_minor, currency: "EUR".into() });
    let taken = Payment { captured: money(10), refunded: money(9), ..payment(PaymentState::Captured) };
    assert_eq!(voided(&taken), Outcome::Captured);
}

#[test]
fn a_refund_is_done_when_nothing_is_on_its_way_any_more() {
    let eur = |minor| Some(Money::new(minor, "EUR".parse().unwrap()).into());
    let given_back = |refunded, pending| Payment {
        refunded: eur(refunded),
        refund_pending: eur(pending),
        ..payment(PaymentState::Captured)
    };
    // Whatever went back by other means before.
    assert_eq!(refunded(&given_back(30, 0)), Outcome::Done);
    assert!(matches!(refunded(&given_back(10, 20)), Outcome::Pending(_)));
    assert!(matches!(refunded(&payment(PaymentState::Conflicted)), Outcome::Refused(_)));
}

#[test]
fn a_part_that_is_back_does_not_wait_for_another_part_that_is_in_dispute() {
    let eur = |minor| Some(Money::new(minor, "EUR".parse().unwrap()).into());
    let back = Payment {
        captured: eur(100),
        refunded: eur(30),
        disputed: eur(40),
        ..payment(PaymentState::Captured)
    };
    assert_eq!(part_refunded(&back), Outcome::Done);
    // All of it is another matter.
    assert!(matches!(refunded(&back), Outcome::Pending(_)));
    let pending = Payment { refund_pending: eur(1), ..back.clone() };
    assert!(matches!(part_refunded(&pending), Outcome::Pending(_)));
    let conflicted = Payment { state: PaymentState::Conflicted.into(), ..back };
    assert!(matches!(part_refunded(&conflicted), Outcome::Refused(_)));
}

#[test]
fn an_order_stands_on_all_of_its_money_and_on_nothing_less() {
    let eur = |minor| Money::new(minor, "EUR".parse().unwrap());
    let some = |minor| Some(eur(minor).into());
    let whole = Payment { captured: some(100), ..payment(PaymentState::Captured) };
    assert!(covers(&whole, eur(100)) && !covers(&whole, eur(101)));
    assert_eq!(captured(&whole, eur(100)), Outcome::Done);
    for less in [
        Payment { captured: some(99), ..whole.clone() },
        Payment { refunded: some(1), ..whole.clone() },
        Payment { refund_pending: some(1), ..whole.clone() },
        Payment { disputed: some(1), ..whole.clone() },
        Payment { state: PaymentState::Conflicted.into(), ..whole.clone() },
    ] {
        assert!(!covers(&less, eur(100)), "{less:?}");
        assert!(matches!(captured(&less, eur(100)), Outcome::Refused(_)), "{less:?}");
    }
}

#[test]
fn what_is_in_dispute_is_neither_ours_nor_back() {
    let eur = |minor| Some(Money::new(minor, "EUR".parse().unwrap()).into());
    let open = Payment { captured: eur(100), disputed: eur(100), ..payment(PaymentState::Captured) };
    assert_eq!((money_on(&open), is_unsettled(&open)), (Found::Nothing, true));
    let lost = Payment { dispute_lost: eur(100), ..open };
    assert_eq!((money_on(&lost), is_unsettled(&lost)), (Found::Nothing, false));
}

#[test]
fn a_refusal_of_the_provider_is_a_decline_with_its_class() {
    assert_eq!(authorized(&payment(PaymentState::Failed)), Outcome::Declined("do_not_honour".into()));
    let refusal =
        Refusal::new(Code::FailedPrecondition, "PAYMENT_DECLINED", "no").metadata("decline", "lost_card");
    assert_eq!(declined(&refusal.into()), Outcome::Declined("lost_card".into()));
}

#[test]
fn another_use_of_the_id_is_for_a_person() {
    let conflict = Refusal::new(Code::Aborted, "PAYMENT_CONFLICT", "other amount");
    assert!(matches!(declined(&conflict.into()), Outcome::Refused(_)));
}

#[test]
fn a_payment_in_conflict_is_for_a_person_and_one_that_is_being_voided_is_asked_again() {
    let refused = |state: &str| {
        let refusal = Refusal::new(Code::FailedPrecondition, "PAYMENT_STATE", "no").metadata("state", state);
        declined(&refusal.into())
    };
    assert!(matches!(refused("CONFLICTED"), Outcome::Refused(_)));
    assert!(matches!(refused("AUTHORIZED"), Outcome::Pending(_)));
    assert_eq!(refused("VOIDED"), Outcome::Declined("voided".into()));
}
