//! The seckill primitive.

use std::sync::Arc;

use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deductions_never_oversell_and_each_has_its_own_remaining() {
    let shop = Arc::new(Shop::open().await);
    shop.flash(50, 1).await;
    let buyers = (0..300).map(|n| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.deduct(Uuid::now_v7(), &format!("buyer-{n}"), (TEE, FLASH, 1)).await })
    });
    let answers = futures::future::join_all(buyers).await.into_iter().map(Result::unwrap);
    let mut remaining: Vec<_> = answers.filter_map(Result::ok).map(|answer| answer.remaining).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (0..50).collect::<Vec<_>>());
    let level = shop.level(TEE, FLASH).await;
    assert_eq!((level.held, level.committed, level.free), (0, 50, 0));
}

#[tokio::test]
async fn the_same_deduction_answers_the_same_after_the_last_unit_is_gone() {
    let shop = Shop::open().await;
    shop.flash(2, 1).await;
    let id = Uuid::now_v7();
    let first = shop.deduct(id, "alice", (TEE, FLASH, 1)).await.unwrap();
    assert_eq!(first.remaining, 1);
    shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await.unwrap();
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "carol", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
    assert_eq!(shop.deduct(id, "alice", (TEE, FLASH, 1)).await.unwrap(), first);
    assert_eq!(reason(shop.deduct(id, "alice", (TEE, FLASH, 2)).await), "RESERVATION_CONFLICT");
    assert_eq!(shop.level(TEE, FLASH).await.committed, 2);
    shop.reconcile().await;
}

#[tokio::test]
async fn the_gate_forgets_what_is_sold() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    for _ in 0..5 {
        shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    }
    crate::shop::eventually("no token is left", async || {
        !shop.keys().await.iter().any(|key| key.contains(":tokens:"))
    })
    .await;
}
