//! What promotions promise, over random baskets and random terms.

mod kept;

use proptest::prelude::*;
use stampede_types::{Currency, OrderId, ReservationId};

use super::spread::spread;
use super::*;
use crate::domain::order::Order;
use crate::domain::pricing::{Offer, Priced, Wanted, price};
use crate::domain::state::{FulfilmentState, OrderState, PaymentState, StockState};

const SKUS: [&str; 4] = ["TEE", "MUG", "HAT", "SOCK"];
/// What every gift would have cost.
const GIFT_WORTH: i64 = 250;

fn eur() -> Currency {
    "EUR".parse().unwrap()
}

fn money(amount: i64) -> Money {
    Money::new(amount, eur())
}

/// Lines as (SKU, unit price, quantity).
fn priced(lines: &[(&str, i64, u32)]) -> Priced {
    let items = lines.iter().map(|(sku, unit_price, quantity)| {
        let wanted = Wanted {
            sku: sku.parse().unwrap(),
            pool: Pool::Shelf,
            quantity: (*quantity).try_into().unwrap(),
        };
        (wanted, Offer { title: (*sku).into(), unit_price: money(*unit_price) })
    });
    price(items.collect()).unwrap()
}

fn promotion(id: &str, action: Action) -> Promotion {
    Promotion {
        id: id.into(),
        title: id.into(),
        priority: 0,
        stacking_group: String::new(),
        conditions: Conditions::default(),
        action,
        opens_at: None,
        closes_at: None,
        per_buyer_limit: None,
        use_limit: None,
        budget: None,
    }
}

fn candidate(terms: Promotion) -> Candidate {
    Candidate { terms: Arc::new(terms), uses_left: None, budget_left: None }
}

fn bought(lines: &[(&str, i64, u32)], shipping: i64, candidates: &[Candidate]) -> Priced {
    let priced = priced(lines);
    let basket = Basket { lines: &priced.lines, coupons: &[], shipping: money(shipping), at: None };
    let outcome = evaluate(basket, candidates);
    let worth = Offer { title: "gift".into(), unit_price: money(GIFT_WORTH) };
    let offers = vec![worth; outcome.gifts.len()];
    priced.discounted(outcome, offers).unwrap()
}

fn placed(priced: Priced) -> Order {
    let at = OffsetDateTime::UNIX_EPOCH;
    Order {
        id: OrderId::new(uuid::Uuid::nil()),
        buyer: "alice".parse().unwrap(),
        state: OrderState::Completed,
        payment_state: PaymentState::Paid,
        stock_state: StockState::Committed,
        fulfilment_state: FulfilmentState::Delivered,
        lines: priced.lines,
        subtotal: priced.subtotal,
        discount: priced.discount,
        shipping: priced.shipping,
        total: priced.total,
        promotions: priced.promotions,
        refunded: money(0),
        uncaptured: money(0),
        shipments: Vec::new(),
        returns: Vec::new(),
        reservation_id: ReservationId::new(uuid::Uuid::nil()),
        end_reason: None,
        payment: None,
        payment_attempt: 1,
        decline: String::new(),
        expires_at: at,
        created_at: at,
        updated_at: at,
        version: 1,
    }
}

fn off(lines: &[(&str, i64, u32)], action: Action) -> Vec<i64> {
    let priced = bought(lines, 0, &[candidate(promotion("p", action))]);
    priced.lines.iter().map(|line| line.discount.amount_minor()).collect()
}

#[test]
fn every_action_takes_off_what_it_says() {
    let lines = [("TEE", 1_000, 2), ("MUG", 333, 1)];
    // 10 % of 23.33 is 2.33, spread by largest remainder.
    assert_eq!(off(&lines, Action::PercentOff(1_000)), [200, 33]);
    assert_eq!(off(&lines, Action::AmountOff(money(100))), [86, 14]);
    assert_eq!(off(&lines, Action::AmountOff(money(1_000_000))), [2_000, 333]);
    assert_eq!(off(&lines, Action::FlashPrice(money(400))), [1_200, 0]);
    // Of three units the cheapest is free; of five still one.
    assert_eq!(off(&lines, Action::BuyXGetY { buy: 2, get: 1 }), [0, 333]);
    assert_eq!(off(&[("TEE", 1_000, 4), ("MUG", 333, 1)], Action::BuyXGetY { buy: 1, get: 1 }), [1_000, 333]);
    let gift = bought(&lines, 490, &[candidate(promotion("g", Action::Gift("PIN".parse().unwrap())))]);
    assert_eq!((gift.lines.len(), gift.total.amount_minor()), (3, 2_333 + 490));
    let worth = gifts(&gift.lines, &gift.promotions).into_iter().map(|(at, one)| (at, one.gift_worth));
    assert_eq!(worth.collect::<Vec<_>>(), [(2, money(GIFT_WORTH))]);
    let free = bought(&lines, 490, &[candidate(promotion("s", Action::FreeShipping))]);
    assert_eq!((free.total.amount_minor(), free.promotions[0].discount.amount_minor()), (2_333, 490));
}

