//! Whatever the peers answer, in whatever order: an order that is confirmed has its money and its stock, and one that has
//! ended otherwise has neither.

use proptest::prelude::*;
use stampede_types::{BuyerId, IdempotencyKey, Money, RequestId};
use time::OffsetDateTime;

use super::*;
use crate::domain::method::BuyerAction;
use crate::domain::order::{EndReason, Order};
use crate::domain::retry::{MOST_REFUSALS, UNKNOWN_AT_MOST};
use crate::domain::state::{Event, FulfilmentState, OrderState, PaymentState, StockState};

pub fn order() -> Order {
    let buyer: BuyerId = "alice".parse().unwrap();
    let money = Money::new(100, "EUR".parse().unwrap());
    let key: IdempotencyKey = "k".parse().unwrap();
    let request = RequestId::of(&buyer, &key);
    Order {
        id: request.order(20_778),
        reservation_id: request.first_reservation(),
        buyer,
        state: OrderState::AwaitingPayment,
        payment_state: PaymentState::Pending,
        stock_state: StockState::Held,
        fulfilment_state: FulfilmentState::None,
        lines: Vec::new(),
        subtotal: money,
        discount: Money::zero(money.currency()),
        shipping: Money::zero(money.currency()),
        promotions: Vec::new(),
        total: money,
        refunded: Money::zero(money.currency()),
        uncaptured: Money::zero(money.currency()),
        shipments: Vec::new(),
        returns: Vec::new(),
        payment: None,
        payment_attempt: 1,
        decline: String::new(),
        end_reason: None,
        expires_at: OffsetDateTime::UNIX_EPOCH,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
        version: 1,
    }
}

/// What the peers could truthfully answer at this step.
fn answers(step: Step) -> Vec<Outcome> {
    let mut answers = vec![
        Outcome::Done,
        Outcome::Away("no answer".into()),
        Outcome::Pending("not known".into()),
        Outcome::Refused("no".into()),
    ];
    match step.action() {
        Action::Authorize => {
            answers.extend([Outcome::Declined("do_not_honour".into()), Outcome::Buyer(action())])
        }
        Action::Capture | Action::CaptureShipment => {
            answers.push(Outcome::Declined("do_not_honour".into()));
        }
        Action::Commit | Action::Release => {
            answers.extend([Outcome::HoldExpired, Outcome::HoldReleased, Outcome::HoldCommitted]);
        }
        Action::Void => answers.push(Outcome::Captured),
        Action::Refund | Action::Return | Action::ReturnRefund | Action::Restock | Action::CloseReturn => {}
    }
    answers
}

/// Runs the saga with the given choices until it ends; `None` while it is still going. A choice of 32 or more is made when the
/// provider's session is over.
fn run(start: Step, choices: &[usize], order: Order) -> Option<Order> {
    run_with(start, choices, order, false)
}

fn run_with(start: Step, choices: &[usize], mut order: Order, captured_later: bool) -> Option<Order> {
    let mut step = start;
    for choice in choices {
        let answers = answers(step);
        let outcome = answers[choice % answers.len()].clone();
        let (session_over, stock_released) = (*choice >= 32, *choice % 16 >= 8);
        let waited = Waited { session_over, stock_released, captured_later, ..Waited::default() };
        match decide(step, outcome, waited) {
            Next::Go(next, change) => {
                order = order.with(&change).expect("the saga takes only legal steps");
                step = next;
            }
            Next::End(change) => return Some(order.with(&change).expect("the saga takes only legal steps")),
            Next::Again(..) | Next::Refused(_) | Next::Buyer(_) => {}
            Next::Review(_) => {
                let change = Change { event: Some(Event::ReviewNeeded), ..Change::default() };
                return Some(order.with(&change).expect("any order at work can be reviewed"));
            }
        }
    }
    None
}

