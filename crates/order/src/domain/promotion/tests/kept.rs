//! Edge case 25: what goes back for a part of an order with promotions, and what is kept of what they gave.

use proptest::prelude::*;

use super::*;
use crate::domain::fulfilment::Units;
use crate::domain::refund::refund;
use crate::domain::returns::{Return, ReturnState, Settled};

#[test]
fn what_is_sent_back_of_an_order_with_promotions_is_refunded_by_its_terms() {
    let two_for_one = candidate(promotion("p", Action::BuyXGetY { buy: 1, get: 1 }));
    let order = placed(bought(&[("TEE", 1_000, 1), ("MUG", 400, 1)], 300, &[two_for_one]));
    assert_eq!(order.total, money(1_300));
    let back = |line| refund(&order, &[Units { line, quantity: 1 }]);
    // The mug was free because of the tee: who keeps it alone pays for it. Shipping stays paid.
    assert_eq!((back(0), back(1)), (money(600), money(0)));
    let both = [Units { line: 0, quantity: 1 }, Units { line: 1, quantity: 1 }];
    assert_eq!(refund(&order, &both), order.total);
}

#[test]
fn edge_case_25_a_partial_return_of_buy_x_get_y_refunds_what_was_paid_less_the_new_total_of_what_is_kept() {
    let two_for_one = candidate(promotion("p", Action::BuyXGetY { buy: 1, get: 1 }));
    let order = placed(bought(&[("TEE", 1_000, 2)], 0, std::slice::from_ref(&two_for_one)));
    assert_eq!(order.total, money(1_000));
    // One of two goes back: the other costs its price, and nothing is refunded.
    assert_eq!(total_of_kept(&order, &[1]), Ok(money(1_000)));
    assert_eq!(total_of_kept(&order, &[0]), Ok(money(0)));
    let dearer = placed(bought(&[("TEE", 1_000, 1), ("MUG", 400, 1)], 0, &[two_for_one]));
    assert_eq!(dearer.total, money(1_000));
    // The dear one goes back: the cheap one is not free any more.
    assert_eq!(total_of_kept(&dearer, &[0, 1]), Ok(money(400)));
}

#[test]
fn what_is_kept_meets_the_conditions_again() {
    let conditions = Conditions {
        minimum_subtotal: Some(money(2_000)),
        coupon: Some("SAVE".parse().unwrap()),
        ..Conditions::default()
    };
    let terms = Promotion { conditions, ..promotion("p", Action::PercentOff(1_000)) };
    let priced = priced(&[("TEE", 1_000, 3)]);
    let coupons = ["save".parse().unwrap()];
    let basket = Basket { lines: &priced.lines, coupons: &coupons, shipping: money(300), at: None };
    let outcome = evaluate(basket, &[candidate(terms)]);
    let order = placed(priced.discounted(outcome, Vec::new()).unwrap());
    assert_eq!(order.total, money(2_700 + 300));
    assert_eq!(total_of_kept(&order, &[2]), Ok(money(1_800 + 300)));
    assert_eq!(total_of_kept(&order, &[1]), Ok(money(1_000 + 300)));
    assert_eq!(total_of_kept(&order, &[3]), Ok(order.total));
}

/// An order of two lines with a minimum of 20.00 for what the action gives, shipping 3.00.
fn with_minimum(action: Action) -> Order {
    let conditions = Conditions { minimum_subtotal: Some(money(2_000)), ..Conditions::default() };
    let terms = Promotion { conditions, ..promotion("p", action) };
    placed(bought(&[("TEE", 1_000, 2), ("MUG", 400, 1)], 300, &[candidate(terms)]))
}

#[test]
fn edge_case_25_a_gift_that_is_kept_without_what_it_came_with_costs_what_it_would_have_cost() {
    let order = with_minimum(Action::Gift("PIN".parse().unwrap()));
    assert_eq!((order.total, order.lines.len()), (money(2_700), 3));
    // Everything but the gift goes back: the gift is bought now, and was sent.
    let all = |line, quantity| Units { line, quantity };
    assert_eq!(refund(&order, &[all(0, 2), all(1, 1)]), money(2_700 - GIFT_WORTH - 300));
    // What is kept beside it is less than the minimum, or is not.
    assert_eq!(refund(&order, &[all(0, 1)]), money(1_000 - GIFT_WORTH));
    assert_eq!(refund(&order, &[all(1, 1)]), money(400));
    // Sent back with the rest, or by itself, it is worth nothing.
    assert_eq!(refund(&order, &[all(0, 1), all(2, 1)]), money(1_000));
    assert_eq!(refund(&order, &[all(2, 1)]), money(0));
    assert_eq!(refund(&order, &[all(0, 2), all(1, 1), all(2, 1)]), order.total);
}

