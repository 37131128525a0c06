//! Hot cells in several buckets on a real cluster: every unit is sold once, wherever it lies, and small cells are left alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use stampede_inventory::domain::CellKey;
use stampede_inventory::{GateSettings, SoldOut};
use stampede_types::Pool;
use uuid::Uuid;

use crate::process::Process;
use crate::redis_nodes::{Raw, RedisNodes};
use crate::shop::{FLASH, Shop, TEE, reason, reserve};

const BUCKETS: u32 = 4;
/// Divided from this on, made one again below half of it.
const MIN_STOCK: i64 = 40;
const STEPS: usize = 120;

/// Each story has a shop of its own on the nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_in_buckets_sell_every_unit_once() {
    let nodes = RedisNodes::start().await;
    units_that_lie_in_other_buckets_are_sold(divided(&nodes).await).await;
    units_come_back_to_the_bucket_they_were_taken_from_once(divided(&nodes).await).await;
    a_crowd_buys_what_there_is_and_the_buckets_become_one(divided(&nodes).await).await;
    processes_follow_a_cell_that_another_divides(divided(&nodes).await).await;
    units_lost_between_two_buckets_come_back(divided(&nodes).await).await;
    buckets_and_ledger_agree_after_every_step_of_any_history(divided(&nodes).await).await;
    a_small_cell_is_never_divided(divided(&nodes).await).await;
}

#[tokio::test]
async fn a_single_node_divides_nothing() {
    let shop = Shop::with_gate(settings(stampede_kit::testing::redis_url()), Raw::shared().await).await;
    shop.flash(1_000, 1).await;
    assert_eq!(buckets(&shop).await, [1_000]);
}

/// Every cell that is large enough is hot enough.
fn settings(url: String) -> GateSettings {
    GateSettings {
        buckets: BUCKETS,
        buckets_min_stock: MIN_STOCK,
        buckets_min_rate: 0,
        ..GateSettings::new(url, crate::shop::prefix())
    }
}

async fn divided(nodes: &RedisNodes) -> Shop {
    let shop = Shop::with_gate(settings(nodes.url()), nodes.raw().await).await;
    crate::shop::eventually("the gate knows its nodes", async || shop.at_gate.run_id().await.is_some()).await;
    shop
}

async fn units_that_lie_in_other_buckets_are_sold(shop: Shop) {
    shop.flash(100, 100).await;
    assert_eq!(buckets(&shop).await, [25; 4]);
    // One buyer is always in one bucket.
    for n in 0..70 {
        let sold = shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await;
        assert!(sold.is_ok(), "unit {n} was there: {sold:?}");
    }
    assert_eq!(buckets(&shop).await.iter().sum::<i64>(), 30);
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 29)).await.unwrap();
    shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await.unwrap();
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "carol", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
    assert_eq!(shop.level(TEE, FLASH).await.committed, 100);
}

async fn units_come_back_to_the_bucket_they_were_taken_from_once(shop: Shop) {
    shop.flash(100, 100).await;
    let id = Uuid::now_v7();
    shop.reserve(id, "alice", &[(TEE, FLASH, 3)]).await.unwrap();
    let mut held = buckets(&shop).await;
    held.sort_unstable();
    assert_eq!(held, [22, 25, 25, 25]);
    for _ in 0..2 {
        shop.release(id).await.unwrap();
        assert_eq!(buckets(&shop).await, [25; 4]);
    }
}

