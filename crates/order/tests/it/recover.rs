//! What a process that died leaves behind is taken up where it was left: the row says which step, the peers know whether it
//! was done.

use std::time::Duration;

use sqlx::PgPool;
use stampede_kit::testing::{self, TestDatabase};
use stampede_order::MIGRATIONS;
use stampede_order::domain::late::Saga;
use stampede_order::domain::method::{Method, MethodKind};
use stampede_order::domain::retry::Pace;
use stampede_order::domain::saga::Step;
use stampede_order::store::expire;
use stampede_order::store::saga::{self, Work};
use stampede_proto::order::v1::{Order, OrderPaymentState, OrderState};
use stampede_types::OrderId;
use uuid::Uuid;

use crate::shop::{Shop, eventually};

/// A lease that is over before anybody looks.
const OVER: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_mins(5);

fn work(order: OrderId, step: Step) -> Work {
    let method = Some(Method::one(MethodKind::Card, "tok_visa".into()));
    Work { method, ..Work::new(order, step) }
}

fn id(order: &Order) -> OrderId {
    order.order_id.parse().unwrap()
}

/// What PayOrder commits before its first step, by a worker that died right after.
async fn begin_and_die(shop: &Shop, order: &Order) {
    let mut tx = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
    sqlx::query("UPDATE orders SET payment_state = 'PENDING', payment_attempt = 1, payment_id = $2, version = version + 1 WHERE order_id = $1")
        .bind(id(order).uuid())
        .bind(id(order).payment(1).uuid())
        .execute(&mut *tx)
        .await
        .unwrap();
    assert!(saga::begin(&mut tx, &work(id(order), Step::Authorize), OVER).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_worker_died_is_finished_by_the_runner() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    begin_and_die(&shop, &order).await;
    let paid = shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!(paid.payment_state(), OrderPaymentState::Paid);
    assert_eq!((shop.bank.captures(), shop.count("saga").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_does_not_stop_his_payment() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.close("capture");
    let gone = tokio::time::timeout(Duration::from_millis(700), shop.pay("alice", &order, "tok_visa")).await;
    assert!(gone.is_err());
    shop.bank.trouble.open("capture");
    shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!(shop.bank.captures(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_no_rule_knows_leaves_the_order_to_a_person() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    // The bank has never heard of the payment that was paid.
    sqlx::query("UPDATE orders SET payment_id = $2 WHERE order_id = $1")
        .bind(id(&order).uuid())
        .bind(Uuid::now_v7())
        .execute(&shop.database.pool)
        .await
        .unwrap();
    let refused = shop.cancel("alice", &order).await;
    assert_eq!(crate::shop::reason(refused), "ORDER_STATE");
    shop.reaches(&order, OrderState::ManualReview).await;
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.needs_review"));
    let why: String = sqlx::query_scalar("SELECT last_error FROM saga WHERE parked_at IS NOT NULL")
        .fetch_one(&shop.database.pool)
        .await
        .unwrap();
    assert!(why.contains("PAYMENT_NOT_FOUND"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_events_arrive_on_the_stream() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    eventually("everything is published", async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox_waiting")
            .fetch_one(&shop.database.pool)
            .await
            .unwrap();
        (left == 0).then_some(())
    })
    .await;
    let client = async_nats::connect(testing::nats_url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let stored = context.get_stream(&shop.stream.name).await.unwrap();
    assert_eq!(stored.cached_info().state.messages, 2);
    context.delete_stream(&shop.stream.name).await.unwrap();
}

async fn placed(pool: &PgPool) -> OrderId {
    let id = OrderId::new(Uuid::now_v7());
    sqlx::query(
        "INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                             subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint, expires_at,
                             created_at, updated_at)
         VALUES ($1, 'alice', 'AWAITING_PAYMENT', 'UNPAID', 'HELD', 'NONE', 'EUR', 1, 0, 1, $1, '', now(), now(), now())",
    )
    .bind(id.uuid())
    .execute(pool)
    .await
    .unwrap();
    id
}

async fn empty() -> TestDatabase {
    testing::database(&MIGRATIONS).await
}

#[tokio::test]
async fn an_order_has_one_saga_at_a_time() {
    let database = empty().await;
    let order = placed(&database.pool).await;
    let mut conn = database.pool.acquire().await.unwrap();
    assert!(saga::begin(&mut conn, &work(order, Step::Authorize), LONG).await.unwrap());
    assert!(!saga::begin(&mut conn, &work(order, Step::ReleaseCancelled), LONG).await.unwrap());
    assert_eq!(expire::begin(&database.pool, Uuid::now_v7(), LONG, None, 10).await.unwrap(), []);
    assert_eq!(saga::of_order(&database.pool, order).await.unwrap(), Saga::UnderWay);
}

#[tokio::test]
async fn work_is_claimed_by_one_until_its_lease_is_over() {
    let database = empty().await;
    placed(&database.pool).await;
    assert_eq!(expire::begin(&database.pool, Uuid::now_v7(), OVER, None, 10).await.unwrap().len(), 1);
    let claim = |lease| saga::claim_due(&database.pool, Step::ALL, Uuid::now_v7(), lease, 10);
    let dead = claim(OVER).await.unwrap().pop().unwrap();
    assert_eq!(dead.step, Step::ReleaseExpired);
    let alive = claim(LONG).await.unwrap().pop().unwrap();
    assert!(claim(LONG).await.unwrap().is_empty());

    // What the dead one finds out when it comes back is not written.
    let mut conn = database.pool.acquire().await.unwrap();
    assert_eq!(saga::go(&mut conn, &dead, Step::Return, LONG).await.unwrap(), None);
    assert!(!saga::again(&database.pool, &dead, Pace::Away, "late", OVER).await.unwrap());
    assert!(!saga::end(&mut conn, &dead).await.unwrap());
    assert!(saga::end(&mut conn, &alive).await.unwrap());
}

#[tokio::test]
async fn work_that_failed_waits_for_its_time_and_parked_work_for_ever() {
    let database = empty().await;
    let order = placed(&database.pool).await;
    expire::begin(&database.pool, Uuid::now_v7(), OVER, None, 10).await.unwrap();
    let claim = || async {
        saga::claim_due(&database.pool, Step::ALL, Uuid::now_v7(), LONG, 10).await.unwrap().pop()
    };
    let first = claim().await.unwrap();
    assert!(saga::again(&database.pool, &first, Pace::Away, "down", LONG).await.unwrap());
    assert!(claim().await.is_none());
    sqlx::query("UPDATE saga SET next_at = now()").execute(&database.pool).await.unwrap();
    let second = claim().await.unwrap();
    assert_eq!(second.attempt, 1);
    let mut conn = database.pool.acquire().await.unwrap();
    assert!(saga::park(&mut conn, &second, "no rule").await.unwrap());
    assert!(claim().await.is_none());
    assert_eq!(saga::of_order(&database.pool, order).await.unwrap(), Saga::Parked);
    assert!(saga::is_parked(&database.pool, order).await.unwrap());
    assert_eq!(saga::backlog(&database.pool).await.unwrap(), saga::Backlog { open: 0, parked: 1 });
}

#[tokio::test]
async fn a_confirmed_order_without_money_or_stock_cannot_be_written() {
    let database = empty().await;
    let order = placed(&database.pool).await;
    let refused = sqlx::query("UPDATE orders SET state = 'CONFIRMED' WHERE order_id = $1")
        .bind(order.uuid())
        .execute(&database.pool)
        .await
        .unwrap_err();
    let constraint = refused.as_database_error().and_then(|error| error.constraint().map(str::to_owned));
    assert_eq!(constraint.as_deref(), Some("orders_confirmed_is_paid"));
}

#[tokio::test]
async fn a_step_that_only_a_later_program_knows_keeps_no_other_saga_waiting() {
    let database = empty().await;
    let (strange, plain) = (placed(&database.pool).await, placed(&database.pool).await);
    let mut conn = database.pool.acquire().await.unwrap();
    for order in [strange, plain] {
        assert!(saga::begin(&mut conn, &work(order, Step::Authorize), OVER).await.unwrap());
    }
    let rename = "UPDATE saga SET step = 'TELEPORT', next_at = now() - interval '1 hour' WHERE order_id = $1";
    sqlx::query(rename).bind(strange.uuid()).execute(&database.pool).await.unwrap();
    let claimed = saga::claim_due(&database.pool, Step::ALL, Uuid::now_v7(), LONG, 1).await.unwrap();
    assert_eq!(claimed.iter().map(|work| work.order).collect::<Vec<_>>(), [plain]);
    // Another word that cannot be read costs the others nothing either.
    let unreadable =
        "UPDATE saga SET step = 'COMMIT', attempt = 0, claimed_until = NULL, method_kind = 'CARD'";
    sqlx::query(unreadable).execute(&database.pool).await.unwrap();
    sqlx::query("ALTER TABLE saga DROP CONSTRAINT saga_method_kind_known")
        .execute(&database.pool)
        .await
        .unwrap();
    let pebbles = "UPDATE saga SET method_kind = 'PEBBLES' WHERE order_id = $1";
    sqlx::query(pebbles).bind(strange.uuid()).execute(&database.pool).await.unwrap();
    let claimed = saga::claim_due(&database.pool, Step::ALL, Uuid::now_v7(), LONG, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|work| work.order).collect::<Vec<_>>(), [plain]);
}

#[tokio::test]
async fn the_hours_for_which_a_peer_is_away_are_no_hours_in_which_it_does_not_know() {
    let database = empty().await;
    placed(&database.pool).await;
    expire::begin(&database.pool, Uuid::now_v7(), OVER, None, 10).await.unwrap();
    let claim = || async {
        saga::claim_due(&database.pool, Step::ALL, Uuid::now_v7(), OVER, 10).await.unwrap().pop().unwrap()
    };
    let unknown = claim().await;
    assert!(saga::again(&database.pool, &unknown, Pace::Unknown, "?", OVER).await.unwrap());
    let away = claim().await;
    let hours = "UPDATE saga SET unknown_since = now() - interval '25 hours', updated_at = now() - interval '20 hours'";
    sqlx::query(hours).execute(&database.pool).await.unwrap();
    assert!(saga::again(&database.pool, &away, Pace::Away, "down", OVER).await.unwrap());
    let unknown_for = claim().await.unknown_for;
    assert!((LONG * 59..LONG * 61).contains(&unknown_for), "{unknown_for:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_for_too_long_is_for_the_caller_to_try_again() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    let mut holder = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
    let hold = "SELECT FROM orders WHERE order_id = $1 FOR UPDATE";
    sqlx::query(hold).bind(id(&order).uuid()).execute(&mut *holder).await.unwrap();
    assert_eq!(crate::shop::reason(shop.pay("alice", &order, "tok_visa").await), "UNAVAILABLE");
    holder.rollback().await.unwrap();
    assert_eq!(shop.pay("alice", &order, "tok_visa").await.unwrap().state(), OrderState::Confirmed);
}
