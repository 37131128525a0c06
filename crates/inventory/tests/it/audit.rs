//! The reconciler over the real stores: every kind of difference, made by hand, is found, explained and mended where that is
//! safe; nothing is found where nothing is wrong.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use stampede_inventory::{Inventory, Keep, Limits, Pace, Reconciler};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, eventually, reason};

const KEEP: Keep = Keep {
    reservations: Duration::from_secs(3_600),
    movements: Duration::from_secs(3_600),
    rows: Duration::from_secs(3_600),
};

/// Every limit is met by a few rows, and nothing waits.
pub const SMALL: Pace = Pace {
    lap_every: Duration::ZERO,
    stale_after: Duration::ZERO,
    keep: KEEP,
    limits: Limits { cells: 1, movements: 2, reservations: 2, section: 1 },
};

/// Kind, subject, gate, ledger, movements, reservations, what was done.
pub type Row = (String, String, Option<i64>, Option<i64>, Option<i64>, Option<i64>, String);

pub async fn rows(shop: &Shop) -> Vec<Row> {
    sqlx::query_as(
        "SELECT kind, subject, gate, ledger, movements, reservations, action FROM reconciliation
         ORDER BY reconciliation_id",
    )
    .fetch_all(&shop.database.pool)
    .await
    .unwrap()
}

async fn kinds(shop: &Shop) -> Vec<(String, String)> {
    rows(shop).await.into_iter().map(|row| (row.0, row.6)).collect()
}

pub async fn sql(db: &PgPool, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(db).await.unwrap();
}

pub async fn redis(shop: &Shop, command: &str, arguments: &[&[u8]]) {
    let mut asked = redis::cmd(command);
    for argument in arguments {
        asked.arg(*argument);
    }
    asked.exec_async(&mut shop.redis.clone()).await.unwrap();
}

pub fn key(shop: &Shop, part: &str) -> Vec<u8> {
    format!("{}:{{pool:{FLASH}}}:{part}:{TEE}", shop.prefix).into_bytes()
}

/// One lap, with a look at the gate before and behind it.
pub async fn lap(reconciler: &mut Reconciler, inventory: &Inventory) {
    reconciler.round(inventory).await.unwrap();
    while !reconciler.go_around(inventory).await.unwrap() {}
}

pub async fn laps(reconciler: &mut Reconciler, inventory: &Inventory) {
    for _ in 0..3 {
        lap(reconciler, inventory).await;
    }
}

/// A campaign of 20 and a shelf with some of everything behind them: 4 held, 5 sold, 2 of them back, 3 given up.
pub async fn lively() -> Shop {
    let shop = Shop::open().await;
    shop.flash(20, 10).await;
    shop.sku("cap", 9).await;
    let [sold, gone, held] = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    shop.reserve(sold, "alice", &[(TEE, FLASH, 4), ("cap", "", 2)]).await.unwrap();
    shop.reserve(gone, "bob", &[(TEE, FLASH, 3)]).await.unwrap();
    shop.reserve(held, "carol", &[(TEE, FLASH, 4), ("cap", "", 1)]).await.unwrap();
    shop.commit(sold).await.unwrap();
    shop.release(gone).await.unwrap();
    shop.deduct(Uuid::now_v7(), "bob", (TEE, FLASH, 1)).await.unwrap();
    crate::resolve::give_back(&shop, sold, Uuid::now_v7(), Some(2)).await.unwrap();
    shop
}

#[tokio::test]
async fn nothing_is_found_in_a_healthy_shop() {
    let shop = lively().await;
    for pace in [SMALL, Pace { lap_every: Duration::ZERO, stale_after: Duration::ZERO, ..Pace::default() }] {
        laps(&mut Reconciler::new(pace), &shop.inventory).await;
    }
    assert_eq!(rows(&shop).await, vec![]);
}

/// Kind, subject, ledger, movements, reservations.
type Reported<'a> = (&'a str, &'a str, i64, Option<i64>, Option<i64>);

