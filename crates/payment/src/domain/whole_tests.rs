//! Several tenders: all of them or none, whatever becomes of each and in whatever order it is heard.

use proptest::prelude::*;
use stampede_types::OrderId;

use super::*;
use crate::domain::{Answer, CaptureMode, MethodKind, Token};

pub const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

pub fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, "EUR".parse().unwrap())
}

fn whole(amounts: &[i64]) -> Payment {
    let method = Method { kind: MethodKind::StoredValue, token: Token::new("gift") };
    let tenders = amounts.iter().map(|amount| Tender { amount: eur(*amount), method: method.clone() });
    let terms = Terms {
        order: OrderId::new(Uuid::nil()),
        amount: eur(amounts.iter().sum()),
        method: Method::tenders(),
        tenders: tenders.collect(),
        capture: CaptureMode::Manual,
    };
    let mut whole = Payment::whole(PaymentId::new(Uuid::nil()), terms, AT);
    whole.parts.extend(whole.part(0, &["psp".to_owned()], AT));
    whole
}

/// What the service writes after each change.
pub fn follow(whole: &mut Payment) {
    whole.decline = whole.decline.take().or_else(|| whole.parts.iter().find_map(|part| part.decline.clone()));
    if let Next::Begin(place) = whole.next() {
        whole.parts.extend(whole.part(place, &["psp".to_owned()], AT));
    }
    if whole.next() == Next::LetGo {
        let_go(whole);
    }
}

pub fn let_go(whole: &mut Payment) {
    for (place, plan) in whole.to_let_go() {
        match plan {
            VoidPlan::Now { amount_minor } => drop(whole.parts[place].begin_void(amount_minor)),
            VoidPlan::WhenKnown => whole.parts[place].void_requested = true,
            VoidPlan::Nothing => {}
        }
    }
}

fn done(attempt: &Attempt, amount_minor: i64) -> Answer {
    let (reference, currency) = (attempt.id.to_string(), "EUR".to_owned());
    Answer::Done { reference, amount_minor, currency, hold_expires_at: None }
}

/// A provider's good answer, or a refusal, to the first open attempt of a part.
fn answer(whole: &mut Payment, place: usize, good: bool) {
    let Some(part) = whole.parts.get_mut(place) else { return };
    let Some(open) = part.attempts.iter().find(|attempt| attempt.is_open()).cloned() else { return };
    let answer = match (open.operation, good) {
        // A void is never refused here: that is a conflict, and a person's.
        (Operation::Void, _) => done(&open, part.held_at("psp")),
        (Operation::Authorize | Operation::Capture | Operation::Refund, true) => {
            done(&open, open.amount_minor)
        }
        (Operation::Authorize | Operation::Capture | Operation::Refund, false) => {
            Answer::Refused { reference: None, decline: "lost_card".into() }
        }
    };
    part.settle(open.id, &answer, AT);
    follow(whole);
}

fn begin(whole: &mut Payment, operation: Operation, word: u128, asked: Option<i64>) -> bool {
    let Ok(shares) = whole.spread(operation, asked) else { return false };
    for (place, share) in shares {
        let part = &mut whole.parts[place];
        let key = attempt_id(part.id, operation, &Uuid::from_u128(word).to_string());
        part.begin(operation, key, Some(share)).unwrap();
    }
    true
}

fn held(amounts: &[i64]) -> Payment {
    let mut whole = whole(amounts);
    for place in 0..amounts.len() {
        answer(&mut whole, place, true);
    }
    whole
}

#[test]
fn tenders_are_asked_one_after_the_other_and_held_together() {
    let mut whole = whole(&[30, 70]);
    assert_eq!((whole.standing().state, whole.parts.len()), (State::Processing, 1));
    answer(&mut whole, 0, true);
    assert_eq!((whole.standing().state, whole.parts.len()), (State::Processing, 2));
    answer(&mut whole, 1, true);
    let standing = whole.standing();
    assert_eq!((standing.state, standing.amounts.authorized_minor), (State::Authorized, 100));
}

