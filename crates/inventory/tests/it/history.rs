//! Random histories over a real Redis and Postgres, one step after another: as long as nothing fails, gate and ledger agree
//! after every step, on the free units and, until the gate is lost, on what each buyer uses.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, reserve};

const HISTORIES: usize = 4;
const STEPS: usize = 60;

#[derive(Debug, Clone)]
enum Step {
    Reserve { id: u128, buyer: u8, flash: u32, shelf: u32 },
    Deduct { id: u128, buyer: u8, units: u32 },
    Commit { id: u128 },
    Release { id: u128 },
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..25_u128;
    prop_oneof![
        8 => (id.clone(), 0..4_u8, 1..4_u32, 0..3_u32)
            .prop_map(|(id, buyer, flash, shelf)| Step::Reserve { id, buyer, flash, shelf }),
        4 => (id.clone(), 0..4_u8, 1..3_u32).prop_map(|(id, buyer, units)| Step::Deduct { id, buyer, units }),
        4 => id.clone().prop_map(|id| Step::Commit { id }),
        4 => id.prop_map(|id| Step::Release { id }),
        1 => Just(Step::Flush),
    ]
}

#[tokio::test]
async fn gate_and_ledger_agree_after_every_step_of_any_history() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..HISTORIES {
        let shop = Shop::open().await;
        shop.flash(9, 4).await;
        shop.sku("cap", 6).await;
        let history = prop::collection::vec(step(), STEPS).new_tree(&mut runner).unwrap().current();
        for (at, step) in history.iter().enumerate() {
            take(&shop, step).await;
            agree(&shop, &history[..=at]).await;
        }
    }
}

/// Refusals are part of any history.
async fn take(shop: &Shop, step: &Step) {
    let name = |buyer: &u8| format!("buyer-{buyer}");
    match step {
        Step::Reserve { id, buyer, flash, shelf } => {
            let lines = [(TEE, FLASH, *flash), ("cap", "", *shelf)];
            let named = if *shelf == 0 { &lines[..1] } else { &lines[..] };
            let _ = reserve(&shop.stock, Uuid::from_u128(*id), &name(buyer), named, 0).await;
        }
        Step::Deduct { id, buyer, units } => {
            let _ = shop.deduct(Uuid::from_u128(*id), &name(buyer), (TEE, FLASH, *units)).await;
        }
        Step::Commit { id } => drop(shop.commit(Uuid::from_u128(*id)).await),
        Step::Release { id } => drop(shop.release(Uuid::from_u128(*id)).await),
        Step::Flush => shop.flush().await,
    }
}

async fn agree(shop: &Shop, history: &[Step]) {
    for (sku, campaign) in [(TEE, FLASH), ("cap", "")] {
        // A flushed gate knows nothing until somebody asks it.
        if let Some(at_gate) = shop.gate_free(sku, campaign).await {
            assert_eq!(at_gate, shop.level(sku, campaign).await.free, "{sku} after {history:?}");
        }
    }
    if shop.gate_free(TEE, FLASH).await.is_some() {
        let key = format!("{}:{{pool:{FLASH}}}:quotas:{TEE}", shop.prefix);
        let at_gate: BTreeMap<String, i64> =
            redis::cmd("HGETALL").arg(key).query_async(&mut shop.redis.clone()).await.unwrap();
        let in_ledger: Vec<(String, i64)> =
            sqlx::query_as("SELECT buyer_id, used FROM buyer_quota WHERE used > 0")
                .fetch_all(&shop.database.pool)
                .await
                .unwrap();
        let in_ledger: BTreeMap<_, _> = in_ledger.into_iter().collect();
        if history.iter().any(|step| matches!(step, Step::Flush)) {
            // A loaded gate counts from nothing: it may let a buyer through, and never turns one away.
            let more =
                at_gate.iter().find(|(buyer, used)| in_ledger.get(*buyer).is_none_or(|real| real < used));
            assert_eq!(more, None, "quotas after {history:?}");
        } else {
            assert_eq!(at_gate, in_ledger, "quotas after {history:?}");
        }
    }
}
