//! The rows that count uses of promotions: who waits for them, who never does, and that nobody waits in a circle.

use std::borrow::Cow;

use sqlx::migrate::Migrator;
use sqlx::{PgConnection, PgPool, Postgres, Row as _, Transaction};
use stampede_kit::testing;
use stampede_order::{MIGRATIONS, store};
use stampede_proto::order::v1::promotion_action::Action;
use stampede_proto::order::v1::promotion_condition::Condition;
use stampede_proto::order::v1::*;

use crate::promotions::{automatic, eur};
use crate::shop::{Shop, eventually, want};

/// 10 % off for everybody.
fn tenth(id: &str) -> Promotion {
    automatic(id, Action::PercentOffBp(1_000))
}

fn for_coupon(coupon: &str, promotion: Promotion) -> Promotion {
    let condition = PromotionCondition { condition: Some(Condition::Coupon(coupon.into())) };
    Promotion { conditions: vec![condition], ..promotion }
}

fn with_coupon(coupon: &str) -> CreateOrderRequest {
    CreateOrderRequest { coupons: vec![coupon.into()], ..want(&[("TEE", "", 1)]) }
}

/// Somebody holds the promotion's row until this is dropped, against readers that lock it too.
async fn hold(pool: &PgPool, promotion: &str) -> Transaction<'static, Postgres> {
    let mut tx = stampede_kit::postgres::begin(pool).await.unwrap();
    sqlx::query("SELECT FROM promotion WHERE promotion_id = $1 FOR UPDATE")
        .bind(promotion)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx
}

async fn process(conn: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(conn).await.unwrap()
}