#[test]
fn a_promotion_is_open_from_its_first_instant_to_before_its_last() {
    let hour = |hour: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::hours(hour);
    let terms = Promotion {
        opens_at: Some(hour(1)),
        closes_at: Some(hour(2)),
        ..promotion("p", Action::PercentOff(1_000))
    };
    let priced = priced(&[("TEE", 1_000, 1)]);
    let why = |at| {
        let basket = Basket { lines: &priced.lines, coupons: &[], shipping: money(0), at: Some(at) };
        evaluate(basket, &[candidate(terms.clone())]).declined.first().map(|declined| declined.why)
    };
    let instant = time::Duration::microseconds(1);
    assert_eq!(why(hour(1) - instant), Some(Why::NotOpen));
    assert_eq!((why(hour(1)), why(hour(2) - instant)), (None, None));
    assert_eq!(why(hour(2)), Some(Why::Closed));
}

#[test]
fn every_condition_must_hold_and_narrows_what_the_action_is_about() {
    let narrow =
        |conditions: Conditions| Promotion { conditions, ..promotion("p", Action::PercentOff(5_000)) };
    let lines = [("TEE", 1_000, 1), ("MUG", 500, 1)];
    let off = |conditions| bought(&lines, 0, &[candidate(narrow(conditions))]).discount.amount_minor();
    let minimum = |amount| Conditions { minimum_subtotal: Some(money(amount)), ..Conditions::default() };
    assert_eq!((off(minimum(1_500)), off(minimum(1_501))), (750, 0));
    let skus = |skus: &[&str]| Conditions {
        skus: skus.iter().map(|sku| sku.parse().unwrap()).collect(),
        ..Conditions::default()
    };
    assert_eq!((off(skus(&["MUG"])), off(skus(&["HAT"])), off(skus(&["MUG", "HAT"]))), (250, 0, 0));
    let campaign = Conditions { campaigns: vec!["FLASH".parse().unwrap()], ..Conditions::default() };
    assert_eq!(off(campaign), 0);
    let coupon = Conditions { coupon: Some("SAVE".parse().unwrap()), ..Conditions::default() };
    assert_eq!(off(coupon), 0);
    let dollars = Money::new(1, "USD".parse().unwrap());
    assert_eq!(off(Conditions { minimum_subtotal: Some(dollars), ..Conditions::default() }), 0);
}

#[test]
fn of_a_stacking_group_only_the_first_by_priority_that_gives_anything_applies() {
    let of_group = |id: &str, priority, action| {
        candidate(Promotion { priority, stacking_group: "sale".into(), ..promotion(id, action) })
    };
    let first = of_group("b", 1, Action::PercentOff(100));
    let second = of_group("a", 2, Action::PercentOff(9_000));
    let priced = bought(&[("TEE", 1_000, 1)], 0, &[second.clone(), first.clone()]);
    assert_eq!(priced.discount.amount_minor(), 10);
    let used_up = Candidate { uses_left: Some(0), ..first };
    assert_eq!(bought(&[("TEE", 1_000, 1)], 0, &[used_up, second]).discount.amount_minor(), 900);
}

#[test]
fn a_promotion_is_given_whole_or_not_at_all_when_its_budget_ends() {
    let left = |budget_left| {
        let one = Candidate {
            budget_left: Some(budget_left),
            ..candidate(promotion("p", Action::PercentOff(5_000)))
        };
        bought(&[("TEE", 1_000, 1)], 0, &[one]).discount.amount_minor()
    };
    assert_eq!((left(500), left(499)), (500, 0));
}

#[test]
fn coupons_are_compared_without_the_case_of_their_letters() {
    assert_eq!("Save10".parse::<Coupon>().unwrap(), "SAVE10".parse().unwrap());
    for bad in ["", "a b", "naïve", &"x".repeat(65), "a\0"] {
        assert_eq!(bad.parse::<Coupon>(), Err(InvalidCoupon), "{bad:?}");
    }
}

fn an_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..=10_000_u32).prop_map(Action::PercentOff),
        (0..=20_000_i64).prop_map(|amount| Action::AmountOff(money(amount))),
        (1..=4_u32, 1..=4_u32).prop_map(|(buy, get)| Action::BuyXGetY { buy, get }),
        Just(Action::FreeShipping),
        Just(Action::Gift("PIN".parse().unwrap())),
        (0..=2_000_i64).prop_map(|amount| Action::FlashPrice(money(amount))),
    ]
}

