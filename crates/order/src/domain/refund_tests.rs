//! Whatever is sent back, in whatever pieces: nobody gets more than he paid, and who sends all of it back gets all of it.

use proptest::prelude::*;
use stampede_types::{BuyerId, IdempotencyKey, Pool, RequestId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::domain::fulfilment::Shipment;
use crate::domain::returns::{Return, ReturnState, Settled};
use crate::domain::state::{FulfilmentState, OrderState, PaymentState, StockState};

fn eur(minor: i64) -> Money {
    Money::new(minor, "EUR".parse().unwrap())
}

/// An order of lines as (total, quantity).
fn order(lines: &[(i64, u32)]) -> Order {
    let buyer: BuyerId = "alice".parse().unwrap();
    let key: IdempotencyKey = "k".parse().unwrap();
    let total = eur(lines.iter().map(|(total, _)| total).sum());
    let line = |(total, quantity): &(i64, u32)| Line {
        sku: "TEE".parse().unwrap(),
        pool: Pool::Shelf,
        quantity: (*quantity).try_into().unwrap(),
        title: "Tee".into(),
        unit_price: eur(0),
        discount: eur(0),
        total: eur(*total),
    };
    let request = RequestId::of(&buyer, &key);
    Order {
        id: request.order(20_778),
        reservation_id: request.first_reservation(),
        buyer,
        state: OrderState::Delivered,
        payment_state: PaymentState::Paid,
        stock_state: StockState::Committed,
        fulfilment_state: FulfilmentState::Delivered,
        lines: lines.iter().map(line).collect(),
        subtotal: total,
        discount: eur(0),
        shipping: eur(0),
        total,
        promotions: Vec::new(),
        refunded: eur(0),
        uncaptured: eur(0),
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

/// Settles a return of these units; what it gave back.
fn send_back(order: &mut Order, units: &[Units]) -> i64 {
    let refund = refund(order, units);
    order.refunded = order.refunded.checked_add(refund).unwrap();
    order.returns.push(Return {
        id: Uuid::nil(),
        state: ReturnState::Received,
        units: units.to_vec(),
        reason: String::new(),
        settled: Some(Settled { refund, restock: false }),
        created_at: OffsetDateTime::UNIX_EPOCH,
    });
    refund.amount_minor()
}

/// Takes the money of these units and has them leave.
fn leave(order: &mut Order, units: &[Units]) {
    let units: Vec<Units> = units.iter().copied().filter(|units| units.quantity > 0).collect();
    let share = order.share_of(&units);
    let left = order.uncaptured.amount_minor() - share.amount_minor();
    assert!((0..=order.uncaptured.amount_minor()).contains(&left));
    order.uncaptured = eur(left);
    if !units.is_empty() {
        order.shipments.push(Shipment {
            id: Uuid::nil(),
            units,
            shipped_at: OffsetDateTime::UNIX_EPOCH,
            delivered_at: None,
        });
    }
}

fn one(line: usize) -> [Units; 1] {
    [Units { line, quantity: 1 }]
}

#[test]
fn three_units_of_a_hundred_go_back_as_33_33_and_34() {
    let mut order = order(&[(100, 3)]);
    let refunds =
        [send_back(&mut order, &one(0)), send_back(&mut order, &one(0)), send_back(&mut order, &one(0))];
    assert_eq!(refunds, [33, 33, 34]);
}

#[test]
fn a_unit_is_refunded_at_what_its_own_line_paid() {
    let mut order = order(&[(1_000, 2), (90, 1)]);
    assert_eq!(send_back(&mut order, &one(1)), 90);
    assert_eq!(send_back(&mut order, &one(0)), 500);
}

#[test]
fn a_return_that_is_not_back_yet_or_was_rejected_counts_for_nothing() {
    let mut order = order(&[(100, 3)]);
    send_back(&mut order, &one(0));
    let back = order.returns.pop().unwrap();
    order.refunded = eur(0);
    for state in [ReturnState::Requested, ReturnState::Approved, ReturnState::Rejected] {
        order.returns.push(Return { state, settled: None, ..back.clone() });
    }
    assert_eq!(send_back(&mut order, &one(0)), 33);
}

#[test]
fn who_was_given_back_more_than_the_rest_is_worth_gets_nothing_and_owes_nothing() {
    let mut order = order(&[(100, 2)]);
    order.refunded = eur(80);
    assert_eq!(send_back(&mut order, &one(0)), 0);
    assert_eq!(send_back(&mut order, &one(0)), 20);
}

#[test]
fn the_largest_order_does_not_overflow() {
    let mut order = order(&[(1_000_000_000_000, 1_000)]);
    assert_eq!(send_back(&mut order, &[Units { line: 0, quantity: 999 }]), 999_000_000_000);
}

proptest! {
    #[test]
    fn pieces_always_sum_to_the_whole(
        lines in prop::collection::vec((0..1_000_000_i64, 1..20_u32), 1..5),
        choices in prop::collection::vec((0..5_usize, 1..5_u32), 1..60),
    ) {
        let mut order = order(&lines);
        let mut left: Vec<u32> = lines.iter().map(|(_, quantity)| *quantity).collect();
        let mut given = 0;
        for (line, quantity) in choices {
            let line = line % left.len();
            let quantity = quantity.min(left[line]);
            if quantity > 0 {
                left[line] -= quantity;
                let (total, units) = lines[line];
                let exact = total as f64 * f64::from(quantity) / f64::from(units);
                let now = send_back(&mut order, &[Units { line, quantity }]);
                prop_assert!((now as f64 - exact).abs() <= 1.0, "{now} for {exact}");
                given += now;
                prop_assert!(given <= order.total.amount_minor());
            }
        }
        let rest: Vec<Units> =
            left.iter().enumerate().map(|(line, quantity)| Units { line, quantity: *quantity }).collect();
        given += send_back(&mut order, &rest);
        prop_assert_eq!(given, order.total.amount_minor());
    }

    #[test]
    fn what_units_take_as_they_leave_covers_what_goes_back_and_sums_to_the_total(
        lines in prop::collection::vec((0..1_000_000_i64, 1..6_u32), 1..4),
        shipping in 0..1_000_i64,
        choices in prop::collection::vec((0..4_usize, 1..4_u32, any::<bool>()), 1..40),
    ) {
        let mut order = order(&lines);
        order.shipping = eur(shipping);
        order.total = order.total.checked_add(order.shipping).unwrap();
        order.uncaptured = order.total;
        let mut there = vec![0_u32; lines.len()];
        for (line, quantity, ships) in choices {
            let line = line % lines.len();
            if ships {
                let quantity = quantity.min(order.left_to_ship()[line]);
                leave(&mut order, &[Units { line, quantity }]);
                there[line] += quantity;
            } else if there[line] > 0 {
                let quantity = quantity.min(there[line]);
                there[line] -= quantity;
                send_back(&mut order, &[Units { line, quantity }]);
            }
            let taken = order.total.amount_minor() - order.uncaptured.amount_minor();
            prop_assert!(order.refunded.amount_minor() <= taken, "{order:?}");
        }
        let rest = crate::domain::fulfilment::all(&order.left_to_ship());
        leave(&mut order, &rest);
        prop_assert_eq!(order.uncaptured.amount_minor(), 0);
    }
}
