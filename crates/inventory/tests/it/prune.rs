//! Forgetting: what ended long ago goes, what it sold stays, and the books still agree.

use std::time::Duration;

use stampede_inventory::{Keep, Pace, Reconciler};
use uuid::Uuid;

use crate::audit::{SMALL, laps, lively, rows, sql};
use crate::shop::{FLASH, Shop, TEE, reason};

/// Everything that has ended is old.
const NOTHING: Keep =
    Keep { reservations: Duration::ZERO, movements: Duration::ZERO, rows: Duration::from_secs(3_600) };

async fn count(shop: &Shop, what: &str) -> i64 {
    let statement = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    sqlx::query_scalar(statement).fetch_one(&shop.database.pool).await.unwrap()
}

#[tokio::test]
async fn what_ended_goes_and_the_books_agree_as_before() {
    let shop = lively().await;
    // Enough movements that the cell is verified up to somewhere.
    for _ in 0..40 {
        let id = Uuid::now_v7();
        shop.reserve(id, "erin", &[(TEE, FLASH, 1)]).await.unwrap();
        shop.release(id).await.unwrap();
    }
    let sold = Uuid::now_v7();
    shop.reserve(sold, "erin", &[(TEE, FLASH, 1)]).await.unwrap();
    shop.commit(sold).await.unwrap();
    let before = (shop.level(TEE, FLASH).await, shop.level("cap", "").await);
    let mut reconciler = Reconciler::new(Pace { keep: NOTHING, ..SMALL });
    laps(&mut reconciler, &shop.inventory).await;
    reconciler.prune(&shop.inventory).await.unwrap();

    assert_eq!(count(&shop, "reservation").await, 1, "what is held stays");
    assert_eq!(count(&shop, "stock_return").await, 0);
    assert_eq!(count(&shop, "movement WHERE kind = 'CHECKPOINT'").await, 2);
    assert_eq!(count(&shop, "movement").await, 3, "one a cell");
    assert_eq!((shop.level(TEE, FLASH).await, shop.level("cap", "").await), before);
    laps(&mut reconciler, &shop.inventory).await;
    // One process at a time goes around, and the next counts from the beginning.
    drop(reconciler);
    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;
    assert_eq!(rows(&shop).await, vec![], "the books agree");
    let late = crate::resolve::give_back(&shop, sold, Uuid::now_v7(), None).await;
    assert_eq!(reason(late), "RESERVATION_NOT_FOUND");

    // What is left is still watched.
    sql(&shop.database.pool, "UPDATE stock_checkpoint SET settled = settled + 1 WHERE pool = 'flash'").await;
    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;
    assert_eq!(rows(&shop).await.len(), 1);
}

#[tokio::test]
async fn nothing_goes_before_its_time_nor_while_something_of_it_came_back_lately() {
    let shop = lively().await;
    let mut reconciler = Reconciler::new(SMALL);
    let before = (count(&shop, "reservation").await, count(&shop, "movement").await);
    reconciler.prune(&shop.inventory).await.unwrap();
    assert_eq!((count(&shop, "reservation").await, count(&shop, "movement").await), before);

    sql(
        &shop.database.pool,
        "UPDATE reservation SET resolved_at = resolved_at - interval '2 hours' WHERE resolved_at IS NOT NULL",
    )
    .await;
    reconciler.prune(&shop.inventory).await.unwrap();
    assert_eq!(count(&shop, "reservation").await, 2, "the held one, and the one of which units came back");
    assert_eq!(count(&shop, "stock_return").await, 1);
    laps(&mut reconciler, &shop.inventory).await;
    assert_eq!(rows(&shop).await, vec![]);
}
