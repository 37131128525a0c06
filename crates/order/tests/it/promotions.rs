//! Promotions on orders: what they take off, who gets the last use, and that a use always ends where its order ends.

use std::time::Duration;

use futures::future::join_all;
use stampede_order::store;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::ReservationState;
use stampede_proto::order::v1::promotion_action::Action;
use stampede_proto::order::v1::promotion_condition::Condition;
use stampede_proto::order::v1::*;
use tonic::Status;

use crate::shop::{Shop, eventually, fact, reason, want};

pub fn eur(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "EUR".into() }
}

/// 10 % off everything for whoever brings this coupon.
fn ten_percent(id: &str, coupon: &str) -> Promotion {
    Promotion {
        promotion_id: id.into(),
        title: "Ten percent".into(),
        conditions: vec![PromotionCondition { condition: Some(Condition::Coupon(coupon.into())) }],
        action: Some(PromotionAction { action: Some(Action::PercentOffBp(1_000)) }),
        ..Promotion::default()
    }
}

pub fn automatic(id: &str, action: Action) -> Promotion {
    let action = Some(PromotionAction { action: Some(action) });
    Promotion { promotion_id: id.into(), title: id.into(), action, ..Promotion::default() }
}

fn with(coupon: &str) -> CreateOrderRequest {
    CreateOrderRequest { coupons: vec![coupon.into()], ..want(&[("TEE", "", 1)]) }
}

impl Shop {
    pub async fn promote(&self, promotion: Promotion) -> Result<Promotion, Status> {
        let message = CreatePromotionRequest { promotion: Some(promotion) };
        let request = self.request("sam", "staff", message);
        self.promotions.clone().create_promotion(request).await.map(tonic::Response::into_inner)
    }

    /// Uses by unpaid orders and by paid ones.
    pub async fn uses(&self, id: &str) -> (i64, i64) {
        let request = self.request("sam", "staff", GetPromotionRequest { promotion_id: id.into() });
        let there = self.promotions.clone().get_promotion(request).await.unwrap().into_inner();
        (there.uses_reserved, there.uses_committed)
    }