async fn a_crowd_buys_what_there_is_and_the_buckets_become_one(shop: Shop) {
    let shop = Arc::new(shop);
    shop.flash(120, 1).await;
    let neighbour = Arc::new(shop.neighbour().await);
    let buyers = (0..400).map(|n| {
        let (shop, neighbour) = (shop.clone(), neighbour.clone());
        tokio::spawn(async move {
            let stock = if n % 2 == 0 { &shop.stock } else { &*neighbour };
            reserve(stock, Uuid::now_v7(), &format!("buyer-{n}"), &[(TEE, FLASH, 1)], 0).await.is_ok()
        })
    });
    let sold =
        futures::future::join_all(buyers).await.into_iter().filter(|sold| *sold.as_ref().unwrap()).count();
    // A buyer may have been turned away by units that were put aside for somebody whom the ledger refused.
    let mut left = 120 - sold;
    assert!(left < 10, "{sold} were sold");
    crate::shop::eventually("the rest is sold", async || {
        let id = Uuid::now_v7();
        if left > 0 && shop.reserve(id, &format!("late-{id}"), &[(TEE, FLASH, 1)]).await.is_ok() {
            left -= 1;
        }
        left == 0
    })
    .await;
    assert_eq!(shop.level(TEE, FLASH).await.held, 120);
    // A refusal merges them, unless the ledger was just deciding: then the next one does.
    crate::shop::eventually("the buckets are one", async || {
        assert_eq!(reason(shop.deduct(Uuid::now_v7(), "late", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
        buckets(&shop).await.len() == 1
    })
    .await;
    shop.reconcile().await;
}

async fn units_lost_between_two_buckets_come_back(shop: Shop) {
    shop.flash(100, 1).await;
    let key = format!("{}:{{pool:{FLASH}#2}}:counters:{TEE}", shop.prefix);
    let lose = redis::cmd("HINCRBY").arg(key).arg("free").arg(-5).to_owned();
    lose.exec_async(&mut shop.redis.clone()).await.unwrap();
    shop.reconcile().await;
    assert_eq!(buckets(&shop).await, [25; 4]);
}

async fn processes_follow_a_cell_that_another_divides(shop: Shop) {
    let calm = GateSettings { buckets_min_rate: u64::MAX, ..shop.gate.clone() };
    let process = Process::start(shop.database.pool.clone(), &calm, SoldOut::default()).await;
    let calm = process.api(&shop.stop);
    shop.sku(TEE, 200).await;
    let ask = async |id: Uuid, buyer: &str| reserve(&calm, id, buyer, &[(TEE, "", 2)], 0).await;
    ask(Uuid::now_v7(), "alice").await.unwrap();
    assert_eq!(level(&shop, "shelf").await, [198], "nobody has divided it");
    shop.reserve(Uuid::now_v7(), "bob", &[(TEE, "", 1)]).await.unwrap();
    assert_eq!(level(&shop, "shelf").await.len(), 4, "somebody has");
    let id = Uuid::now_v7();
    ask(id, "carol").await.unwrap();
    assert_eq!(level(&shop, "shelf").await.iter().sum::<i64>(), 195);
    shop.release(id).await.unwrap();
    assert_eq!(level(&shop, "shelf").await.iter().sum::<i64>(), 197);
}

async fn a_small_cell_is_never_divided(shop: Shop) {
    shop.flash(MIN_STOCK - 1, 1).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    assert_eq!(buckets(&shop).await, [MIN_STOCK - 2]);
}

async fn buckets_and_ledger_agree_after_every_step_of_any_history(shop: Shop) {
    shop.flash(80, 40).await;
    let cell = CellKey { pool: FLASH.parse().map(Pool::Campaign).unwrap(), sku: TEE.parse().unwrap() };
    let step = (0..6_u8, 0..40_u128, 0..8_u8, 1..9_u32);
    let mut runner = TestRunner::deterministic();
    let history = prop::collection::vec(step, STEPS).new_tree(&mut runner).unwrap().current();
    let mut layouts = BTreeSet::new();
    for (what, id, buyer, units) in history {
        let (id, buyer) = (Uuid::from_u128(id), format!("buyer-{buyer}"));
        // Refusals are part of any history.
        match what {
            0..=2 => drop(shop.reserve(id, &buyer, &[(TEE, FLASH, units)]).await),
            3 => drop(shop.deduct(id, &buyer, (TEE, FLASH, units)).await),
            4 => drop(shop.commit(id).await),
            _ => drop(shop.release(id).await),
        }
        let at_gate = shop.at_gate.levels(&[shop.at_gate.cells().meet(&cell)]).await.unwrap()[0];
        let in_ledger = shop.level(TEE, FLASH).await.free;
        assert_eq!(at_gate.map(|(free, _)| free), Some(in_ledger), "after {what} {id} {buyer} {units}");
        layouts.insert(buckets(&shop).await.len());
    }
    assert_eq!(layouts.into_iter().collect::<Vec<_>>(), [1, 4], "it was divided, and became one");
}

async fn buckets(shop: &Shop) -> Vec<i64> {
    level(shop, FLASH).await
}

/// What is free in each bucket of TEE, as Redis has it: the first one says how many they are.
async fn level(shop: &Shop, pool: &str) -> Vec<i64> {
    let mut free = Vec::new();
    let first = format!("{}:{{pool:{pool}}}:counters:{TEE}", shop.prefix);
    let layout: Option<u32> =
        redis::cmd("HGET").arg(first).arg("layout").query_async(&mut shop.redis.clone()).await.unwrap();
    for bucket in 0..layout.unwrap_or(BUCKETS) {
        let tag = if bucket == 0 { format!("pool:{pool}") } else { format!("pool:{pool}#{bucket}") };
        let key = format!("{}:{{{tag}}}:counters:{TEE}", shop.prefix);
        let found: Option<i64> =
            redis::cmd("HGET").arg(key).arg("free").query_async(&mut shop.redis.clone()).await.unwrap();
        free.extend(found);
    }
    free
}
