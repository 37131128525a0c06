//! Holds that follow each other: the rest is asked for and nothing more, until it is taken, let go, refused or asked for too often.

use proptest::prelude::*;
use stampede_types::{OrderId, PaymentId};

use super::*;
use crate::domain::whole::tests::{AT, eur, follow, let_go};
use crate::domain::{
    Answer, Attempt, CaptureMode, Method, MethodKind, Notice, Operation, Spontaneous, Terms, Token,
    attempt_id,
};

const ALL: i64 = 100;

/// Asked for, and no answer yet.
fn asked() -> Payment {
    let method = Method { kind: MethodKind::Card, token: Token::new("tok_visa") };
    let terms = Terms {
        order: OrderId::new(Uuid::nil()),
        amount: eur(ALL),
        method,
        tenders: Vec::new(),
        capture: CaptureMode::Multiple,
    };
    let mut whole = Payment::whole(PaymentId::new(Uuid::nil()), terms, AT);
    whole.parts.extend(whole.part(0, &["psp".to_owned()], AT));
    whole
}

/// A provider's good answer, or a refusal, to the first open attempt of the last hold.
fn answer(whole: &mut Payment, good: bool) {
    let Some(part) = whole.parts.last_mut() else { return };
    let Some(open) = part.attempts.iter().find(|attempt| attempt.is_open()).cloned() else { return };
    let reference = Some(open.id.to_string());
    let answer = match (open.operation, good) {
        (Operation::Void, _) => done(&open, part.held_at("psp")),
        (Operation::Authorize | Operation::Capture | Operation::Refund, true) => {
            done(&open, open.amount_minor)
        }
        (Operation::Authorize | Operation::Capture | Operation::Refund, false) => {
            Answer::Refused { reference, decline: "lost_card".into() }
        }
    };
    part.settle(open.id, &answer, AT);
    follow(whole);
}

fn done(attempt: &Attempt, amount_minor: i64) -> Answer {
    let (reference, currency) = (attempt.id.to_string(), "EUR".to_owned());
    Answer::Done { reference, amount_minor, currency, hold_expires_at: Some(AT) }
}

/// The provider tells that the last hold is gone; whether it could be.
fn lapse(whole: &mut Payment) -> bool {
    let Some(part) = whole.parts.last_mut() else { return false };
    let (held, open) = (part.held_at("psp"), part.open_void().is_some());
    if held == 0 || open || part.standing().pending.capture_minor > 0 {
        return false;
    }
    let (reference, currency) = (format!("lapse-{}", part.id), "EUR".to_owned());
    let notice = Notice::Fact { kind: Spontaneous::Expired, reference, amount_minor: held, currency };
    part.hear("psp", &notice, AT);
    follow(whole);
    true
}

/// Its time has passed, and we let it go.
fn run_out(whole: &mut Payment) {
    let Some(part) = whole.parts.last_mut() else { return };
    if let Some(held) = part.to_lapse(AT) {
        part.begin_void(held);
    }
    follow(whole);
}

fn capture(whole: &mut Payment, word: u128, amount: Option<i64>) -> Result<(), Refused> {
    for (place, share) in whole.spread(Operation::Capture, amount)? {
        let part = &mut whole.parts[place];
        let key = attempt_id(part.id, Operation::Capture, &Uuid::from_u128(word).to_string());
        part.begin(Operation::Capture, key, Some(share))?;
    }
    Ok(())
}

/// Held, and this much of it taken.
fn taken(amount: i64) -> Payment {
    let mut whole = asked();
    answer(&mut whole, true);
    capture(&mut whole, 1, Some(amount)).unwrap();
    answer(&mut whole, true);
    whole
}

fn state(whole: &Payment) -> State {
    whole.standing().state
}