#[test]
fn edge_case_25_shipping_is_free_only_while_its_condition_holds_for_what_is_kept() {
    let order = with_minimum(Action::FreeShipping);
    assert_eq!((order.total, order.shipping), (money(2_400), money(0)));
    let back = |line, quantity| refund(&order, &[Units { line, quantity }]);
    assert_eq!((back(1, 1), back(0, 1), back(0, 2)), (money(400), money(1_000 - 300), money(2_000 - 300)));
    assert_eq!(
        refund(&order, &[Units { line: 0, quantity: 2 }, Units { line: 1, quantity: 1 }]),
        order.total
    );
}

#[test]
fn a_gift_of_what_was_also_bought_is_told_from_it_by_its_place() {
    let gift = candidate(promotion("g", Action::Gift("TEE".parse().unwrap())));
    let priced = bought(&[("TEE", 0, 1), ("TEE", 1_000, 1)], 0, &[gift]);
    assert_eq!(gifts(&priced.lines, &priced.promotions).into_keys().collect::<Vec<_>>(), [2]);
    // A promotion whose gift was not given has no line.
    assert!(gifts(&priced.lines[..2], &priced.promotions).is_empty());
}

proptest! {
    #[test]
    fn all_of_it_kept_costs_what_was_paid_and_none_of_it_nothing(lines in baskets(), candidates in candidates()) {
        let open: Vec<Candidate> = candidates
            .into_iter()
            .map(|one| Candidate { uses_left: None, budget_left: None, ..one })
            .collect();
        let order = placed(bought(&lines, 500, &open));
        let all: Vec<u32> = order.lines.iter().map(|line| line.quantity.get()).collect();
        prop_assert_eq!(total_of_kept(&order, &all), Ok(order.total));
        prop_assert_eq!(total_of_kept(&order, &vec![0; all.len()]), Ok(money(0)));
    }

    /// What is given back is what was paid less the new total of what is kept, never below zero, in whatever pieces; and what is
    /// kept never costs less than the same promotions would ask for it in a shop that has no others.
    #[test]
    fn edge_case_25_a_refund_is_what_was_paid_less_the_new_total_of_what_is_kept(
        lines in baskets(), shipping in 0..=900_i64, candidates in candidates(),
        pieces in prop::collection::vec((0..12_usize, 1..=3_u32), 1..8)
    ) {
        let open = candidates.into_iter().map(|one| Candidate { uses_left: None, budget_left: None, ..one });
        let mut order = placed(bought(&lines, shipping, &open.collect::<Vec<_>>()));
        let mut kept: Vec<u32> = order.lines.iter().map(|line| line.quantity.get()).collect();
        let mut given = 0;
        let rest = (0..kept.len()).map(|line| (line, u32::MAX));
        for (line, quantity) in pieces.into_iter().map(|(at, units)| (at % kept.len(), units)).chain(rest).collect::<Vec<_>>() {
            let units = Units { line, quantity: quantity.min(kept[line]) };
            kept[line] -= units.quantity;
            let back = refund(&order, &[units]);
            let worth = total_of_kept(&order, &kept).unwrap().amount_minor();
            prop_assert_eq!(back.amount_minor(), (order.total.amount_minor() - given - worth).max(0));
            given += back.amount_minor();
            // Nobody keeps a gift, or free shipping, that the rest does not earn.
            let again: Vec<(&str, i64, u32)> = order.lines.iter().zip(&kept).enumerate()
                .filter(|(at, (_, kept))| **kept > 0 && !gifts(&order.lines, &order.promotions).contains_key(at))
                .map(|(_, (line, kept))| (line.sku.as_str(), line.unit_price.amount_minor(), *kept))
                .collect();
            let held = gifts(&order.lines, &order.promotions).into_keys().filter(|at| kept[*at] > 0).count();
            if !again.is_empty() {
                let same = order.promotions.iter().map(|applied| candidate((*applied.terms).clone()));
                let anew = bought(&again, shipping, &same.collect::<Vec<_>>());
                let earned = anew.lines.len() - again.len();
                let lost = i64::try_from(held.saturating_sub(earned)).unwrap() * GIFT_WORTH;
                prop_assert!(worth >= anew.total.amount_minor() + lost, "{worth} for {anew:?} and {lost}");
            }
            order.refunded = money(given);
            order.returns.push(Return {
                id: uuid::Uuid::nil(), state: ReturnState::Received, units: vec![units], reason: String::new(),
                settled: Some(Settled { refund: back, restock: false }), created_at: OffsetDateTime::UNIX_EPOCH,
            });
        }
        prop_assert_eq!(given, order.total.amount_minor());
    }
}
