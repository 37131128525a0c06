//! The gate on a real Redis Cluster of six nodes: everything it does on one node, and what only a cluster can do to it.

use std::sync::Arc;

use stampede_inventory::Reconciler;
use uuid::Uuid;

use crate::redis_nodes::RedisNodes;
use crate::shop::{FLASH, Shop, TEE, reason};

const UNITS: i64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_does_on_six_nodes_what_it_does_on_one() {
    let nodes = RedisNodes::start().await;
    crate::gate::on_nodes(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_forget_their_scripts_learn_them_again_in_the_middle_of_a_sale() {
    let nodes = RedisNodes::start().await;
    let shop = Arc::new(Shop::on_nodes(&nodes).await);
    shop.flash(UNITS, 1).await;
    let sold = sell(&shop, 300, |n| {
        if n % 60 == 30 {
            nodes.flush_scripts();
        }
    })
    .await;
    assert_eq!(sold, 200);
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(0), "a script that was not known is no failure");
    shop.reconcile().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_is_replaced_and_the_sale_goes_on() {
    let nodes = RedisNodes::start().await;
    let shop = Arc::new(Shop::on_nodes(&nodes).await);
    shop.flash(UNITS, 1).await;
    let mut reconciler = Reconciler::default();
    reconciler.round(&shop.inventory).await.unwrap();
    let before = shop.at_gate.run_id().await.unwrap();
    assert_eq!(before.split(',').count(), 3, "every master says who it is");
    let master = nodes.master_of(&format!("{}:{{pool:{FLASH}}}:counters:{TEE}", shop.prefix));
    let sold = sell(&shop, 150, |n| {
        if n == 75 {
            nodes.kill9(master);
        }
    })
    .await;
    assert_eq!(sold, 150, "with or without the gate everybody who asked for what is there got it");
    crate::shop::eventually("the replica is the gate now", async || {
        reconciler.round(&shop.inventory).await.unwrap();
        let id = Uuid::now_v7();
        let held = shop.reserve(id, &format!("probe-{id}"), &[(TEE, FLASH, 1)]).await;
        held.is_ok() && shop.release(id).await.is_ok() && shop.gate_free(TEE, FLASH).await == Some(50)
    })
    .await;
    assert_ne!(shop.at_gate.run_id().await.unwrap(), before, "another master is known to be another");
    let sold = sell(&shop, 100, |_| {}).await;
    assert_eq!(sold, 50, "never more than there is");
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "late", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
    shop.reconcile().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_with_redis_is_told_when_it_is_back() {
    let nodes = RedisNodes::start().await;
    let shop = Arc::new(Shop::on_nodes(&nodes).await);
    shop.flash(10, 5).await;
    let tokens = format!("{}:{{pool:{FLASH}}}:tokens:{TEE}", shop.prefix);
    let aside = async || -> i64 {
        redis::cmd("HLEN").arg(&tokens).query_async(&mut shop.redis.clone()).await.unwrap_or(-1)
    };
    // The ledger waits, so that the gate has put units aside and not been told how it ended.
    let mut row = shop.database.pool.begin().await.unwrap();
    let lock = "SELECT 1 FROM stock WHERE pool = 'flash' FOR UPDATE";
    sqlx::query(lock).execute(&mut *row).await.unwrap();
    let reserving = shop.clone();
    let reserving =
        tokio::spawn(async move { reserving.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 3)]).await });
    crate::shop::eventually("the units are put aside", async || aside().await == 1).await;
    nodes.pause(nodes.master_of(&tokens), 900);
    row.rollback().await.unwrap();
    reserving.await.unwrap().unwrap();
    crate::shop::eventually("the gate has heard of it", async || {
        let id = Uuid::now_v7();
        shop.reserve(id, "bob", &[(TEE, FLASH, 1)]).await.unwrap();
        shop.release(id).await.unwrap();
        aside().await == 0 && shop.gate_free(TEE, FLASH).await == Some(7)
    })
    .await;
}

/// So many buyers at once, one unit each; how many got theirs.
async fn sell(shop: &Arc<Shop>, buyers: usize, mut between: impl FnMut(usize)) -> usize {
    let mut asked = Vec::with_capacity(buyers);
    for n in 0..buyers {
        between(n);
        let shop = shop.clone();
        let id = Uuid::now_v7();
        asked.push(tokio::spawn(async move {
            shop.deduct(id, &format!("buyer-{id}"), (TEE, FLASH, 1)).await.is_ok()
        }));
    }
    futures::future::join_all(asked).await.into_iter().filter(|sold| *sold.as_ref().unwrap()).count()
}