#[test]
fn a_hold_that_lapses_is_followed_by_one_for_the_rest() {
    let mut whole = taken(60);
    assert!(lapse(&mut whole));
    assert_eq!((state(&whole), whole.parts.len()), (State::PartiallyCaptured, 2));
    let early = capture(&mut whole, 2, None);
    let asking = IllegalStep { state: State::Processing, operation: Operation::Capture };
    assert_eq!(early, Err(Refused::Illegal(asking)), "the caller asks again");
    answer(&mut whole, true);
    assert_eq!(whole.parts[1].amounts().authorized_minor, 40);
    capture(&mut whole, 2, None).unwrap();
    answer(&mut whole, true);
    assert_eq!((state(&whole), whole.amounts().captured_minor), (State::Captured, ALL));
    let all = whole.standing().void();
    assert!(all.is_err(), "all of it is taken: {all:?}");
}

#[test]
fn a_hold_that_nothing_was_taken_of_is_asked_for_again_whole() {
    let mut whole = asked();
    answer(&mut whole, true);
    assert!(lapse(&mut whole));
    assert_eq!(state(&whole), State::Processing);
    answer(&mut whole, true);
    assert_eq!((state(&whole), whole.parts[1].amounts().authorized_minor), (State::Authorized, ALL));
}

#[test]
fn a_hold_is_let_go_when_its_time_has_passed_and_not_while_a_capture_may_take_of_it() {
    let mut whole = taken(60);
    assert_eq!(whole.parts[0].to_lapse(AT - time::Duration::SECOND), None);
    capture(&mut whole, 2, Some(10)).unwrap();
    assert_eq!(whole.parts[0].to_lapse(AT), None);
    answer(&mut whole, false);
    assert_eq!(whole.parts[0].to_lapse(AT), Some(40));
    run_out(&mut whole);
    assert_eq!(whole.parts[0].lapse_due(), None, "its void sees to it");
    let busy = capture(&mut whole, 3, Some(10));
    assert!(matches!(busy, Err(Refused::Illegal(_))), "{busy:?}");
    answer(&mut whole, true);
    assert_eq!((state(&whole), whole.parts.len()), (State::PartiallyCaptured, 2));
}

#[test]
fn a_rest_that_is_refused_ends_the_payment_with_what_was_taken() {
    for (amount, end) in [(60, State::Captured), (0, State::Failed)] {
        let mut whole = if amount > 0 { taken(amount) } else { asked() };
        if amount == 0 {
            answer(&mut whole, true);
        }
        lapse(&mut whole);
        answer(&mut whole, false);
        assert_eq!((state(&whole), whole.decline.as_deref()), (end, Some("lost_card")));
        assert!(whole.ended_short_with(&whole.parts[1].events), "a person is waited for");
        assert!(matches!(capture(&mut whole, 9, Some(1)), Err(Refused::Illegal(_))));
        assert_eq!(whole.standing().void(), Ok(VoidPlan::Nothing));
    }
}

#[test]
fn a_payment_that_is_refused_at_once_or_let_go_waits_for_nobody() {
    let mut refused = asked();
    answer(&mut refused, false);
    assert_eq!(state(&refused), State::Failed);
    assert!(!refused.ended_short_with(&refused.parts[0].events));
    let mut whole = taken(60);
    whole.void_requested = true;
    let_go(&mut whole);
    answer(&mut whole, true);
    assert_eq!((state(&whole), whole.parts.len()), (State::Captured, 1));
    assert!(!whole.ended_short_with(&whole.parts[0].events));
}

#[test]
fn what_a_person_closed_is_not_asked_for_again() {
    let mut whole = taken(60);
    capture(&mut whole, 2, Some(10)).unwrap();
    let facts = whole.parts[0].close_by_hand(Uuid::nil(), AT);
    follow(&mut whole);
    assert_eq!((state(&whole), whole.parts.len()), (State::Captured, 1));
    assert!(!whole.ended_short_with(&facts));
}