fn a_candidate() -> impl Strategy<Value = Candidate> {
    let conditions = (prop::option::of(0..=10_000_i64), prop::option::of(prop::sample::select(&SKUS)));
    let left = (prop::option::of(0..=2_i64), prop::option::of(0..=5_000_i64));
    (0..=3_u32, prop::sample::select(vec!["", "", "g", "h"]), conditions, an_action(), left).prop_map(
        |(priority, group, (minimum, sku), action, (uses_left, budget_left))| {
            let conditions = Conditions {
                minimum_subtotal: minimum.map(money),
                skus: sku.into_iter().map(|sku| sku.parse().unwrap()).collect(),
                ..Conditions::default()
            };
            let terms =
                Promotion { priority, stacking_group: group.into(), conditions, ..promotion("", action) };
            Candidate { terms: Arc::new(terms), uses_left, budget_left }
        },
    )
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(a_candidate(), 0..8).prop_map(|candidates| {
        (0..)
            .zip(candidates)
            .map(|(at, one): (u32, Candidate)| {
                let terms = Promotion { id: format!("p{at}").into(), ..(*one.terms).clone() };
                Candidate { terms: Arc::new(terms), ..one }
            })
            .collect()
    })
}

fn baskets() -> impl Strategy<Value = Vec<(&'static str, i64, u32)>> {
    prop::collection::vec((prop::sample::select(&SKUS), 0..=3_000_i64, 1..=6_u32), 1..8)
}

proptest! {
    #[test]
    fn lines_sum_to_the_total_and_none_costs_less_than_nothing(
        lines in baskets(), shipping in 0..=900_i64, candidates in candidates()
    ) {
        let priced = bought(&lines, shipping, &candidates);
        let sum: i64 = priced.lines.iter().map(|line| line.total.amount_minor()).sum();
        prop_assert_eq!(sum + priced.shipping.amount_minor(), priced.total.amount_minor());
        prop_assert!(priced.lines.iter().all(|line| line.total.amount_minor() >= 0));
        prop_assert!(priced.lines.iter().all(|line| line.discount.amount_minor() >= 0));
        prop_assert!(priced.discount.amount_minor() <= priced.subtotal.amount_minor());
        let given: i64 = priced.promotions.iter().map(|applied| applied.discount.amount_minor()).sum();
        let waived = shipping - priced.shipping.amount_minor();
        prop_assert_eq!(given, priced.discount.amount_minor() + waived);
    }

    #[test]
    fn the_order_of_promotions_is_irrelevant_and_the_result_always_the_same(
        lines in baskets(), candidates in candidates(), seed: u64
    ) {
        let mut shuffled = candidates.clone();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, usize::try_from(seed).unwrap_or(usize::MAX).wrapping_mul(31).wrapping_add(at * 7) % (at + 1));
        }
        prop_assert_eq!(bought(&lines, 500, &candidates), bought(&lines, 500, &shuffled));
    }

    /// Within a stacking group the shop says by priority which one it is, so that one there may give less than another would.
    #[test]
    fn a_promotion_more_never_raises_the_price(
        lines in baskets(), candidates in candidates(), more in a_candidate()
    ) {
        let terms = Promotion { stacking_group: String::new(), id: "more".into(), ..(*more.terms).clone() };
        let more = Candidate { terms: Arc::new(terms), ..more };
        let before = bought(&lines, 500, &candidates).total;
        let after = bought(&lines, 500, &[candidates, vec![more]].concat()).total;
        prop_assert!(after.amount_minor() <= before.amount_minor(), "{after:?} after {before:?}");
    }

    #[test]
    fn no_promotion_gives_more_than_is_left_of_its_budget(lines in baskets(), candidates in candidates()) {
        for applied in bought(&lines, 500, &candidates).promotions {
            let one = candidates.iter().find(|one| one.terms.id == applied.terms.id).unwrap();
            prop_assert!(one.budget_left.is_none_or(|left| applied.discount.amount_minor() <= left));
            prop_assert!(one.uses_left.is_none_or(|left| left > 0));
        }
    }

    #[test]
    fn parts_sum_to_the_amount_and_none_is_above_its_weight(
        amount in prop_oneof![0..=i64::MAX, 0..=1_000_000_i64], weights in prop::collection::vec(0..=1_000_000_000_000_i64, 0..120)
    ) {
        let parts = spread(amount, &weights);
        let sum: i64 = weights.iter().sum();
        prop_assert_eq!(parts.iter().sum::<i64>(), amount.min(sum));
        prop_assert!(parts.iter().zip(&weights).all(|(part, weight)| part <= weight));
    }
}
