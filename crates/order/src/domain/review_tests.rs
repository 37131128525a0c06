//! Whatever a person decides, at whatever step: only legal steps follow, and nothing is confirmed without its money and stock.

use super::*;
use crate::domain::saga::tests::order;

const BOTH: Facts = Facts { captured: true, committed: true };

/// An order in review that stood like this.
fn parked(payment: PaymentState, stock: StockState) -> Order {
    Order {
        state: OrderState::ManualReview,
        payment: Some(order().id.payment(1)),
        payment_state: payment,
        stock_state: stock,
        ..order()
    }
}

fn all() -> impl Iterator<Item = (Step, Order)> {
    Step::ALL.iter().flat_map(|step| {
        PaymentState::ALL.iter().flat_map(move |payment| {
            StockState::ALL.iter().map(move |stock| (*step, parked(*payment, *stock)))
        })
    })
}

#[test]
fn every_decision_that_is_possible_takes_only_legal_steps() {
    for (step, order) in all() {
        for way in possible(step, &order) {
            let plan = plan(way, step, &order, BOTH).unwrap();
            let back = order.with(&plan.resumed).unwrap();
            match plan.next {
                Next::Go(_, change) | Next::End(change) => back.with(&change).unwrap(),
                Next::Again(..) | Next::Refused(_) | Next::Buyer(_) | Next::Review(_) => {
                    panic!("{way} at {step} decides nothing")
                }
            };
        }
    }
}

#[test]
fn an_order_in_review_can_always_be_tried_again_and_always_be_brought_to_an_end() {
    for (step, order) in all() {
        let ways = possible(step, &order);
        assert!(ways.contains(&Resolution::Retry), "{step}");
        assert!(
            ways.contains(&Resolution::Cancel) || ways.contains(&Resolution::StepDone),
            "{step} {order:?}"
        );
    }
}

#[test]
fn nobody_confirms_an_order_without_its_money_or_its_stock() {
    let facts = [
        Facts { captured: false, committed: true },
        Facts { captured: true, committed: false },
        Facts::default(),
    ];
    for (step, order) in all() {
        for facts in facts {
            assert!(plan(Resolution::Confirm, step, &order, facts).is_err(), "{step} {facts:?}");
        }
    }
    let order = parked(PaymentState::Authorized, StockState::Committed);
    let plan = plan(Resolution::Confirm, Step::Capture, &order, BOTH).unwrap();
    let Next::End(change) = plan.next else { panic!("{plan:?}") };
    let confirmed = order.with(&plan.resumed).unwrap().with(&change).unwrap();
    assert_eq!(
        (confirmed.state, confirmed.payment_state, confirmed.stock_state),
        (OrderState::Confirmed, PaymentState::Paid, StockState::Committed)
    );
}

#[test]
fn nobody_says_of_money_or_stock_that_it_was_taken_by_hand() {
    let order = parked(PaymentState::Authorized, StockState::Committed);
    for step in [Step::Authorize, Step::Commit, Step::Capture, Step::CaptureShipment] {
        assert!(plan(Resolution::StepDone, step, &order, BOTH).is_err(), "{step}");
    }
}

#[test]
fn money_that_was_taken_is_given_back_whatever_the_stock_is() {
    for stock in StockState::ALL {
        let order = parked(PaymentState::Paid, *stock);
        let plan = plan(Resolution::Cancel, Step::Capture, &order, BOTH).unwrap();
        let Next::Go(step, _) = plan.next else { panic!("{plan:?}") };
        assert_eq!(step.action(), Action::Refund, "{stock}");
    }
}

#[test]
fn an_order_that_goes_on_by_itself_is_neither_cancelled_nor_confirmed_by_a_review() {
    let delivered =
        Order { state: OrderState::Delivered, ..parked(PaymentState::Paid, StockState::Committed) };
    let ways = possible(Step::Refund, &delivered);
    assert!(!ways.contains(&Resolution::Cancel) && !ways.contains(&Resolution::Confirm), "{ways:?}");
    let plan = plan(Resolution::Retry, Step::Refund, &delivered, BOTH).unwrap();
    assert_eq!(delivered.with(&plan.resumed).unwrap().state, OrderState::Delivered);
}

#[test]
fn a_token_says_where_its_page_ended_and_any_other_text_is_refused() {
    let since = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_000).unwrap();
    let place = Place { since, item: order().id.uuid() };
    assert_eq!(after(&token(place)), Ok(place));
    let id = order().id;
    for text in [
        "",
        ".",
        "1",
        "x.y",
        "1.x",
        &format!("9223372036854775807.{id}"),
        &format!("-99999999999999999.{id}"),
    ] {
        assert_eq!(after(text), Err(InvalidToken), "{text}");
    }
}

#[test]
fn late_money_is_tried_again_or_was_given_back_by_hand_and_moves_no_order() {
    let order = order();
    let left_behind = order.id.payment(9);
    let both = [Resolution::Retry, Resolution::StepDone];
    assert_eq!(possible_late(&order, left_behind, IN_CONFLICT), both);
    // Money that it stands on is not given back by saying so.
    let kept = Order { payment: Some(left_behind), payment_state: PaymentState::Paid, ..order };
    let kept = Order { state: OrderState::Confirmed, ..kept };
    assert_eq!(possible_late(&kept, left_behind, IN_CONFLICT), [Resolution::Retry]);
    assert_eq!(possible_late(&kept, left_behind, "it was refused"), both);
}
