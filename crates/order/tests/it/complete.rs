//! Delivered orders are completed when their period has passed, by any process, each once.

use std::time::Duration;

use stampede_order::domain::state::OrderState as State;
use stampede_order::store::complete::complete;
use stampede_proto::order::v1::OrderState;

use crate::shop::{Shop, fact, reason};

const SOON: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivered_order_is_completed_after_its_period_and_one_under_way_is_not() {
    let shop = Shop::with_return_period(SOON).await;
    let under_way = shop.bought("k0", &[("TEE", "", 1)]).await;
    let shipped = shop.ship(&under_way, &crate::parcels::new_id(), &[]).await.unwrap();
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    let completed = shop.reaches(&order, OrderState::Completed).await;
    assert_eq!(completed.version, order.version + 1);
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.completed"));
    let late = shop.ship(&order, &crate::parcels::new_id(), &[]).await;
    assert_eq!((fact(&late, "state"), reason(late)), ("COMPLETED".into(), "ORDER_STATE".into()));
    assert_eq!(shop.get("alice", "buyer", &under_way).await.unwrap(), shipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sweepers_share_the_work_and_complete_nothing_twice_or_too_early() {
    let shop = Shop::open().await;
    for key in ["k1", "k2", "k3"] {
        shop.delivered(key, &[("TEE", "", 1)]).await;
    }
    let (mut one, mut two) = (
        stampede_kit::postgres::begin(&shop.database.pool).await.unwrap(),
        stampede_kit::postgres::begin(&shop.database.pool).await.unwrap(),
    );
    let hour = Duration::from_hours(1);
    assert!(complete(&mut one, State::Completed, hour, 10).await.unwrap().is_empty());
    let mine = complete(&mut one, State::Completed, Duration::ZERO, 2).await.unwrap();
    // The other does not wait for the rows that are taken: it takes the rest.
    let others = complete(&mut two, State::Completed, Duration::ZERO, 10).await.unwrap();
    assert_eq!((mine.len(), others.len()), (2, 1));
    assert!(!mine.contains(&others[0]));
    one.rollback().await.unwrap();
    two.commit().await.unwrap();
    let mut again = stampede_kit::postgres::begin(&shop.database.pool).await.unwrap();
    assert_eq!(complete(&mut again, State::Completed, Duration::ZERO, 10).await.unwrap().len(), 2);
}
