//! Whose money it is that is found late, whatever the order has come to.

use stampede_types::Money;

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
        came_back: 0,
        saga: Saga::None,
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
            for saga in [Saga::None, Saga::UnderWay, Saga::Parked] {
                // Its saga is about another payment.
                let asked = |found| verdict(&order, Look { saga, ..look(&order, 1, found) });
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
    }
    let paying = standing(OrderState::AwaitingPayment, PaymentState::Pending);
    assert_eq!(asked(&paying, 2, Found::Held(ALL)), Verdict::Ours);
}

#[test]
fn a_conflict_on_the_payment_an_order_stands_on_is_a_persons_unless_a_saga_meets_it() {
    let confirmed = standing(OrderState::Confirmed, PaymentState::Paid);
    let found = Found::Conflicted(ALL);
    assert_eq!(asked(&confirmed, 2, found), Verdict::Person);
    for saga in [Saga::UnderWay, Saga::Parked] {
        let busy = Look { saga, ..look(&confirmed, 2, found) };
        assert_eq!(verdict(&confirmed, busy), Verdict::Later);
    }
}

#[test]
fn money_that_was_given_back_and_is_there_again_when_the_order_has_ended_is_a_persons_to_decide_about() {
    for state in [OrderState::Expired, OrderState::Cancelled] {
        let ended = standing(state, PaymentState::Refunded);
        for (found, back) in [(Found::Held(ALL), Verdict::Void), (Found::Taken(ALL), Verdict::Refund)] {
            assert_eq!(asked(&ended, 2, found), Verdict::Person, "{state}");
            let busy = Look { saga: Saga::UnderWay, ..look(&ended, 2, found) };
            assert_eq!(verdict(&ended, busy), Verdict::Later, "{state}");
            // Never for a second sale: the buyer was told that it is over.
            let decided = Look { retries: 1, ..look(&ended, 2, found) };
            assert_eq!(verdict(&ended, decided), back, "{state}");
        }
    }
}

#[test]
fn money_that_is_there_again_while_an_order_is_undone_is_looked_at_when_that_is_over() {
    let states = [OrderState::Cancelling, OrderState::ManualReview, OrderState::AwaitingPayment];
    for (state, saga) in states.into_iter().zip([Saga::UnderWay, Saga::Parked, Saga::UnderWay]) {
        let undoing = standing(state, PaymentState::Refunded);
        for found in [Found::Held(ALL), Found::Taken(ALL), Found::Conflicted(ALL)] {
            assert_eq!(
                verdict(&undoing, Look { saga, ..look(&undoing, 2, found) }),
                Verdict::Later,
                "{state}"
            );
        }
    }
}

/// A sold order of 100 of which returns gave 30 back.
fn partly_returned(state: OrderState) -> Order {
    let sold = standing(state, PaymentState::PartiallyRefunded);
    Order { refunded: Money::new(30, sold.total.currency()), ..sold }
}

#[test]
fn what_a_return_gave_back_and_is_there_again_is_a_persons_and_the_rest_is_the_orders() {
    for state in [OrderState::Fulfilling, OrderState::Delivered, OrderState::Completed] {
        let order = partly_returned(state);
        let there = |kept, came_back| Look { came_back, ..look(&order, 2, Found::Taken(kept)) };
        assert_eq!(verdict(&order, there(70, 0)), Verdict::Ours);
        assert_eq!(verdict(&order, there(100, 30)), Verdict::Person, "{state}");
        assert_eq!(verdict(&order, Look { retries: 1, ..there(100, 30) }), Verdict::Refund);
        assert_eq!(verdict(&order, Look { giving_back: true, ..there(70, 30) }), Verdict::Quiet);
        for saga in [Saga::UnderWay, Saga::Parked] {
            assert_eq!(verdict(&order, Look { saga, ..there(100, 30) }), Verdict::Later);
        }
    }
}

#[test]
fn of_a_sale_only_what_came_back_is_anybodys_to_move() {
    let order = partly_returned(OrderState::Delivered);
    let payment = order.id.payment(2);
    assert_eq!(keeps(&order, payment), 70);
    assert_eq!(loose(&order, payment, Found::Taken(90), 30), Found::Taken(20));
    // 20 were given back by hand, past the provider: they are still on the payment.
    assert_eq!(loose(&order, payment, Found::Taken(100), 10), Found::Taken(10));
    assert_eq!(loose(&order, payment, Found::Taken(100), 0), Found::Nothing);
    // Of a payment that was left behind nothing is the order's.
    assert_eq!(loose(&order, order.id.payment(1), Found::Taken(100), 0), Found::Taken(100));
    assert_eq!(keeps(&order, order.id.payment(1)), 0);
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
                let busy = Look { saga: Saga::UnderWay, ..look(&order, 2, found) };
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
fn an_order_whose_buyer_was_told_that_it_is_over_is_not_revived_when_its_money_comes_back() {
    let told = Order { end_reason: Some(EndReason::PaidTooLate), ..expired() };
    assert_eq!(asked(&told, 2, Found::Taken(ALL)), Verdict::Refund);
    assert_eq!(asked(&expired(), 2, Found::Taken(ALL)), Verdict::Revive);
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
