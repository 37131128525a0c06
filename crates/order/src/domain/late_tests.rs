//! Whose money it is that is found late, whatever the order has come to.

use super::*;
use crate::domain::saga::tests::order;

const HOUR: Duration = Duration::from_hours(1);
/// What the order costs.
const ALL: i64 = 100;

fn standing(state: OrderState, payment_state: PaymentState) -> Order {
    Order { state, payment_state, payment: Some(order().id.payment(2)), ..order() }
}

fn look(order: &Order, attempt: u32, found: Found) -> Look {
    Look {
        payment: order.id.payment(attempt),
        found,
        under_way: false,
        giving_back: false,
        retries: 0,
        late_by: Duration::ZERO,
        revive_within: HOUR,
    }
}

fn asked(order: &Order, attempt: u32, found: Found) -> Verdict {
    verdict(order, look(order, attempt, found))
}

fn expired() -> Order {
    standing(OrderState::Expired, PaymentState::Voided)
}

#[test]
fn money_on_a_payment_that_was_left_behind_always_goes_back() {
    for state in OrderState::ALL {
        for payment_state in PaymentState::ALL {
            let order = standing(*state, *payment_state);
            for under_way in [false, true] {
                // Its saga is about another payment.
                let asked = |found| verdict(&order, Look { under_way, ..look(&order, 1, found) });
                assert_eq!(asked(Found::Held(ALL)), Verdict::Void, "{state}");
                assert_eq!(asked(Found::Taken(ALL)), Verdict::Refund, "{state}");
                assert_eq!(asked(Found::Conflicted(ALL)), Verdict::Person, "{state}");
            }
        }
    }
}

#[test]
fn money_that_an_order_stands_on_is_never_taken_from_it() {
    for state in [OrderState::Confirmed, OrderState::Shipped, OrderState::Completed] {
        let order = standing(state, PaymentState::Paid);
        assert_eq!(asked(&order, 2, Found::Taken(ALL)), Verdict::Ours);
        assert_eq!(asked(&order, 2, Found::Conflicted(ALL)), Verdict::Ours);
    }
    let paying = standing(OrderState::AwaitingPayment, PaymentState::Pending);
    assert_eq!(asked(&paying, 2, Found::Held(ALL)), Verdict::Ours);
}

#[test]
fn money_that_was_given_back_and_is_there_again_when_the_order_has_ended_is_a_persons_to_decide_about() {
    for state in [OrderState::Expired, OrderState::Cancelled] {
        let ended = standing(state, PaymentState::Refunded);
        for (found, back) in [(Found::Held(ALL), Verdict::Void), (Found::Taken(ALL), Verdict::Refund)] {
            assert_eq!(asked(&ended, 2, found), Verdict::Person, "{state}");
            let busy = Look { under_way: true, ..look(&ended, 2, found) };
            assert_eq!(verdict(&ended, busy), Verdict::Later, "{state}");
            // Never for a second sale: the buyer was told that it is over.
            let decided = Look { retries: 1, ..look(&ended, 2, found) };
            assert_eq!(verdict(&ended, decided), back, "{state}");
        }
    }
    let undoing = standing(OrderState::Cancelling, PaymentState::Refunded);
    assert_eq!(asked(&undoing, 2, Found::Taken(ALL)), Verdict::Ours);
}

#[test]
fn what_a_person_has_given_back_all_the_same_is_another_refund_each_time() {
    let (order, payment) = (order(), order().id.payment(2));
    let mut ids: Vec<_> = (0..3).map(|retries| refund_id(&order, payment, retries)).collect();
    ids.extend((0..3).map(|retries| order.refund_id(retries)));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn money_that_a_saga_is_about_to_find_is_left_to_it() {
    for state in OrderState::ALL {
        for payment_state in [PaymentState::Unpaid, PaymentState::Voided] {
            let order = standing(*state, payment_state);
            for found in [Found::Held(ALL), Found::Taken(ALL), Found::Conflicted(ALL)] {
                let busy = Look { under_way: true, ..look(&order, 2, found) };
                assert_eq!(verdict(&order, busy), Verdict::Later, "{state}");
            }
        }
    }
}

#[test]
fn an_expired_order_is_revived_while_it_may_be_and_a_cancelled_one_never() {
    let (expired, cancelled) = (expired(), standing(OrderState::Cancelled, PaymentState::Voided));
    for (found, back) in [(Found::Held(ALL), Verdict::Void), (Found::Taken(ALL), Verdict::Refund)] {
        let at = |late_by| verdict(&expired, Look { late_by, ..look(&expired, 2, found) });
        assert_eq!(at(HOUR - Duration::from_millis(1)), Verdict::Revive);
        assert_eq!(at(HOUR), back);
        assert_eq!(asked(&cancelled, 2, found), back);
    }
}

#[test]
fn an_order_is_revived_by_all_of_its_money_and_by_no_less() {
    let expired = expired();
    assert_eq!(asked(&expired, 2, Found::Taken(ALL - 1)), Verdict::Refund);
    assert_eq!(asked(&expired, 2, Found::Held(ALL - 1)), Verdict::Void);
    assert_eq!(asked(&expired, 2, Found::Taken(ALL)), Verdict::Revive);
}

#[test]
fn money_whose_return_was_begun_revives_no_order() {
    let expired = expired();
    for (found, back) in [(Found::Held(ALL), Verdict::Void), (Found::Taken(ALL), Verdict::Refund)] {
        assert_eq!(verdict(&expired, Look { giving_back: true, ..look(&expired, 2, found) }), back);
    }
}

#[test]
fn money_in_conflict_is_moved_by_a_person_and_nobody_else() {
    assert_eq!(asked(&expired(), 2, Found::Conflicted(ALL)), Verdict::Person);
}

#[test]
fn a_declined_payment_that_holds_money_all_the_same_lets_it_go() {
    let declined = standing(OrderState::AwaitingPayment, PaymentState::Unpaid);
    assert_eq!(asked(&declined, 2, Found::Held(ALL)), Verdict::Void);
}

#[test]
fn a_quiet_payment_is_asked_about_ever_more_rarely() {
    assert_eq!((pause(0), pause(1), pause(2), pause(u32::MAX)), (FIRST, 2 * FIRST, 4 * FIRST, LONGEST));
}
