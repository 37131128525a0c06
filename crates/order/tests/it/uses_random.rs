//! Random histories of orders with promotions, many at once and through two processes: uses are conserved. What is taken is what
//! live orders have, never above a limit, whoever placed, paid, cancelled or forgot what, in whatever order. A failure prints
//! its seed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use stampede_kit::client::Channel;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::promotion_action::Action;
use stampede_proto::order::v1::promotion_condition::Condition;
use stampede_proto::order::v1::*;
use stampede_proto::payment::v1::{CardToken, PaymentMethod, payment_method};
use tonic::{Code, Status};

use crate::promotions::{automatic, eur};
use crate::shop::{Shop, eventually, reason, want};

const CLIENTS: u64 = 8;
const STEPS: u64 = 25;
const BUYERS: [&str; 3] = ["alice", "bob", "carol"];
const COUPONS: [&str; 4] = ["USES", "MONEY", "BUYER", "ALL"];
/// How the service says no when nothing is wrong with it; the last one on a machine that has too much to do.
const HONEST: [&str; 7] = [
    "COUPON_INVALID",
    "PROMOTION_USED_UP",
    "PAYMENT_DECLINED",
    "ORDER_STATE",
    "ORDER_EXPIRED",
    "ORDER_BUSY",
    "UNAVAILABLE",
];

/// One for each kind of end, one with all of them, one that applies by itself and has none.
async fn promote(shop: &Shop) {
    let coupon = |promotion: Promotion| {
        let code = Condition::Coupon(promotion.promotion_id.clone());
        Promotion { conditions: vec![PromotionCondition { condition: Some(code) }], ..promotion }
    };
    let off = |id| automatic(id, Action::AmountOff(eur(7)));
    let all = Promotion { use_limit: 9, per_buyer_limit: 4, budget: Some(eur(60)), ..off("ALL") };
    for promotion in [
        coupon(Promotion { use_limit: 6, ..off("USES") }),
        coupon(Promotion { budget: Some(eur(40)), ..off("MONEY") }),
        coupon(Promotion { per_buyer_limit: 3, ..off("BUYER") }),
        coupon(all),
        off("FREE"),
        Promotion { use_limit: 25, ..off("COUNTED") },
    ] {
        shop.promote(promotion).await.unwrap();
    }
}

/// One client's way through the shop, by either of its processes.
struct Client<'a> {
    shop: &'a Shop,
    processes: [OrderServiceClient<Channel>; 2],
    random: SmallRng,
    name: u64,
    buyer: &'static str,
    orders: Vec<Order>,
    refused: BTreeSet<String>,
}

impl Client<'_> {
    async fn run(mut self) -> BTreeSet<String> {
        for step in 0..STEPS {
            let at = self.random.random_range(0..2);
            let process = self.processes[at].clone();
            let answer = match self.random.random_range(0..10) {
                0..5 => self.place(process, step).await,
                5..7 => self.pay(process).await,
                7..9 => self.cancel(process).await,
                _ => self.forget().await,
            };
            // Whoever had no answer in time does not know what was done, as in life.
            if answer.as_ref().is_err_and(|status| status.code() != Code::DeadlineExceeded) {
                self.refused.insert(reason(answer));
            }
        }
        self.refused
    }

    async fn place(&mut self, mut process: OrderServiceClient<Channel>, step: u64) -> Result<(), Status> {
        let coupons: Vec<String> =
            COUPONS.iter().filter(|_| self.random.random_ratio(1, 3)).map(|code| (*code).into()).collect();
        let message = CreateOrderRequest { coupons, ..want(&[("TEE", "", 1), ("MUG", "", 1)]) };
        let mut request = self.shop.request(self.buyer, "buyer", message);
        let key = format!("k{}-{step}", self.name);
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        self.orders.push(process.create_order(request).await?.into_inner());
        Ok(())
    }

    fn any(&mut self) -> Option<Order> {
        let last = self.orders.len().checked_sub(1)?;
        Some(self.orders[self.random.random_range(0..=last)].clone())
    }

    async fn pay(&mut self, mut process: OrderServiceClient<Channel>) -> Result<(), Status> {
        let Some(order) = self.any() else { return Ok(()) };
        let token = if self.random.random_ratio(1, 4) { "tok_declined" } else { "tok_visa" };
        let method = payment_method::Method::Card(CardToken { token: token.into() });
        let method = Some(PaymentMethod { method: Some(method) });
        let message = PayOrderRequest { order_id: order.order_id, method };
        process.pay_order(self.shop.request(self.buyer, "buyer", message)).await.map(drop)
    }

    async fn cancel(&mut self, mut process: OrderServiceClient<Channel>) -> Result<(), Status> {
        let Some(order) = self.any() else { return Ok(()) };
        let message = CancelOrderRequest { order_id: order.order_id, reason: String::new() };
        process.cancel_order(self.shop.request(self.buyer, "buyer", message)).await.map(drop)
    }

    async fn forget(&mut self) -> Result<(), Status> {
        if let Some(order) = self.any() {
            self.shop.time_is_over(&order).await;
        }
        Ok(())
    }
}