fn is_whole(order: &Order) -> bool {
    match order.state {
        OrderState::Confirmed => {
            let later = order.uncaptured == order.total;
            let paid = if later { PaymentState::Authorized } else { PaymentState::Paid };
            (order.payment_state, order.stock_state) == (paid, StockState::Committed)
        }
        OrderState::Expired | OrderState::Cancelled => {
            let money_back = matches!(
                order.payment_state,
                PaymentState::Unpaid | PaymentState::Pending | PaymentState::Voided | PaymentState::Refunded
            );
            money_back && matches!(order.stock_state, StockState::Released | StockState::Returned)
        }
        // Declined: it may be paid again while the hold lasts.
        OrderState::AwaitingPayment => {
            (order.payment_state, order.stock_state) == (PaymentState::Unpaid, StockState::Held)
        }
        OrderState::ManualReview => true,
        OrderState::Fulfilling
        | OrderState::Shipped
        | OrderState::Delivered
        | OrderState::Completed
        | OrderState::Rejected
        | OrderState::Cancelling => false,
    }
}

proptest! {
    #[test]
    fn a_payment_ends_whole_or_undone_whatever_the_peers_answer(
        choices in prop::collection::vec(0..64_usize, 1..60),
        captured_later: bool,
    ) {
        if let Some(ended) = run_with(Step::Authorize, &choices, order(), captured_later) {
            prop_assert!(is_whole(&ended), "{ended:?}");
            prop_assert!(captured_later || ended.uncaptured.amount_minor() == 0);
        }
    }

    #[test]
    fn cancelling_a_paid_order_gives_back_both_money_and_stock(choices in prop::collection::vec(0..64_usize, 1..60)) {
        let mut paid = order();
        paid.state = OrderState::Cancelling;
        paid.payment_state = PaymentState::Paid;
        paid.stock_state = StockState::Committed;
        if let Some(ended) = run(Step::Refund, &choices, paid) {
            prop_assert!(is_whole(&ended), "{ended:?}");
        }
    }
}

fn waited(unknown_for: Duration) -> Waited {
    Waited { unknown_for, ..Waited::default() }
}

#[test]
fn an_unknown_payment_is_asked_again_and_never_given_up_for_another() {
    let next = decide(Step::Authorize, Outcome::Pending("PAYMENT_UNKNOWN".into()), Waited::default());
    assert_eq!(next, Next::Again(Pace::Unknown, "PAYMENT_UNKNOWN".into()));
}

fn action() -> BuyerAction {
    BuyerAction { url: "https://psp/3ds".into(), expires_at: OffsetDateTime::UNIX_EPOCH }
}

#[test]
fn a_buyer_is_waited_for_until_his_time_to_pay_ends_or_the_order_is_cancelled() {
    let asked = |step, waited| decide(step, Outcome::Buyer(action()), waited);
    assert_eq!(asked(Step::Authorize, waited(Duration::MAX)), Next::Buyer(action()));
    let over = Waited { session_over: true, ..Waited::default() };
    assert_eq!(asked(Step::Authorize, over), Next::Go(Step::VoidExpired, Change::default()));
    let released = Waited { stock_released: true, ..Waited::default() };
    assert!(matches!(asked(Step::Authorize, released), Next::Go(Step::VoidCancelled, _)));
    assert!(matches!(asked(Step::Capture, Waited::default()), Next::Review(_)));
}

#[test]
fn an_outage_is_never_a_reason_for_review_however_long_it_lasts() {
    for step in Step::ALL {
        let next = decide(*step, Outcome::Away("down".into()), waited(Duration::MAX));
        assert_eq!(next, Next::Again(Pace::Away, "down".into()), "{step}");
    }
}

#[test]
fn an_answer_that_stays_unknown_ends_with_a_person_and_not_a_moment_before() {
    for step in Step::ALL {
        let asked = |unknown_for| decide(*step, Outcome::Pending("?".into()), waited(unknown_for));
        assert_eq!(asked(UNKNOWN_AT_MOST - Duration::from_millis(1)), Next::Again(Pace::Unknown, "?".into()));
        assert!(matches!(asked(UNKNOWN_AT_MOST), Next::Review(_)), "{step}");
    }
}

#[test]
fn an_authorisation_that_is_not_known_when_the_session_ends_is_let_go_before_the_stock() {
    let over = Waited { session_over: true, ..Waited::default() };
    for silence in [Outcome::Away("down".into()), Outcome::Pending("?".into())] {
        let Next::Go(step, change) = decide(Step::Authorize, silence.clone(), over) else {
            panic!("{silence:?}")
        };
        assert_eq!((step, change.end_reason), (Step::VoidExpired, Some(EndReason::PaymentUnanswered)));
        // A capture is another matter: the stock is sold by then.
        assert!(matches!(decide(Step::Capture, silence, over), Next::Again(..)));
    }
    assert!(matches!(done(Step::VoidExpired), Next::Go(Step::ReleaseExpired, _)));
    assert!(matches!(done(Step::VoidCancelled), Next::Go(Step::ReleaseCancelled, _)));
}