    /// The counters and the rows of uses say the same.
    pub async fn uses_balance(&self) {
        let wrong: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM promotion p WHERE
               (use_limit IS NOT NULL OR budget_minor IS NOT NULL) AND (uses_taken, budget_taken) <>
               (SELECT count(*), coalesce(sum(amount_minor), 0)::bigint
                FROM order_promotion u WHERE u.promotion_id = p.promotion_id AND u.state <> 'RELEASED')
               OR EXISTS (SELECT FROM promotion_buyer b WHERE b.promotion_id = p.promotion_id AND b.uses <>
                 (SELECT count(*) FROM order_promotion u WHERE u.promotion_id = b.promotion_id
                    AND u.buyer_id = b.buyer_id AND u.state <> 'RELEASED'))",
        )
        .fetch_one(&self.database.pool)
        .await
        .unwrap();
        assert_eq!(wrong, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coupon_takes_its_share_off_and_the_order_says_so_for_ever() {
    let shop = Shop::open().await;
    shop.promote(ten_percent("P", "Save10")).await.unwrap();
    let body =
        CreateOrderRequest { coupons: vec!["SAVE10".into()], ..want(&[("TEE", "", 1), ("MUG", "", 1)]) };
    let order = shop.create("alice", "k1", body.clone()).await.unwrap();
    assert_eq!((order.subtotal.clone(), order.discount.clone()), (Some(eur(2_499)), Some(eur(249))));
    assert_eq!(order.total, Some(eur(2_250)));
    let lines: Vec<i64> = order.lines.iter().map(|line| line.total.as_ref().unwrap().amount_minor).collect();
    assert_eq!(lines.iter().sum::<i64>(), 2_250);
    let said =
        AppliedPromotion { promotion_id: "P".into(), discount: Some(eur(249)), title: "Ten percent".into() };
    assert_eq!(order.promotions, [said]);
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap(), order);
    assert_eq!(shop.create("alice", "k1", body).await.unwrap(), order);
    assert_eq!(shop.uses("P").await, (1, 0));
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_eq!(shop.uses("P").await, (0, 1));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promotions_without_a_coupon_apply_by_themselves_and_stack_from_the_prices_before() {
    let shop = Shop::open().await;
    shop.promote(automatic("A", Action::PercentOffBp(1_000))).await.unwrap();
    shop.promote(automatic("B", Action::AmountOff(eur(100)))).await.unwrap();
    let order = shop.create("alice", "k1", want(&[("MUG", "", 2)])).await.unwrap();
    assert_eq!(order.total, Some(eur(1_000 - 100 - 100)));
    assert_eq!(order.promotions.len(), 2);
    let twice = automatic("C", Action::BuyXGetY(BuyXGetY { buy: 1, get: 1 }));
    let group = |promotion| Promotion { stacking_group: "g".into(), ..promotion };
    shop.promote(group(Promotion { priority: 1, ..twice })).await.unwrap();
    shop.promote(group(Promotion { priority: 2, ..automatic("D", Action::PercentOffBp(9_000)) }))
        .await
        .unwrap();
    let order = shop.create("alice", "k2", want(&[("MUG", "", 2)])).await.unwrap();
    assert_eq!(order.total, Some(eur(1_000 - 100 - 100 - 500)));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_orders_at_once_on_five_uses_give_exactly_five() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 5, ..ten_percent("P", "SAVE") }).await.unwrap();
    let buyers: Vec<String> = (0..20).map(|at| format!("buyer{at}")).collect();
    let answers = join_all(buyers.iter().map(|buyer| shop.create(buyer, "k", with("SAVE")))).await;
    let answers = buyers.iter().zip(answers);
    let (won, lost): (Vec<_>, Vec<_>) = answers.partition(|(_, answer)| answer.is_ok());
    assert_eq!(won.len(), 5);
    let losers: Vec<&String> = lost.iter().map(|(buyer, _)| *buyer).collect();
    for (_, refused) in lost {
        // Too late to be written, or already known to be used up.
        let why = (fact(&refused, "total_minor"), fact(&refused, "why"));
        let word = reason(refused);
        assert!(
            (word == "PROMOTION_USED_UP" && why.0 == "1999")
                || (word == "COUPON_INVALID" && why.1 == "USED_UP"),
            "{word} {why:?}"
        );
    }
    assert_eq!(shop.uses("P").await, (5, 0));
    shop.uses_balance().await;
    // Nobody keeps stock for an order that was not written.
    let held = || {
        let floor = shop.warehouse.floor.lock().unwrap();
        floor.holds.values().filter(|hold| hold.state() == ReservationState::Pending).count()
    };
    assert_eq!(held(), 5);
    // Their keys are free at once for an order without it.
    for buyer in losers {
        shop.create(buyer, "k", want(&[("TEE", "", 1)])).await.unwrap();
    }
    assert_eq!(held(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_comes_back_when_its_order_is_cancelled_before_or_after_it_was_paid() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 1, budget: Some(eur(199)), ..ten_percent("P", "SAVE") })
        .await
        .unwrap();
    let first = shop.create("alice", "k1", with("SAVE")).await.unwrap();
    let second = eventually("known to be used up", async || {
        let answer = shop.create("bob", "k1", with("SAVE")).await;
        (fact(&answer, "why") == "USED_UP").then_some(answer)
    })
    .await;
    assert_eq!(reason(second), "COUPON_INVALID");
    shop.cancel("alice", &first).await.unwrap();
    assert_eq!(shop.uses("P").await, (0, 0));
    let third = eventually("free again", async || shop.create("bob", "k2", with("SAVE")).await.ok()).await;
    shop.pay("bob", &third, "tok_visa").await.unwrap();
    assert_eq!(shop.uses("P").await, (0, 1));
    shop.cancel("bob", &third).await.unwrap();
    // And a second time changes nothing.
    shop.cancel("bob", &third).await.unwrap();
    assert_eq!(shop.uses("P").await, (0, 0));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_comes_back_when_its_order_expires() {
    let shop = Shop::with_window(Duration::from_millis(400)).await;
    shop.promote(Promotion { use_limit: 1, ..ten_percent("P", "SAVE") }).await.unwrap();
    let order = shop.create("alice", "k1", with("SAVE")).await.unwrap();
    shop.reaches(&order, OrderState::Expired).await;
    assert_eq!(shop.uses("P").await, (0, 0));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_gets_no_more_than_his_own_uses_and_his_neighbour_his() {
    let shop = Shop::open().await;
    shop.promote(Promotion { per_buyer_limit: 1, ..ten_percent("P", "SAVE") }).await.unwrap();
    let at_once = join_all(["k1", "k2", "k3"].map(|key| shop.create("alice", key, with("SAVE")))).await;
    assert_eq!(at_once.iter().filter(|answer| answer.is_ok()).count(), 1);
    shop.create("bob", "k1", with("SAVE")).await.unwrap();
    assert_eq!(shop.uses("P").await, (2, 0));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_automatic_promotion_the_buyer_has_used_is_left_out_and_stops_no_order() {
    let shop = Shop::open().await;
    let once = Promotion { per_buyer_limit: 1, ..automatic("A", Action::PercentOffBp(1_000)) };
    shop.promote(once).await.unwrap();
    assert_eq!(shop.tee("k1").await.total, Some(eur(1_800)));
    assert_eq!(shop.tee("k2").await.total, Some(eur(1_999)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_never_passed_though_orders_come_at_once() {
    let shop = Shop::open().await;
    shop.promote(Promotion { budget: Some(eur(500)), ..ten_percent("P", "SAVE") }).await.unwrap();
    let keys: Vec<String> = (0..10).map(|key| format!("k{key}")).collect();
    let answers = join_all(keys.iter().map(|key| shop.create("alice", key, with("SAVE")))).await;
    // 199 each: two fit into 500, a third would not.
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coupon_that_does_not_apply_is_refused_with_why() {
    let shop = Shop::open().await;
    let least = PromotionCondition { condition: Some(Condition::MinimumSubtotal(eur(1_000_000))) };
    let mut dear = ten_percent("DEAR", "DEAR");
    dear.conditions.push(least);
    let at = |unix_seconds| Some(prost_types::Timestamp { seconds: unix_seconds, nanos: 0 });
    shop.promote(dear).await.unwrap();
    shop.promote(Promotion { closes_at: at(1_000), ..ten_percent("OLD", "OLD") }).await.unwrap();
    shop.promote(Promotion { opens_at: at(4_000_000_000), ..ten_percent("NEW", "NEW") }).await.unwrap();
    for (coupon, why) in [("NONE", "UNKNOWN"), ("DEAR", "UNMET"), ("OLD", "CLOSED"), ("NEW", "NOT_OPEN")] {
        let answer = shop.create("alice", coupon, with(coupon)).await;
        assert_eq!((fact(&answer, "coupon").as_str(), fact(&answer, "why").as_str()), (coupon, why));
        assert_eq!(reason(answer), "COUPON_INVALID");
    }
    assert_eq!(reason(shop.create("alice", "k", with("a b")).await), "INVALID_ARGUMENT");
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_is_a_line_that_costs_nothing_and_is_held_with_the_others() {
    let shop = Shop::open().await;
    let gift = automatic("G", Action::Gift(Gift { sku_id: "MUG".into() }));
    shop.promote(gift).await.unwrap();
    let order = shop.tee("k1").await;
    assert_eq!((order.lines.len(), order.total.clone()), (2, Some(eur(1_999))));
    assert_eq!((order.lines[1].sku_id.as_str(), order.lines[1].total.clone()), ("MUG", Some(eur(0))));
    let held = shop.warehouse.floor.lock().unwrap().holds[&order.reservation_id].lines.len();
    assert_eq!(held, 2);
    // Run out: the order goes without it, and takes no use.
    shop.warehouse.run_out("MUG");
    let without = shop.tee("k2").await;
    assert_eq!((without.lines.len(), without.promotions.len()), (1, 0));
    assert_eq!(shop.uses("G").await, (1, 0));
    let nothing = automatic("X", Action::Gift(Gift { sku_id: "NOSUCH".into() }));
    assert_eq!(reason(shop.promote(nothing).await), "INVALID_ARGUMENT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_promotion_twice_is_one_and_other_terms_under_its_id_are_refused() {
    let shop = Shop::open().await;
    let first = shop.promote(ten_percent("P", "SAVE")).await.unwrap();
    assert_eq!(shop.promote(ten_percent("P", "SAVE")).await.unwrap(), first);
    assert_eq!(reason(shop.promote(ten_percent("P", "OTHER")).await), "PROMOTION_EXISTS");
    for id in ["A", "B", "C"] {
        shop.promote(ten_percent(id, id)).await.unwrap();
    }
    let list = async |token: String| {
        let message = ListPromotionsRequest { page_size: 3, page_token: token };
        let request = shop.request("sam", "staff", message);
        shop.promotions.clone().list_promotions(request).await.map(tonic::Response::into_inner)
    };
    let page = list(String::new()).await.unwrap();
    let ids = |page: &ListPromotionsResponse| {
        page.promotions.iter().map(|one| one.promotion_id.clone()).collect::<Vec<_>>().concat()
    };
    assert_eq!(ids(&page), "ABC");
    let last = list(page.next_page_token).await.unwrap();
    assert_eq!((ids(&last).as_str(), last.next_page_token.as_str()), ("P", ""));
    assert_eq!(reason(list("zz".into()).await), "PAGE_TOKEN_INVALID");
    let message = GetPromotionRequest { promotion_id: "NONE".into() };
    let none = shop.promotions.clone().get_promotion(shop.request("sam", "staff", message)).await;
    assert_eq!(reason(none), "PROMOTION_NOT_FOUND");
    let bad = Promotion { closes_at: Some(prost_types::Timestamp::default()), ..ten_percent("Q", "Q") };
    let bad = Promotion { opens_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }), ..bad };
    assert_eq!(reason(shop.promote(bad).await), "INVALID_ARGUMENT");
    let dollars = Some(Money { amount_minor: 1, currency: "USD".into() });
    let mixed = Promotion { budget: dollars, ..automatic("M", Action::AmountOff(eur(1))) };
    assert_eq!(reason(shop.promote(mixed).await), "INVALID_ARGUMENT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_payment_leaves_the_use_with_its_order_until_somebody_ends_it() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 1, ..ten_percent("P", "SAVE") }).await.unwrap();
    let order = shop.create("alice", "k1", with("SAVE")).await.unwrap();
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    assert_eq!(shop.uses("P").await, (1, 0));
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_eq!(shop.uses("P").await, (0, 1));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_money_takes_the_use_again_unless_somebody_else_has_it() {
    let shop = Shop::with_window(Duration::from_millis(400)).await;
    shop.promote(Promotion { use_limit: 1, ..ten_percent("P", "SAVE") }).await.unwrap();
    let order = shop.create("alice", "k1", with("SAVE")).await.unwrap();
    shop.reaches(&order, OrderState::Expired).await;
    let retake = async || {
        let mut tx = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
        let id = order.order_id.parse().unwrap();
        let expired = store::orders::lock(&mut tx, id).await.unwrap().unwrap().order;
        let taken = store::uses::retake(&mut tx, &expired).await.unwrap();
        tx.commit().await.unwrap();
        taken
    };
    assert!(retake().await);
    assert_eq!(shop.uses("P").await, (1, 0));
    // It is taken: nobody takes it a second time.
    assert!(!retake().await);
    assert_eq!(shop.uses("P").await, (1, 0));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shipping_is_a_flat_fee_that_a_promotion_may_take_away() {
    let fee = Some(stampede_types::Money::new(490, "EUR".parse().unwrap()));
    let shop = Shop::with(|config| config.shipping_fee = fee).await;
    let order = shop.tee("k1").await;
    assert_eq!((order.shipping, order.total), (Some(eur(490)), Some(eur(1_999 + 490))));
    // A fee of another currency is none.
    let dollars = shop.create("alice", "k2", want(&[("HAT", "", 1)])).await.unwrap();
    assert_eq!(dollars.shipping.unwrap().amount_minor, 0);
    shop.promote(automatic("S", Action::FreeShipping(FreeShipping {}))).await.unwrap();
    let free = shop.tee("k3").await;
    assert_eq!((free.shipping, free.total), (Some(eur(0)), Some(eur(1_999))));
    assert_eq!(free.promotions[0].discount, Some(eur(490)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_loses_its_promotion_fails_alone_and_its_neighbours_are_written() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 1, ..ten_percent("P", "SAVE") }).await.unwrap();
    let keys: Vec<String> = (0..30).map(|key| format!("k{key}")).collect();
    let plain = join_all(keys.iter().map(|key| shop.create("alice", key, want(&[("TEE", "", 1)]))));
    let eager = join_all(keys.iter().map(|key| shop.create("bob", key, with("SAVE"))));
    let (plain, eager) = tokio::join!(plain, eager);
    assert!(plain.iter().all(Result::is_ok));
    assert_eq!(eager.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(shop.count("orders").await, 31);
    shop.uses_balance().await;
}
