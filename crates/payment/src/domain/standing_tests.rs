//! What each state allows.

use stampede_types::PaymentId;
use uuid::Uuid;

use super::*;
use crate::domain::attempt_id;

const AUTHORIZED: Amounts = Amounts {
    authorized_minor: 100,
    captured_minor: 0,
    voided_minor: 0,
    refunded_minor: 0,
    disputed_minor: 0,
    lost_minor: 0,
    declined: false,
    closed: false,
    expired: false,
};

fn attempt(operation: Operation, amount_minor: i64, state: AttemptState) -> Attempt {
    let id = attempt_id(PaymentId::new(Uuid::nil()), operation, "1");
    Attempt { state, ..Attempt::new(id, operation, "psp", amount_minor) }
}

fn standing(amounts: Amounts, attempts: &[Attempt]) -> Standing {
    Standing::of(amounts, attempts, false, false)
}

#[test]
fn a_payment_is_processing_until_an_answer_is_lost_and_unknown_until_it_is_found() {
    let asked = |state| standing(Amounts::default(), &[attempt(Operation::Authorize, 100, state)]).state;
    assert_eq!(asked(AttemptState::Sent), State::Processing);
    assert_eq!(asked(AttemptState::Lost), State::Unknown);
    let declined = Amounts { declined: true, ..Amounts::default() };
    let refused = [attempt(Operation::Authorize, 100, AttemptState::Refused)];
    assert_eq!(standing(declined, &refused).state, State::Failed);
}

#[test]
fn a_capture_under_way_is_reserved_against_the_next() {
    let under_way = [attempt(Operation::Capture, 60, AttemptState::Sent)];
    assert_eq!(standing(AUTHORIZED, &under_way).capture(Some(60)), Err(Refused::Exceeds { left_minor: 40 }));
    assert_eq!(standing(AUTHORIZED, &under_way).capture(None), Ok(40));
    let refused = [attempt(Operation::Capture, 60, AttemptState::Refused)];
    assert_eq!(standing(AUTHORIZED, &refused).capture(Some(60)), Ok(60));
}

#[test]
fn a_refund_under_way_is_reserved_against_the_next() {
    let captured = Amounts { captured_minor: 100, ..AUTHORIZED };
    let under_way = [attempt(Operation::Refund, 60, AttemptState::Lost)];
    assert_eq!(standing(captured, &under_way).refund(Some(60)), Err(Refused::Exceeds { left_minor: 40 }));
    assert_eq!(standing(captured, &under_way).refund(None), Ok(40));
}

#[test]
fn nothing_is_captured_once_a_void_was_asked_for() {
    let asked = Standing::of(AUTHORIZED, &[], true, false);
    assert!(matches!(asked.capture(None), Err(Refused::Illegal(_))));
}

#[test]
fn a_void_waits_for_what_is_unknown_and_refuses_what_is_captured() {
    let unknown = standing(Amounts::default(), &[attempt(Operation::Authorize, 100, AttemptState::Lost)]);
    assert_eq!(unknown.void(), Ok(VoidPlan::WhenKnown));
    assert_eq!(standing(AUTHORIZED, &[]).void(), Ok(VoidPlan::Now { amount_minor: 100 }));
    let partly = Amounts { captured_minor: 60, ..AUTHORIZED };
    assert_eq!(standing(partly, &[]).void(), Ok(VoidPlan::Now { amount_minor: 40 }));
    let captured = Amounts { captured_minor: 100, ..AUTHORIZED };
    assert_eq!(standing(captured, &[]).void().map_err(|step| step.state), Err(State::Captured));
    let capturing = standing(AUTHORIZED, &[attempt(Operation::Capture, 100, AttemptState::Sent)]);
    assert!(capturing.void().is_err());
}

#[test]
fn a_conflicted_payment_moves_no_money() {
    let conflicted = Standing::of(Amounts { captured_minor: 50, ..AUTHORIZED }, &[], false, true);
    assert_eq!(conflicted.state, State::Conflicted);
    assert!(
        conflicted.capture(None).is_err() && conflicted.refund(None).is_err() && conflicted.void().is_err()
    );
}

#[test]
fn no_amount_is_nothing_and_none_is_negative() {
    for amount in [0, -1, i64::MIN] {
        assert_eq!(
            standing(AUTHORIZED, &[]).capture(Some(amount)),
            Err(Refused::Exceeds { left_minor: 100 })
        );
    }
}