/// Breaks the ledger, and wants these reports of TEE and no change to the ledger; puts it right, and wants silence.
async fn is_reported(breaks: &str, mends: &str, wanted: &[Reported<'_>]) {
    let shop = lively().await;
    let db = &shop.database.pool;
    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;
    sql(db, breaks).await;
    let broken = ledger(db).await;

    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;
    let said = rows(&shop).await;
    let reported: Vec<_> = said
        .iter()
        .filter(|row| row.6 == "REPORTED")
        .map(|(kind, subject, gate, ledger, movements, reservations, _)| {
            assert_eq!(*gate, None);
            (kind.as_str(), subject.as_str(), ledger.unwrap(), *movements, *reservations)
        })
        .collect();
    assert_eq!(reported, wanted, "{breaks}: {said:?}");
    assert_eq!(ledger(db).await, broken, "the ledger was touched");

    sql(db, mends).await;
    // The gate had followed the broken level.
    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;
    sql(db, "DELETE FROM reconciliation").await;
    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;
    assert_eq!(rows(&shop).await, vec![], "{mends}");
}

pub async fn ledger(db: &PgPool) -> String {
    sqlx::query_scalar(
        "SELECT concat((SELECT string_agg(s::text, '|' ORDER BY pool, sku_id) FROM stock s),
                       (SELECT string_agg(r::text, '|' ORDER BY reservation_id) FROM reservation r),
                       (SELECT string_agg(q::text, '|' ORDER BY pool, sku_id, buyer_id) FROM buyer_quota q),
                       (SELECT string_agg(m::text, '|' ORDER BY sequence) FROM movement m))",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_level_that_its_movements_do_not_add_up_to_is_reported_and_left_alone() {
    is_reported(
        "UPDATE stock SET on_hand = on_hand + 1 WHERE pool = 'flash'",
        "UPDATE stock SET on_hand = on_hand - 1 WHERE pool = 'flash'",
        &[("ON_HAND", "", 21, Some(20), None)],
    )
    .await;
}

#[tokio::test]
async fn a_level_that_neither_movements_nor_reservations_say_is_reported_with_both() {
    is_reported(
        "UPDATE stock SET held = held - 1, committed = committed + 2 WHERE pool = 'flash'",
        "UPDATE stock SET held = held + 1, committed = committed - 2 WHERE pool = 'flash'",
        &[
            ("HELD", "", 3, Some(4), None),
            ("COMMITTED", "", 5, Some(3), None),
            ("HELD", "", 3, None, Some(4)),
            ("COMMITTED", "", 5, None, Some(3)),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_movement_that_was_changed_is_reported() {
    is_reported(
        "UPDATE movement SET committed_delta = committed_delta + 7 WHERE kind = 'DEDUCT'",
        "UPDATE movement SET committed_delta = committed_delta - 7 WHERE kind = 'DEDUCT'",
        &[("COMMITTED", "", 3, Some(10), None)],
    )
    .await;
}

#[tokio::test]
async fn a_reservation_that_was_changed_is_reported_with_its_buyers_quota() {
    is_reported(
        "UPDATE reservation SET asked[1] = asked[1] + 1 WHERE buyer_id = 'bob' AND state = 'COMMITTED';
         UPDATE buyer_quota SET used = used - 1 WHERE buyer_id = 'carol'",
        "UPDATE reservation SET asked[1] = asked[1] - 1 WHERE buyer_id = 'bob' AND state = 'COMMITTED';
         UPDATE buyer_quota SET used = used + 1 WHERE buyer_id = 'carol'",
        &[
            ("COMMITTED", "", 3, None, Some(4)),
            ("QUOTA", "bob", 1, None, Some(2)),
            ("QUOTA", "carol", 3, None, Some(4)),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_checkpoint_that_is_wrong_accuses_nobody() {
    let shop = lively().await;
    sql(
        &shop.database.pool,
        "INSERT INTO stock_checkpoint (pool, sku_id, sequence, on_hand) SELECT pool, sku_id, version, 1 FROM stock",
    )
    .await;
    let mut reconciler = Reconciler::new(SMALL);
    // The first lap of a process trusts no checkpoint.
    lap(&mut reconciler, &shop.inventory).await;
    sql(&shop.database.pool, "UPDATE stock_checkpoint SET on_hand = 1, sequence = 1").await;
    laps(&mut reconciler, &shop.inventory).await;
    assert_eq!(rows(&shop).await, vec![]);
}

#[tokio::test]
async fn a_stale_quota_at_the_gate_is_set_to_the_ledgers() {
    let shop = lively().await;
    // Too high: they could not buy what is theirs to buy. Too low is the gate not knowing yet: the ledger tells it.
    for (buyer, units) in [("alice", "9"), ("bob", "0"), ("mallory", "2")] {
        redis(&shop, "HSET", &[&key(&shop, "quotas"), buyer.as_bytes(), units.as_bytes()]).await;
    }
    laps(&mut Reconciler::new(SMALL), &shop.inventory).await;

    let mut said = rows(&shop).await;
    said.sort();
    let set = |buyer: &str, gate, ledger| {
        ("GATE_QUOTA".into(), buyer.into(), Some(gate), Some(ledger), None, None, "QUOTA_SET".into())
    };
    assert_eq!(said, vec![set("alice", 9, 2), set("mallory", 2, 0)]);
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 8)]).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await), "BUYER_LIMIT");
}

#[tokio::test]
async fn edge_case_17_units_put_aside_for_an_id_the_ledger_never_heard_of_are_given_back() {
    let shop = lively().await;
    let orphan = Uuid::now_v7();
    // A process that died between the gate and the ledger leaves exactly this.
    redis(&shop, "HSET", &[&key(&shop, "tokens"), orphan.as_bytes(), b"3:1:mallory"]).await;
    redis(&shop, "HSET", &[&key(&shop, "quotas"), b"mallory", b"3"]).await;
    redis(&shop, "HINCRBY", &[&key(&shop, "counters"), b"free", b"-3"]).await;
    let mut reconciler = Reconciler::new(SMALL);
    // Without its own look at the gate, which would load the whole cell again.
    eventually("the units are back", async || {
        reconciler.go_around(&shop.inventory).await.unwrap();
        shop.gate_free(TEE, FLASH).await == Some(shop.level(TEE, FLASH).await.free)
    })
    .await;
    laps(&mut reconciler, &shop.inventory).await;
    let said = kinds(&shop).await;
    assert!(said.contains(&("GATE_TOKEN".to_owned(), "GIVEN_BACK".to_owned())), "{said:?}");
    assert_eq!(rows(&shop).await.iter().find(|row| row.0 == "GATE_TOKEN").unwrap().1, orphan.to_string());
    let left: bool = redis::cmd("HEXISTS")
        .arg(key(&shop, "quotas"))
        .arg("mallory")
        .query_async(&mut shop.redis.clone())
        .await
        .unwrap();
    assert!(!left, "and count for nobody");
}

#[tokio::test]
async fn a_token_whose_units_the_ledger_has_taken_is_forgotten() {
    let shop = lively().await;
    let id = Uuid::now_v7();
    shop.reserve(id, "dave", &[(TEE, FLASH, 2)]).await.unwrap();
    // A process that died after the ledger's answer, before it told the gate. The units were counted when they were put aside.
    let free = shop.gate_free(TEE, FLASH).await;
    redis(&shop, "HSET", &[&key(&shop, "tokens"), id.as_bytes(), b"2:1:dave"]).await;
    let mut reconciler = Reconciler::new(SMALL);
    laps(&mut reconciler, &shop.inventory).await;
    assert_eq!(
        rows(&shop).await,
        [("GATE_TOKEN".into(), id.to_string(), Some(2), None, None, Some(2), "FORGOTTEN".into())]
    );
    assert_eq!(shop.gate_free(TEE, FLASH).await, free);
}

#[tokio::test]
async fn a_young_token_is_left_to_whoever_is_on_the_way_to_the_ledger() {
    let shop = lively().await;
    redis(&shop, "HSET", &[&key(&shop, "tokens"), Uuid::now_v7().as_bytes(), b"1:1:mallory"]).await;
    redis(&shop, "HSET", &[&key(&shop, "quotas"), b"mallory", b"1"]).await;
    let mut reconciler = Reconciler::new(Pace { stale_after: Duration::from_secs(3_600), ..SMALL });
    for _ in 0..3 {
        while !reconciler.go_around(&shop.inventory).await.unwrap() {}
    }
    assert_eq!(rows(&shop).await, vec![]);
}

#[tokio::test]
async fn a_cell_that_only_a_dead_process_had_loaded_is_mended() {
    let shop = lively().await;
    let heir = shop.process().await.inventory;
    redis(&shop, "HINCRBY", &[&key(&shop, "counters"), b"free", b"-2"]).await;
    let mut reconciler = Reconciler::new(SMALL);
    assert_eq!(reconciler.round(&heir).await.unwrap(), Some(0), "it has loaded nothing");
    laps(&mut reconciler, &heir).await;
    assert_eq!(
        rows(&shop).await,
        [("GATE_UNITS".into(), String::new(), Some(11), Some(13), None, None, "RELOADED".into())]
    );
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(13));
}

#[tokio::test]
async fn one_process_at_a_time_goes_around_and_another_takes_over_when_it_ends() {
    let shop = lively().await;
    let mut first = Reconciler::new(SMALL);
    let mut second = Reconciler::new(SMALL);
    lap(&mut first, &shop.inventory).await;
    for _ in 0..50 {
        assert!(!second.go_around(&shop.inventory).await.unwrap());
    }
    drop(first);
    eventually("the second goes around", async || second.go_around(&shop.inventory).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_is_reported_of_the_ledger_and_nothing_differs_in_the_end() {
    let shop = Arc::new(lively().await);
    let buying = (0..12_u32).map(|buyer| {
        let shop = shop.clone();
        tokio::spawn(async move {
            for turn in 0..40_u32 {
                let (id, name) = (Uuid::now_v7(), format!("buyer-{}", buyer % 4));
                let lines = [(TEE, FLASH, 1 + turn % 2), ("cap", "", 1)];
                let lines = if turn % 3 == 0 { &lines[..] } else { &lines[..1] };
                if shop.reserve(id, &name, lines).await.is_ok() {
                    match turn % 4 {
                        0 => {
                            shop.commit(id).await.unwrap();
                            let _ = crate::resolve::give_back(&shop, id, Uuid::now_v7(), None).await;
                        }
                        1 | 2 => drop(shop.release(id).await.unwrap()),
                        _ => drop(shop.commit(id).await.unwrap()),
                    }
                }
            }
        })
    });
    let buying: Vec<_> = buying.collect();
    let mut reconciler = Reconciler::new(Pace { stale_after: Duration::from_secs(5), ..SMALL });
    let mut around = 0;
    while buying.iter().any(|buyer| !buyer.is_finished()) {
        lap(&mut reconciler, &shop.inventory).await;
        around += 1;
    }
    for buyer in buying {
        buyer.await.unwrap();
    }
    assert!(around > 2, "{around} laps under load");
    shop.reconcile().await;
    laps(&mut reconciler, &shop.inventory).await;
    let ledgers: Vec<_> = rows(&shop).await.into_iter().filter(|row| row.6 == "REPORTED").collect();
    assert_eq!(ledgers, vec![]);
    assert_eq!(reconciler.round(&shop.inventory).await.unwrap(), Some(0));
}
