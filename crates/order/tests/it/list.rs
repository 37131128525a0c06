//! ListOrders: newest first, a page at a time, and one's own.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row as _};
use stampede_kit::testing;
use stampede_order::domain::page::{List, Sort};
use stampede_order::store::list::Limits;
use stampede_order::{MIGRATIONS, store};
use stampede_proto::order::v1::{ListOrdersRequest, OrderPaymentState, OrderSort, OrderState};
use uuid::Uuid;

use crate::shop::{Shop, reason, want};

fn page(size: u32, token: &str) -> ListOrdersRequest {
    ListOrdersRequest { page_size: size, page_token: token.into(), ..ListOrdersRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_give_every_order_once_newest_first_though_orders_keep_coming() {
    let shop = Shop::open().await;
    let mut placed = Vec::new();
    for key in 0..7 {
        placed.push(shop.tee(&format!("k{key}")).await.order_id);
    }
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let answer = shop.list("alice", "buyer", page(3, &token)).await.unwrap();
        seen.extend(answer.orders.iter().map(|order| order.order_id.clone()));
        if answer.next_page_token.is_empty() {
            break;
        }
        token = answer.next_page_token;
        shop.tee(&format!("late{}", seen.len())).await;
    }
    placed.reverse();
    assert_eq!(seen, placed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_shows_only_its_state_and_its_token_fits_no_other_list() {
    let shop = Shop::open().await;
    let first = shop.tee("k1").await;
    shop.pay("alice", &first, "tok_visa").await.unwrap();
    for key in ["k2", "k3"] {
        shop.tee(key).await;
    }
    let mut unpaid = page(1, "");
    unpaid.set_state(OrderState::AwaitingPayment);
    let answer = shop.list("alice", "buyer", unpaid.clone()).await.unwrap();
    assert_eq!(answer.orders[0].state(), OrderState::AwaitingPayment);
    let token = answer.next_page_token;
    assert_eq!(reason(shop.list("alice", "buyer", page(1, &token)).await), "PAGE_TOKEN_INVALID");
    unpaid.page_token = token;
    let last = shop.list("alice", "buyer", unpaid.clone()).await.unwrap();
    assert_eq!((last.orders.len(), last.next_page_token.as_str()), (1, ""));
    assert_eq!(reason(shop.list("bob", "buyer", unpaid).await), "PAGE_TOKEN_INVALID");
    assert_eq!(reason(shop.list("alice", "buyer", page(1, "zz")).await), "PAGE_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_orders_are_for_staff() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert!(shop.list("bob", "buyer", page(0, "")).await.unwrap().orders.is_empty());
    let mut alices = page(0, "");
    alices.buyer_id = "alice".into();
    assert_eq!(reason(shop.list("bob", "buyer", alices.clone()).await), "PERMISSION_DENIED");
    let seen = shop.list("carol", "staff", alices).await.unwrap().orders;
    assert_eq!(seen, [order]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_list_everybodys_orders_and_nobody_else_does() {
    let shop = Shop::open().await;
    let mut placed = Vec::new();
    for (buyer, key) in [("alice", "k1"), ("bob", "k1"), ("carol", "k1"), ("alice", "k2"), ("bob", "k2")] {
        placed.push(shop.create(buyer, key, want(&[("TEE", "", 1)])).await.unwrap());
    }
    shop.pay("bob", &placed[1], "tok_visa").await.unwrap();
    let ids = |of: &[usize]| of.iter().map(|at| placed[*at].order_id.clone()).collect::<Vec<_>>();
    let everybody = ListOrdersRequest { everybody: true, ..page(2, "") };
    for role in ["staff", "auditor"] {
        assert_eq!(seen_by(&shop, "sam", role, everybody.clone()).await, ids(&[4, 3, 2, 1, 0]));
    }
    let oldest = ListOrdersRequest { sort: OrderSort::OldestFirst.into(), ..everybody.clone() };
    assert_eq!(seen_by(&shop, "sam", "staff", oldest.clone()).await, ids(&[0, 1, 2, 3, 4]));
    let between = ListOrdersRequest {
        created_from: placed[1].created_at,
        created_to: placed[3].created_at,
        ..oldest.clone()
    };
    assert_eq!(seen_by(&shop, "sam", "staff", between).await, ids(&[1, 2]));
    let paid = ListOrdersRequest { payment_state: OrderPaymentState::Paid.into(), ..everybody.clone() };
    assert_eq!(seen_by(&shop, "sam", "staff", paid).await, ids(&[1]));

    assert_eq!(reason(shop.list("alice", "buyer", everybody.clone()).await), "PERMISSION_DENIED");
    let both = ListOrdersRequest { buyer_id: "bob".into(), ..everybody.clone() };
    assert_eq!(reason(shop.list("sam", "staff", both).await), "INVALID_ARGUMENT");
    let token = shop.list("sam", "staff", everybody).await.unwrap().next_page_token;
    let other = ListOrdersRequest { buyer_id: "bob".into(), ..page(2, &token) };
    assert_eq!(reason(shop.list("sam", "staff", other).await), "PAGE_TOKEN_INVALID");
}

/// Everything a list of alice's has, page by page.
async fn all(shop: &Shop, ask: ListOrdersRequest) -> Vec<String> {
    seen_by(shop, "alice", "buyer", ask).await
}

async fn seen_by(shop: &Shop, who: &str, role: &str, mut ask: ListOrdersRequest) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let answer = shop.list(who, role, ask.clone()).await.unwrap();
        seen.extend(answer.orders.into_iter().map(|order| order.order_id));
        if answer.next_page_token.is_empty() {
            return seen;
        }
        ask.page_token = answer.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_read_from_either_end_between_two_instants_and_by_its_payments_state() {
    let shop = Shop::open().await;
    let mut placed = Vec::new();
    for key in 0..6 {
        placed.push(shop.tee(&format!("k{key}")).await);
    }
    shop.pay("alice", &placed[1], "tok_visa").await.unwrap();
    shop.pay("alice", &placed[4], "tok_visa").await.unwrap();
    let ids = |of: &[usize]| of.iter().map(|at| placed[*at].order_id.clone()).collect::<Vec<_>>();

    let mut oldest = page(2, "");
    oldest.set_sort(OrderSort::OldestFirst);
    assert_eq!(all(&shop, oldest.clone()).await, ids(&[0, 1, 2, 3, 4, 5]));
    assert_eq!(all(&shop, page(2, "")).await, ids(&[5, 4, 3, 2, 1, 0]));

    // The first instant is in, the last one is not.
    let between = ListOrdersRequest {
        created_from: placed[1].created_at,
        created_to: placed[4].created_at,
        ..oldest.clone()
    };
    assert_eq!(all(&shop, between.clone()).await, ids(&[1, 2, 3]));
    let backwards = ListOrdersRequest { sort: OrderSort::NewestFirst.into(), ..between.clone() };
    assert_eq!(all(&shop, backwards).await, ids(&[3, 2, 1]));

    let mut paid = page(1, "");
    paid.set_payment_state(OrderPaymentState::Paid);
    assert_eq!(all(&shop, paid.clone()).await, ids(&[4, 1]));
    assert_eq!(all(&shop, ListOrdersRequest { created_to: placed[4].created_at, ..paid }).await, ids(&[1]));

    // Each of these is another list: the token of one is none of another's.
    let token = shop.list("alice", "buyer", oldest.clone()).await.unwrap().next_page_token;
    let mut shorter = ListOrdersRequest { page_token: token.clone(), page_size: 1, ..oldest.clone() };
    assert_eq!(shop.list("alice", "buyer", shorter.clone()).await.unwrap().orders[0].order_id, ids(&[2])[0]);
    shorter.created_to = placed[4].created_at;
    for other in [shorter, ListOrdersRequest { page_token: token, ..between }, page(2, "00")] {
        assert_eq!(reason(shop.list("alice", "buyer", other).await), "PAGE_TOKEN_INVALID");
    }
}

/// Orders of one buyer, one a second, every hundredth of them paid.
async fn orders_of(conn: &mut PgConnection, buyer: &str, count: i64) {
    sqlx::query(
        "INSERT INTO orders (order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency,
                             subtotal_minor, discount_minor, total_minor, reservation_id, fingerprint, expires_at,
                             created_at, updated_at, lines)
         SELECT gen_random_uuid(), $1, CASE WHEN n % 100 = 0 THEN 'CONFIRMED' ELSE 'EXPIRED' END,
                CASE WHEN n % 100 = 0 THEN 'PAID' ELSE 'UNPAID' END,
                CASE WHEN n % 100 = 0 THEN 'COMMITTED' ELSE 'RELEASED' END, 'NONE', 'EUR', 1, 0, 1,
                gen_random_uuid(), '', now(), now() - n * interval '1 second', now(),
                '[{\"sku_id\": \"TEE\", \"quantity\": 1, \"title\": \"Tee\", \"unit_price_minor\": 1, \"discount_minor\": 0, \"total_minor\": 1}]'
         FROM generate_series(1, $2) AS n",
    )
    .bind(buyer)
    .bind(count)
    .execute(conn)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rare_state_is_found_in_short_pages_that_look_at_a_bounded_number_of_orders() {
    let shop = Shop::open().await;
    orders_of(&mut shop.database.pool.acquire().await.unwrap(), "alice", 5_000).await;
    let mut paid = page(100, "");
    paid.set_state(OrderState::Confirmed);
    let first = shop.list("alice", "buyer", paid.clone()).await.unwrap();
    // 2,000 orders are looked at for a page, and there is more behind them.
    assert_eq!((first.orders.len(), first.next_page_token.is_empty()), (20, false));
    let seen = all(&shop, paid).await;
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (50, 50));
}

/// Newest first, where new orders are placed before all that were there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_placed_while_a_filtered_page_is_read_move_nothing() {
    let database = testing::database(&MIGRATIONS).await;
    orders_of(&mut database.pool.acquire().await.unwrap(), "alice", 60).await;
    let list = List { state: Some(stampede_order::domain::state::OrderState::Confirmed), ..all_of("alice") };
    let limits = Limits { found: 10, looked_at: 50 };
    let mut tx = store::list::at_one_instant(&database.pool).await.unwrap();
    let page = store::list::page(&mut tx, &list, list.stretch(None), limits).await.unwrap();
    let later = "UPDATE orders SET created_at = now() + interval '1 hour' WHERE order_id IN
                   (SELECT order_id FROM orders ORDER BY created_at LIMIT 7)";
    sqlx::query(later).execute(&database.pool).await.unwrap();
    let end = store::list::last_looked_at(&mut tx, &list, list.stretch(None), limits).await.unwrap().unwrap();
    drop(tx);
    let seen = "SELECT count(*) FROM orders WHERE created_at < now() AND created_at >= $1";
    let seen: i64 = sqlx::query_scalar(seen).bind(end.created_at).fetch_one(&database.pool).await.unwrap();
    assert_eq!((page.len(), seen), (0, 50));
}

fn all_of(buyer: &str) -> List {
    List::of(Some(buyer.parse().unwrap()))
}

/// However the statement was planned, a page reads its stretch of the index and nothing beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_deep_in_a_long_list_reads_no_more_than_the_first_whatever_the_plan_was_made_for() {
    let database = testing::database(&MIGRATIONS).await;
    let mut tx = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    sqlx::query("SET LOCAL plan_cache_mode = force_generic_plan").execute(&mut *tx).await.unwrap();
    orders_of(&mut tx, "alice", 3_000).await;
    orders_of(&mut tx, "bob", 3_000).await;
    let alices = List::of(Some("alice".parse().unwrap()));
    let lists = [alices, List::of(None)]
        .into_iter()
        .flat_map(|list| [Sort::NewestFirst, Sort::OldestFirst].map(|sort| List { sort, ..list.clone() }));
    for list in lists {
        let limits = Limits { found: 10, looked_at: 2_000 };
        let (mut after, mut reads) = (None, Vec::new());
        for _ in 0..100 {
            let before = read_of_orders(&mut tx).await;
            let page = store::list::page(&mut tx, &list, list.stretch(after), limits).await.unwrap();
            let read = read_of_orders(&mut tx).await;
            assert_eq!(read.0, before.0, "the orders were scanned");
            reads.push(read.1 - before.1);
            let last = page.last().unwrap();
            after = Some(stampede_order::domain::page::After { created_at: last.created_at, order: last.id });
        }
        assert!(reads.iter().all(|rows| *rows <= 11), "{list:?}: {reads:?}");
    }
}

/// Scans of the orders, and rows an index has given, of this session.
async fn read_of_orders(conn: &mut PgConnection) -> (i64, i64) {
    let row =
        sqlx::query("SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'orders'")
            .fetch_one(conn)
            .await
            .unwrap();
    (row.get(0), row.get(1))
}

/// A plan may be made while the table is empty and kept while it grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_by_ids_never_scans_the_orders_whatever_the_statistics_say() {
    let database = testing::database(&MIGRATIONS).await;
    let mut tx = stampede_kit::postgres::begin(&database.pool).await.unwrap();
    sqlx::query("SET LOCAL plan_cache_mode = force_generic_plan").execute(&mut *tx).await.unwrap();
    let ids: Vec<Uuid> = (0..200).map(Uuid::from_u128).collect();
    let (scans_before, look_ups_before) = counted(&mut tx).await;
    store::orders::by_ids(&mut tx, &ids).await.unwrap();
    let (scans, look_ups) = counted(&mut tx).await;
    assert_eq!((scans - scans_before, look_ups - look_ups_before), (0, 200));
}

/// Scans of the orders and look-ups by an index that this session has made.
async fn counted(conn: &mut sqlx::PgConnection) -> (i64, i64) {
    sqlx::query_as("SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'orders'")
        .fetch_one(conn)
        .await
        .unwrap()
}