#[test]
fn a_tender_that_is_refused_lets_the_others_go() {
    let mut whole = whole(&[30, 70]);
    answer(&mut whole, 0, true);
    answer(&mut whole, 1, false);
    assert_eq!(whole.standing().state, State::Failed);
    assert_eq!(whole.decline.as_deref(), Some("lost_card"));
    answer(&mut whole, 0, true);
    let amounts = whole.amounts();
    assert_eq!((whole.standing().state, amounts.authorized_minor - amounts.voided_minor), (State::Failed, 0));
}

#[test]
fn money_is_taken_in_the_order_of_the_tenders_and_given_back_in_the_opposite_one() {
    let mut whole = held(&[30, 70]);
    assert_eq!(whole.spread(Operation::Capture, Some(50)), Ok(vec![(0, 30), (1, 20)]));
    assert_eq!(whole.spread(Operation::Capture, Some(101)), Err(Refused::Exceeds { left_minor: 100 }));
    assert!(begin(&mut whole, Operation::Capture, 1, None));
    (0..2).for_each(|place| answer(&mut whole, place, true));
    assert_eq!(whole.standing().state, State::Captured);
    assert_eq!(whole.spread(Operation::Refund, Some(80)), Ok(vec![(1, 70), (0, 10)]));
    assert!(begin(&mut whole, Operation::Refund, 2, Some(60)));
    assert!(!begin(&mut whole, Operation::Refund, 3, Some(60)), "60 and 60 of 100");
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Answer(usize, bool),
    Void,
    Capture(Option<i64>),
    Refund(Option<i64>),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let part = proptest::option::of(1_i64..80);
    let one = prop_oneof![
        6 => (0_usize..3, prop::bool::weighted(0.8)).prop_map(|(place, good)| Move::Answer(place, good)),
        1 => Just(Move::Void),
        2 => part.clone().prop_map(Move::Capture),
        1 => part.prop_map(Move::Refund),
    ];
    proptest::collection::vec(one, 0..40)
}

const fn is_final(state: State) -> bool {
    matches!(state, State::Captured | State::Voided | State::Failed | State::Expired)
}

proptest! {
    #[test]
    fn whatever_becomes_of_each_all_are_held_or_none_and_an_end_is_an_end(moves in moves()) {
        let mut whole = whole(&[30, 50, 20]);
        let mut state = whole.standing().state;
        for (word, step) in moves.into_iter().enumerate() {
            match step {
                Move::Answer(place, good) => answer(&mut whole, place, good),
                Move::Void => if let Ok(VoidPlan::Now { .. } | VoidPlan::WhenKnown) = whole.standing().void() {
                    whole.void_requested = true;
                    let_go(&mut whole);
                },
                Move::Capture(asked) => drop(begin(&mut whole, Operation::Capture, word as u128, asked)),
                Move::Refund(asked) => drop(begin(&mut whole, Operation::Refund, word as u128, asked)),
            }
            let now = whole.standing().state;
            prop_assert!(!is_final(state) || now == state, "{state} became {now}");
            state = now;
            for (place, part) in whole.parts.iter().enumerate() {
                let before = &whole.parts[..place];
                prop_assert!(before.iter().all(|one| one.amounts().authorized_minor > 0), "asked too early: {part:?}");
            }
        }
        // Everybody answers in the end, and what was let go is let go.
        for _ in 0..12 {
            (0..3).for_each(|place| answer(&mut whole, place, true));
        }
        let (standing, amounts) = (whole.standing(), whole.amounts());
        prop_assert_eq!(standing.pending, super::super::standing::Pending::default());
        let held = amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor;
        match standing.state {
            State::Authorized => prop_assert_eq!((held, amounts.captured_minor), (100, 0)),
            State::PartiallyCaptured => prop_assert_eq!(amounts.authorized_minor, 100),
            State::Captured => prop_assert_eq!(held, 0),
            State::Voided | State::Failed => prop_assert_eq!((held, amounts.captured_minor), (0, 0)),
            ended @ (State::RequiresAction
            | State::Processing
            | State::Unknown
            | State::Expired
            | State::Conflicted) => prop_assert!(false, "it ended {ended}"),
        }
        prop_assert!(amounts.refunded_minor <= amounts.captured_minor);
    }
}
