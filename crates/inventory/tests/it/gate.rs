//! When Redis is wrong or gone: never an oversell, and gate and ledger agree again by themselves.

use std::sync::Arc;

use futures::FutureExt as _;
use stampede_inventory::{Reconciler, SoldOut};
use uuid::Uuid;

use crate::process::Process;
use crate::redis_nodes::RedisNodes;
use crate::shop::{FLASH, Shop, TEE, campaign, reason};

/// Nobody listens here.
const NO_REDIS: &str = "redis://127.0.0.1:9";

/// Each story on one node, a test each, and all of them one after the other on a cluster's nodes.
macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        mod on_one_node {
            use crate::shop::Shop;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    super::$story(Shop::open().await).await;
                }
            )+
        }

        pub async fn on_nodes(nodes: &RedisNodes) {
            $(
                println!("{}", stringify!($story));
                $story(Shop::on_nodes(nodes).await).await;
            )+
        }
    };
}

stories! {
    a_flushed_gate_is_loaded_from_the_ledger_in_the_middle_of_a_sale,
    a_gate_that_is_too_open_is_corrected_by_the_ledgers_refusal,
    a_gate_that_is_too_open_is_right_after_a_crowd_was_refused_at_once,
    a_gate_that_is_too_closed_is_opened_by_the_reconciler,
    a_gate_that_is_too_closed_is_opened_while_buyers_pay,
    a_release_whose_caller_goes_away_still_opens_the_gate,
    a_token_an_earlier_try_left_is_gone_when_its_deduction_is_made,
    a_loaded_gate_has_what_is_left_and_learns_what_buyers_have_used,
    a_campaign_that_opens_soon_is_loaded_before_anybody_asks,
    units_of_a_request_whose_end_nobody_knows_come_back,
    requests_before_the_opening_and_after_the_close_deduct_nothing,
    a_refusal_names_the_limit_whoever_refuses,
    units_on_their_way_to_the_ledger_stay_put_aside_when_another_process_loads,
    a_ledger_put_back_to_an_earlier_day_is_what_the_gate_follows,
}

async fn a_flushed_gate_is_loaded_from_the_ledger_in_the_middle_of_a_sale(shop: Shop) {
    let shop = Arc::new(shop);
    shop.flash(60, 1).await;
    let buyers = (0..300).map(|n| {
        let shop = shop.clone();
        tokio::spawn(async move {
            if n % 50 == 25 {
                shop.flush().await;
            }
            shop.deduct(Uuid::now_v7(), &format!("buyer-{n}"), (TEE, FLASH, 1)).await.is_ok()
        })
    });
    let sold =
        futures::future::join_all(buyers).await.into_iter().filter(|sold| *sold.as_ref().unwrap()).count();
    assert_eq!(sold, 60);
    assert_eq!(shop.level(TEE, FLASH).await.committed, 60);
    shop.reconcile().await;
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "late", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_ledger_sells_alone_and_right() {
    let shop = Arc::new(Shop::with_redis(NO_REDIS).await);
    shop.flash(20, 1).await;
    let buyers = (0..100).map(|n| {
        let shop = shop.clone();
        tokio::spawn(
            async move { shop.reserve(Uuid::now_v7(), &format!("buyer-{n}"), &[(TEE, FLASH, 1)]).await },
        )
    });
    let answers = futures::future::join_all(buyers).await.into_iter().map(Result::unwrap);
    let (held, refused): (Vec<_>, Vec<_>) = answers.partition(Result::is_ok);
    assert_eq!(held.len(), 20);
    assert!(refused.into_iter().all(|refusal| reason(refusal) == "OUT_OF_STOCK"));
    let first: Uuid = held.into_iter().next().unwrap().unwrap().reservation_id.parse().unwrap();
    shop.release(first).await.unwrap();
    shop.reserve(Uuid::now_v7(), "late", &[(TEE, FLASH, 1)]).await.unwrap();
}

async fn a_gate_that_is_too_open_is_corrected_by_the_ledgers_refusal(shop: Shop) {
    shop.flash(1, 5).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    set_free(&shop, 100).await;
    assert_eq!(reason(shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await), "OUT_OF_STOCK");
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(0));
}

