//! ListOrders: newest first, a page at a time, and one's own.

use stampede_kit::testing;
use stampede_order::{MIGRATIONS, store};
use stampede_proto::order::v1::{ListOrdersRequest, OrderState};
use uuid::Uuid;

use crate::shop::{Shop, reason};

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

/// A plan may be made while the table is empty and kept while it grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_by_ids_never_scans_the_orders_whatever_the_statistics_say() {
    let database = testing::database(&MIGRATIONS).await;
    let mut tx = database.pool.begin().await.unwrap();
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