#[test]
fn a_payment_whose_stock_was_taken_by_a_cancel_is_let_go_at_once() {
    let released = Waited { stock_released: true, ..Waited::default() };
    for silence in [Outcome::Away("down".into()), Outcome::Pending("?".into())] {
        let Next::Go(step, change) = decide(Step::Authorize, silence.clone(), released) else {
            panic!("{silence:?}")
        };
        assert_eq!((step, change.event), (Step::VoidCancelled, Some(Event::CancelRequested)));
        assert!(matches!(decide(Step::Capture, silence, released), Next::Again(..)));
    }
}

#[test]
fn money_that_somebody_else_has_captured_is_counted_before_it_confirms_anything() {
    assert!(matches!(decide(Step::Capture, Outcome::Captured, Waited::default()), Next::Review(_)));
}

#[test]
fn money_that_was_captured_all_the_same_is_given_back() {
    for (void, refund) in [
        (Step::VoidExpired, Step::RefundExpired),
        (Step::VoidCancelled, Step::RefundCancelled),
        (Step::VoidReturn, Step::Refund),
    ] {
        let next = decide(void, Outcome::Captured, Waited::default());
        assert!(matches!(&next, Next::Go(step, _) if *step == refund), "{next:?}");
    }
}

#[test]
fn a_decline_leaves_the_order_to_be_paid_again() {
    let next = decide(Step::Authorize, Outcome::Declined("insufficient_funds".into()), Waited::default());
    let Next::End(change) = next else { panic!("{next:?}") };
    let after = order().with(&change).unwrap();
    assert_eq!((after.state, after.payment_state), (OrderState::AwaitingPayment, PaymentState::Unpaid));
    assert_eq!(after.decline, "insufficient_funds");
}

#[test]
fn a_hold_lost_at_the_commit_is_followed_by_a_void_and_never_by_a_capture() {
    for outcome in [Outcome::HoldExpired, Outcome::HoldReleased] {
        let next = decide(Step::Commit, outcome, Waited::default());
        assert!(matches!(next, Next::Go(Step::VoidExpired | Step::VoidCancelled, _)), "{next:?}");
    }
}

#[test]
fn nothing_left_to_release_is_released() {
    for step in [Step::ReleaseExpired, Step::ReleaseCancelled] {
        for outcome in [Outcome::HoldExpired, Outcome::HoldReleased] {
            assert_eq!(
                decide(step, outcome, Waited::default()),
                decide(step, Outcome::Done, Waited::default())
            );
        }
    }
}

#[test]
fn authorising_capturing_letting_go_and_refunding_ask_payment_and_nothing_else_does() {
    for step in Step::ALL {
        let word = step.as_str();
        let money = ["AUTHORIZE", "CAPTURE", "VOID", "REFUND"].iter().any(|ask| word.contains(ask));
        assert_eq!(step.is_about_money(), money, "{step}");
    }
}

#[test]
fn money_that_is_taken_later_confirms_once_the_stock_is_committed_and_nothing_is_captured() {
    let waited = Waited { captured_later: true, ..Waited::default() };
    let Next::End(change) = decide(Step::Commit, Outcome::Done, waited) else { panic!("it goes on") };
    let held = Order { payment_state: PaymentState::Authorized, ..order() };
    let confirmed = held.with(&change).unwrap();
    assert_eq!((confirmed.state, confirmed.uncaptured), (OrderState::Confirmed, confirmed.total));
}

#[test]
fn a_shipments_money_that_is_refused_is_asked_for_again_until_a_person_looks() {
    let refused = |attempts| {
        let waited = Waited { attempts, ..Waited::default() };
        decide(Step::CaptureShipment, Outcome::Declined("do_not_honour".into()), waited)
    };
    assert_eq!(refused(MOST_REFUSALS - 1), Next::Refused("do_not_honour".into()));
    assert!(matches!(refused(MOST_REFUSALS), Next::Review(_)));
}