async fn a_gate_that_is_too_open_is_right_after_a_crowd_was_refused_at_once(shop: Shop) {
    let shop = Arc::new(shop);
    shop.flash(1, 5).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    set_free(&shop, 150).await;
    let buyers = (0..100).map(|n| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.deduct(Uuid::now_v7(), &format!("buyer-{n}"), (TEE, FLASH, 1)).await })
    });
    for refused in futures::future::join_all(buyers).await {
        assert_eq!(reason(refused.unwrap()), "OUT_OF_STOCK");
    }
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(0));
}

async fn a_gate_that_is_too_closed_is_opened_by_the_reconciler(shop: Shop) {
    shop.flash(5, 5).await;
    set_free(&shop, 2).await;
    let mut reconciler = Reconciler::default();
    assert_eq!(reconciler.round(&shop.inventory).await.unwrap(), Some(3));
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(2), "once may be somebody on the way to the ledger");
    assert_eq!(reconciler.round(&shop.inventory).await.unwrap(), Some(3));
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(5));
    assert_eq!(reconciler.round(&shop.inventory).await.unwrap(), Some(0));
}

async fn a_gate_that_is_too_closed_is_opened_while_buyers_pay(shop: Shop) {
    shop.flash(5, 5).await;
    let held = Uuid::now_v7();
    shop.reserve(held, "alice", &[(TEE, FLASH, 2)]).await.unwrap();
    set_free(&shop, 1).await;
    let mut reconciler = Reconciler::default();
    assert_eq!(reconciler.round(&shop.inventory).await.unwrap(), Some(2));
    shop.commit(held).await.unwrap();
    assert_eq!(reconciler.round(&shop.inventory).await.unwrap(), Some(2));
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3));
}

async fn a_release_whose_caller_goes_away_still_opens_the_gate(shop: Shop) {
    shop.flash(1, 5).await;
    let held = Uuid::now_v7();
    shop.reserve(held, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    assert!(shop.release(held).now_or_never().is_none(), "it was given up before it was answered");
    crate::shop::eventually("the unit is back at the gate", async || {
        shop.gate_free(TEE, FLASH).await == Some(1)
    })
    .await;
    assert_eq!(shop.level(TEE, FLASH).await.held, 0);
}

async fn a_token_an_earlier_try_left_is_gone_when_its_deduction_is_made(shop: Shop) {
    shop.flash(5, 5).await;
    let id = Uuid::now_v7();
    let tokens = format!("{}:{{pool:{FLASH}}}:tokens:{TEE}", shop.prefix);
    let (token, units) = (id.as_bytes().as_slice(), "1:1:alice");
    let redis = &mut shop.redis.clone();
    redis::cmd("HSET").arg(&tokens).arg(token).arg(units).exec_async(redis).await.unwrap();
    shop.deduct(id, "alice", (TEE, FLASH, 1)).await.unwrap();
    crate::shop::eventually("the token is forgotten", async || {
        let left: i64 = redis::cmd("HLEN").arg(&tokens).query_async(&mut shop.redis.clone()).await.unwrap();
        left == 0
    })
    .await;
}

async fn a_loaded_gate_has_what_is_left_and_learns_what_buyers_have_used(shop: Shop) {
    shop.flash(5, 2).await;
    let (held, sold) = (Uuid::now_v7(), Uuid::now_v7());
    shop.reserve(held, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    shop.deduct(sold, "alice", (TEE, FLASH, 1)).await.unwrap();
    shop.flush().await;
    let ask = async || shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await;
    assert_eq!(reason(ask().await), "BUYER_LIMIT", "the ledger says so");
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3));
    let quotas = format!("{}:{{pool:{FLASH}}}:quotas:{TEE}", shop.prefix);
    let used = redis::cmd("HGET").arg(quotas).arg("alice").query_async(&mut shop.redis.clone()).await;
    let used: redis::RedisResult<Option<i64>> = used;
    assert_eq!(used, Ok(Some(2)), "the gate has learned it");
    assert_eq!(reason(ask().await), "BUYER_LIMIT");
    shop.release(held).await.unwrap();
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(4));
    ask().await.unwrap();
}

async fn a_refusal_names_the_limit_whoever_refuses(shop: Shop) {
    shop.flash(5, 2).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 2)).await.unwrap();
    for lost in [false, true] {
        if lost {
            shop.flush().await;
        }
        let refused = shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap_err();
        assert_eq!(crate::shop::metadata(&refused, "limit").as_deref(), Some("2"));
    }
}