/// Until somebody waits for what this session holds.
async fn somebody_waits_for(shop: &Shop, process: i32) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
    eventually("somebody waits", async || {
        let count: i64 =
            sqlx::query_scalar(waiting).bind(process).fetch_one(&shop.database.pool).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_paid_waits_for_no_promotions_row() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 5, per_buyer_limit: 5, ..tenth("P") }).await.unwrap();
    let order = shop.tee("k1").await;
    let held = hold(&shop.database.pool, "P").await;
    assert_eq!(shop.pay("alice", &order, "tok_visa").await.unwrap().state(), OrderState::Confirmed);
    drop(held);
    assert_eq!(shop.uses("P").await, (0, 1));
    shop.uses_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ever_waits_for_a_promotion_that_has_no_end() {
    let shop = Shop::open().await;
    shop.promote(tenth("FREE")).await.unwrap();
    let held = hold(&shop.database.pool, "FREE").await;
    let (kept, given_up, forgotten) = (shop.tee("k1").await, shop.tee("k2").await, shop.tee("k3").await);
    assert_eq!(kept.promotions.len(), 1);
    shop.pay("alice", &kept, "tok_visa").await.unwrap();
    shop.cancel("alice", &given_up).await.unwrap();
    shop.time_is_over(&forgotten).await;
    shop.reaches(&forgotten, OrderState::Expired).await;
    drop(held);
    assert_eq!(shop.uses("FREE").await, (0, 1));
    let written = "SELECT uses_taken, budget_taken FROM promotion";
    let taken: (i64, i64) = sqlx::query_as(written).fetch_one(&shop.database.pool).await.unwrap();
    assert_eq!(taken, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_without_promotions_is_placed_while_others_wait_for_a_promotions_row() {
    let shop = Shop::open().await;
    shop.promote(for_coupon("SAVE", Promotion { use_limit: 5, ..tenth("P") })).await.unwrap();
    let mut held = hold(&shop.database.pool, "P").await;
    let holder = process(&mut held).await;
    let plain = async {
        somebody_waits_for(&shop, holder).await;
        for key in ["k1", "k2", "k3"] {
            shop.tee(key).await;
        }
        drop(held);
    };
    let (waiting, ()) = tokio::join!(shop.create("bob", "k", with_coupon("SAVE")), plain);
    assert_eq!(waiting.unwrap().promotions.len(), 1);
    shop.uses_balance().await;
}

/// Between the refusal and the release of what it held, another try with its key, priced without the promotion, finds the same hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_written_on_stock_that_another_try_with_its_key_gives_back() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 1, ..tenth("P") }).await.unwrap();
    let mut last = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
    sqlx::query("UPDATE promotion SET uses_taken = 1").execute(&mut *last).await.unwrap();
    let taker = process(&mut last).await;
    shop.warehouse.trouble.close("release_reservation");
    let first = shop.create("alice", "k1", want(&[("TEE", "", 1)]));
    let second = async {
        somebody_waits_for(&shop, taker).await;
        last.commit().await.unwrap();
        eventually("it is refused", async || {
            (shop.warehouse.trouble.calls("release_reservation") == 1).then_some(())
        })
        .await;
        eventually("it is priced without", async || {
            let lines = want(&[("TEE", "", 1)]).lines;
            let message = QuotePriceRequest { lines, ..QuotePriceRequest::default() };
            let quote = shop.orders.clone().quote_price(shop.request("alice", "buyer", message)).await;
            quote.unwrap().into_inner().promotions.is_empty().then_some(())
        })
        .await;
        shop.create("alice", "k1", want(&[("TEE", "", 1)])).await
    };
    let let_go = async {
        eventually("both let go", async || {
            (shop.warehouse.trouble.calls("release_reservation") == 2).then_some(())
        })
        .await;
        shop.warehouse.trouble.open("release_reservation");
    };
    let (first, second, ()) = tokio::join!(first, second, let_go);
    assert!(first.is_err() && second.is_err(), "{first:?} {second:?}");
    assert_eq!(shop.count("orders").await, 0);
}

/// A release takes the promotion's row before the buyer's, as placing does: with the buyer's first, the two would wait for each
/// other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_uses_back_and_taking_them_never_wait_in_a_circle() {
    let shop = Shop::open().await;
    shop.promote(Promotion { use_limit: 9, per_buyer_limit: 9, ..tenth("P") }).await.unwrap();
    let (first, second) = (shop.tee("k1").await, shop.tee("k2").await);
    let mut placing = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
    // As far as whoever places has come when he has the promotion's row and not yet the buyer's.
    sqlx::query("SELECT FROM promotion FOR NO KEY UPDATE").execute(&mut *placing).await.unwrap();
    let placer = process(&mut placing).await;
    let release = async {
        let mut tx = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
        store::uses::release(&mut tx, &[first.order_id.parse().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    };
    let place = async {
        somebody_waits_for(&shop, placer).await;
        let order = store::orders::by_id(&mut placing, second.order_id.parse().unwrap()).await.unwrap();
        store::uses::lock(&mut placing, &[&order.unwrap()]).await.unwrap();
        placing.commit().await.unwrap();
    };
    tokio::join!(release, place);
    shop.uses_balance().await;
}

/// Overdue orders that have each taken a use of one promotion with a limit and of one without, by three buyers.
async fn leave_overdue(shop: &Shop, orders: i32) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "WITH placed AS (
           INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                               subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint, expires_at,
                               created_at, updated_at, promotions)
           SELECT gen_random_uuid(), 'b' || n % 3, 'AWAITING_PAYMENT', 'UNPAID', 'HELD', 'NONE', 'EUR', 1, 0, 1,
                  gen_random_uuid(), '', now() - interval '1 minute' + n * interval '1 ms', now(), now(), ''
           FROM generate_series(1, {orders}) AS n RETURNING order_id, buyer_id
         ), used AS (
           INSERT INTO order_promotion (order_id, promotion_id, buyer_id, amount_minor, state)
           SELECT order_id, promotion_id, buyer_id, 3, 'RESERVED' FROM placed, promotion
         ), buyers AS (
           INSERT INTO promotion_buyer SELECT 'P', buyer_id, count(*), {orders} FROM placed GROUP BY buyer_id
         )
         UPDATE promotion SET uses_taken = {orders}, budget_taken = 3 * {orders} WHERE promotion_id = 'P'"
    )))
    .execute(&shop.database.pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_orders_with_promotions_expire_in_a_few_transactions_and_every_use_is_back() {
    let shop = Shop::open().await;
    let limited = Promotion { per_buyer_limit: 1_000, budget: Some(eur(1_000_000)), ..tenth("P") };
    // What nobody brings: the orders that use them are made here.
    shop.promote(for_coupon("A", limited)).await.unwrap();
    shop.promote(for_coupon("B", tenth("FREE"))).await.unwrap();
    leave_overdue(&shop, 1_000).await;
    eventually("all have ended", async || {
        let left = "SELECT count(*) FROM orders WHERE state <> 'EXPIRED'";
        let left: i64 = sqlx::query_scalar(left).fetch_one(&shop.database.pool).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    assert_eq!((shop.uses("P").await, shop.uses("FREE").await), ((0, 0), (0, 0)));
    shop.uses_balance().await;
    // Every row says which transaction wrote it: one by one it would be a thousand.
    let written = "SELECT (SELECT count(DISTINCT xmin::text) FROM orders),
                          (SELECT count(DISTINCT xmin::text) FROM order_promotion WHERE state = 'RELEASED'),
                          (SELECT count(*) FROM order_promotion WHERE state <> 'RELEASED')";
    let (orders, uses, left): (i64, i64, i64) =
        sqlx::query_as(written).fetch_one(&shop.database.pool).await.unwrap();
    assert!(orders <= 10 && uses <= 10 && left == 0, "{orders} transactions, {uses} of uses, {left} left");
}

/// Uses of more than one counter can hold, and those of both kinds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_before_there_was_one_counter_is_carried_over() {
    let before: Vec<_> = MIGRATIONS.iter().filter(|one| one.version < 12).cloned().collect();
    let before = Migrator { migrations: Cow::Owned(before), ..Migrator::DEFAULT };
    let database = testing::database(&before).await;
    let old = "INSERT INTO promotion (promotion_id, priority, terms, use_limit, budget_minor, uses_reserved,
                                      uses_committed, budget_reserved, budget_committed)
               VALUES ('ALL', 0, '', 10, 500, 3, 7, 30, 70), ('USES', 0, '', 4, NULL, 1, 2, 5, 6),
                      ('MONEY', 0, '', NULL, 100, 1, 2, 40, 60), ('FREE', 0, '', NULL, NULL, 8, 9, 80, 90);
               INSERT INTO order_promotion VALUES (gen_random_uuid(), 'ALL', 'alice', 10, 'COMMITTED', now());
               INSERT INTO promotion_buyer VALUES ('ALL', 'alice', 1, 2)";
    sqlx::raw_sql(old).execute(&database.pool).await.unwrap();
    MIGRATIONS.run(&database.pool).await.unwrap();
    let now = "SELECT promotion_id, uses_taken, budget_taken FROM promotion ORDER BY promotion_id";
    let now: Vec<(String, i64, i64)> = sqlx::query_as(now).fetch_all(&database.pool).await.unwrap();
    let carried = [("ALL", 10, 100), ("FREE", 0, 0), ("MONEY", 3, 100), ("USES", 3, 11)];
    assert_eq!(now, carried.map(|(id, uses, budget)| (id.to_owned(), uses, budget)));
    // The limits still hold, and a promotion stays.
    for (change, why) in [
        ("UPDATE promotion SET uses_taken = 11 WHERE promotion_id = 'ALL'", "promotion_uses_within_limit"),
        ("UPDATE promotion SET budget_taken = 101 WHERE promotion_id = 'MONEY'", "promotion_within_budget"),
        ("UPDATE promotion SET uses_taken = 1 WHERE promotion_id = 'FREE'", "promotion_without_limits"),
        ("UPDATE promotion SET uses_taken = -1 WHERE promotion_id = 'USES'", "promotion_uses_taken_counts"),
        ("DELETE FROM promotion WHERE promotion_id = 'FREE'", "append-only"),
    ] {
        let refused = sqlx::raw_sql(change).execute(&database.pool).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{change}: {refused}");
    }
    let row = sqlx::query("SELECT count(*) FROM order_promotion").fetch_one(&database.pool).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
}