/// Limits that were passed, uses that are not where their orders are, promotions whose counters are not the sums of their uses.
async fn broken(shop: &Shop) -> Vec<String> {
    let rules = "SELECT 'limit ' || promotion_id FROM promotion
                   WHERE uses_taken > use_limit OR budget_taken > budget_minor
                 UNION ALL SELECT 'buyer ' || promotion_id FROM promotion_buyer WHERE uses > use_limit
                 UNION ALL SELECT 'astray ' || o.state || ' ' || u.state FROM order_promotion u JOIN orders o USING (order_id)
                   WHERE u.state <> CASE WHEN o.state IN ('EXPIRED', 'CANCELLED') THEN 'RELEASED'
                                         WHEN o.state = 'CONFIRMED' THEN 'COMMITTED' ELSE u.state END
                 UNION ALL SELECT 'uses ' || promotion_id FROM order_promotion WHERE state <> 'RELEASED'
                   GROUP BY promotion_id HAVING count(*) > CASE promotion_id WHEN 'USES' THEN 6 WHEN 'ALL' THEN 9
                                                           WHEN 'COUNTED' THEN 25 ELSE 1000000 END";
    sqlx::query_scalar(rules).fetch_all(&shop.database.pool).await.unwrap()
}

async fn conserves_uses(seed: u64) {
    let shop = Shop::open().await;
    promote(&shop).await;
    let processes = [shop.orders.clone(), shop.neighbour().await];
    // The neighbour knows the promotions once it has read them.
    eventually("both know the promotions", async || {
        let mut neighbour = processes[1].clone();
        let message =
            QuotePriceRequest { lines: want(&[("TEE", "", 1)]).lines, ..QuotePriceRequest::default() };
        let quote =
            neighbour.quote_price(shop.request("alice", "buyer", message)).await.unwrap().into_inner();
        (quote.promotions.len() == 2).then_some(())
    })
    .await;
    let clients = (0..CLIENTS).map(|name| {
        let client = Client {
            shop: &shop,
            processes: processes.clone(),
            random: SmallRng::seed_from_u64(seed.wrapping_mul(CLIENTS) + name),
            name,
            buyer: BUYERS[usize::try_from(name).unwrap() % BUYERS.len()],
            orders: Vec::new(),
            refused: BTreeSet::new(),
        };
        client.run()
    });
    let done = std::sync::atomic::AtomicBool::new(false);
    let watched = async {
        let mut seen = Vec::new();
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            seen.extend(broken(&shop).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        seen
    };
    let all = async {
        let refused = join_all(clients).await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        refused
    };
    let (refused, seen) = tokio::join!(all, watched);
    let odd: Vec<_> = refused.into_iter().flatten().filter(|word| !HONEST.contains(&word.as_str())).collect();
    assert_eq!((odd, seen), (Vec::<String>::new(), Vec::new()), "seed {seed}");
    // Whatever is left unpaid is forgotten, and everything comes to rest.
    let over = "UPDATE orders SET expires_at = now() WHERE state = 'AWAITING_PAYMENT'";
    sqlx::query(over).execute(&shop.database.pool).await.unwrap();
    eventually("everything has come to rest", async || {
        let open =
            "SELECT (SELECT count(*) FROM orders WHERE state NOT IN ('CONFIRMED', 'EXPIRED', 'CANCELLED'))
                         + (SELECT count(*) FROM saga)";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&shop.database.pool).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
    assert_eq!(broken(&shop).await, Vec::<String>::new(), "seed {seed}");
    shop.uses_balance().await;
    let used: i64 = shop.count("order_promotion WHERE state <> 'RELEASED'").await;
    assert!(used > 0, "seed {seed}: nothing was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_conserved_whatever_many_buyers_do_at_once() {
    conserves_uses(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "whoever sees it fail plays it again")]
async fn uses_are_conserved_in_a_history_that_nobody_has_seen_before() {
    let seed = u64::from(rand::random::<u32>());
    eprintln!("seed {seed}");
    conserves_uses(seed).await;
}