async fn units_on_their_way_to_the_ledger_stay_put_aside_when_another_process_loads(shop: Shop) {
    shop.flash(10, 5).await;
    let micros = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
    let tokens = format!("{}:{{pool:{FLASH}}}:tokens:{TEE}", shop.prefix);
    for (token, admitted) in [("on its way", micros), ("nobody's", micros - 60_000_000)] {
        let redis = &mut shop.redis.clone();
        let aside = format!("3:{admitted}:bob");
        redis::cmd("HSET").arg(&tokens).arg(token).arg(aside).exec_async(redis).await.unwrap();
    }
    let neighbour = shop.neighbour().await;
    let id = Uuid::now_v7();
    crate::shop::reserve(&neighbour, id, "alice", &[(TEE, FLASH, 1)], 0).await.unwrap();
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(6), "three are put aside, one is held");
}

async fn a_campaign_that_opens_soon_is_loaded_before_anybody_asks(shop: Shop) {
    shop.sku(TEE, 0).await;
    shop.create_campaign(campaign(FLASH, 20, 60, &[(TEE, 5, 1)])).await.unwrap();
    shop.create_campaign(campaign("later", 600, 900, &[(TEE, 5, 1)])).await.unwrap();
    shop.flush().await;
    let neighbour = Process::start(shop.database.pool.clone(), &shop.gate, SoldOut::default()).await;
    assert_eq!(neighbour.inventory.preheat_opening().await.unwrap(), 1);
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(5));
    assert_eq!(shop.gate_free(TEE, "later").await, None);
    assert_eq!(neighbour.inventory.preheat_opening().await.unwrap(), 0, "it is warm");
}

async fn requests_before_the_opening_and_after_the_close_deduct_nothing(shop: Shop) {
    shop.sku(TEE, 0).await;
    let made = shop.create_campaign(campaign(FLASH, 1, 2, &[(TEE, 1_000, 1_000)])).await.unwrap();
    let mut reasons = Vec::new();
    while reasons.last().is_none_or(|reason| *reason != "CAMPAIGN_CLOSED") {
        let sold = shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await;
        reasons.push(sold.map_or_else(|refused| reason::<()>(Err(refused)), |_| "SOLD".to_owned()));
    }
    reasons.dedup();
    assert_eq!(reasons, ["CAMPAIGN_NOT_OPEN", "SOLD", "CAMPAIGN_CLOSED"]);
    let micros = |at: Option<prost_types::Timestamp>| {
        at.map(|at| at.seconds * 1_000_000 + i64::from(at.nanos / 1_000)).unwrap()
    };
    let outside: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM reservation
         WHERE extract(epoch FROM created_at) * 1000000 NOT BETWEEN $1 AND $2 - 1",
    )
    .bind(micros(made.opens_at))
    .bind(micros(made.closes_at))
    .fetch_one(&shop.database.pool)
    .await
    .unwrap();
    assert_eq!(outside, 0, "nothing was sold outside of the window");
    shop.reconcile().await;
}

async fn units_of_a_request_whose_end_nobody_knows_come_back(shop: Shop) {
    shop.flash(5, 5).await;
    let db = sqlx::PgPool::connect(shop.database.url.expose()).await.unwrap();
    let neighbour = shop.neighbour_over(db.clone()).await;
    let ask = async || crate::shop::reserve(&neighbour, Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)], 0).await;
    ask().await.unwrap();
    db.close().await;
    assert_eq!(reason(ask().await), "UNAVAILABLE");
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3), "the ledger may have them");
    shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await.unwrap();
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3), "it has not");
}

async fn a_ledger_put_back_to_an_earlier_day_is_what_the_gate_follows(shop: Shop) {
    shop.flash(5, 5).await;
    shop.deduct(Uuid::now_v7(), "alice", (TEE, FLASH, 1)).await.unwrap();
    // The gate has heard of decisions that the ledger has no more.
    set(&shop, "seen", 1 << 40).await;
    set_free(&shop, 0).await;
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(4));
    shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await.unwrap();
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(3), "and the gate hears of what is decided now");
}

pub async fn set_free(shop: &Shop, free: i64) {
    set(shop, "free", free).await;
}

async fn set(shop: &Shop, field: &str, value: i64) {
    let key = format!("{}:{{pool:{FLASH}}}:counters:{TEE}", shop.prefix);
    redis::cmd("HSET").arg(key).arg(field).arg(value).exec_async(&mut shop.redis.clone()).await.unwrap();
}