#[test]
fn the_rest_is_not_asked_for_without_end() {
    let mut whole = asked();
    for _ in 0..=MAX_REAUTHORIZATIONS {
        answer(&mut whole, true);
        assert!(lapse(&mut whole));
    }
    assert_eq!((state(&whole), whole.parts.len()), (State::Expired, MAX_REAUTHORIZATIONS + 1));
    let last = whole.parts.last().unwrap().events.clone();
    assert!(whole.ended_short_with(&last));
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Answer(bool),
    Lapse,
    RunOut,
    Void,
    Capture(Option<i64>),
    Refund(Option<i64>),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let part = proptest::option::of(1_i64..60);
    let one = prop_oneof![
        6 => prop::bool::weighted(0.8).prop_map(Move::Answer),
        2 => Just(Move::Lapse),
        1 => Just(Move::RunOut),
        1 => prop::bool::weighted(0.3).prop_map(|void| if void { Move::Void } else { Move::Answer(true) }),
        3 => part.clone().prop_map(Move::Capture),
        1 => part.prop_map(Move::Refund),
    ];
    proptest::collection::vec(one, 0..60)
}

const fn is_final(state: State) -> bool {
    matches!(state, State::Captured | State::Voided | State::Failed | State::Expired)
}

/// Held by any of them, or about to be.
fn held_or_asked(whole: &Payment) -> i64 {
    let asked = |part: &Payment| part.open_attempt(Operation::Authorize).map_or(0, |open| open.amount_minor);
    whole.parts.iter().map(|part| part.held_at("psp") + asked(part)).sum()
}

fn step(whole: &mut Payment, word: u128, step: Move) {
    match step {
        Move::Answer(good) => answer(whole, good),
        Move::Lapse => drop(lapse(whole)),
        Move::RunOut => run_out(whole),
        Move::Void => {
            if let Ok(VoidPlan::Now { .. } | VoidPlan::WhenKnown) = whole.standing().void() {
                whole.void_requested = true;
                let_go(whole);
            }
        }
        Move::Capture(asked) => drop(capture(whole, word, asked)),
        Move::Refund(asked) => {
            for (place, share) in whole.spread(Operation::Refund, asked).unwrap_or_default() {
                let key = Uuid::from_u128(word + 1_000);
                whole.parts[place].begin(Operation::Refund, key, Some(share)).unwrap();
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_lapses_no_more_than_the_rest_is_held_and_an_end_is_an_end(moves in moves()) {
        let mut whole = asked();
        let mut before = state(&whole);
        for (word, one) in moves.into_iter().enumerate() {
            let (holds, void_requested) = (whole.parts.len(), whole.void_requested);
            step(&mut whole, word as u128, one);
            let now = state(&whole);
            prop_assert!(!is_final(before) || now == before, "{before} became {now}");
            before = now;
            let taken = whole.amounts().captured_minor;
            prop_assert!(held_or_asked(&whole) <= ALL - taken, "{:?}", whole.parts);
            prop_assert!(!void_requested || whole.parts.len() == holds, "asked again although it was let go");
            let ended = |part: &Payment| is_final(part.standing().state);
            let earlier = &whole.parts[..whole.parts.len() - 1];
            prop_assert!(earlier.iter().all(ended), "two holds at once");
        }
        // Everybody answers in the end.
        for _ in 0..8 {
            for place in 0..whole.parts.len() {
                let open = whole.parts[place].attempts.iter().find(|attempt| attempt.is_open()).cloned();
                if let Some(open) = open {
                    let amount = if open.operation == Operation::Void {
                        whole.parts[place].held_at("psp")
                    } else {
                        open.amount_minor
                    };
                    whole.parts[place].settle(open.id, &done(&open, amount), AT);
                    follow(&mut whole);
                }
            }
        }
        let (standing, held) = (whole.standing(), held_or_asked(&whole));
        let taken = standing.amounts.captured_minor;
        match standing.state {
            State::Authorized => prop_assert_eq!((held, taken), (ALL, 0)),
            State::PartiallyCaptured => prop_assert_eq!(held, ALL - taken),
            State::Captured => prop_assert_eq!(held, 0),
            State::Voided | State::Failed | State::Expired => prop_assert_eq!((held, taken), (0, 0)),
            ended @ (State::RequiresAction | State::Processing | State::Unknown | State::Conflicted) => {
                prop_assert!(false, "it ended {ended}");
            }
        }
        let refunded = standing.amounts.refunded_minor;
        prop_assert!(taken <= ALL && refunded <= taken);
    }
}
