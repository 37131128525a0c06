//! Edge case 27: an event that cannot be handled. It leaves the main flow, is seen, and is replayed when its cause is gone.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use stampede_kit::Secret;
use stampede_kit::inbox::{ConsumerConfig, consume};
use tokio_util::sync::CancellationToken;

use crate::harness::{Shop, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_27_a_poisoned_event_leaves_the_main_flow_is_seen_and_is_replayed_when_its_cause_is_gone() {
    let shop = Shop::open().await;
    let (alice, db, nats) =
        (shop.buyer("alice"), shop.database("order").await, shop.stack.servers().nats_url());
    sqlx::raw_sql("CREATE TABLE heard (event text PRIMARY KEY, about text)").execute(&db).await.unwrap();
    let (bad, good) = (alice.order_one().await, alice.order_one().await);
    let (cause, stop) = (Arc::new(AtomicBool::new(true)), CancellationToken::new());
    let poisoned = (bad.clone(), cause.clone());
    let client = stampede_kit::nats::connect(&Secret::new(nats.clone())).await.unwrap();
    let hearing = consume(
        db.clone(),
        client,
        ConsumerConfig::new("mail-orders", ["order.placed"]),
        move |conn, message| {
            let fails = message.key == poisoned.0 && poisoned.1.load(Ordering::SeqCst);
            Box::pin(async move {
                anyhow::ensure!(!fails, "nobody knows this address");
                let heard = sqlx::query("INSERT INTO heard (event, about) VALUES ($1, $2)");
                heard.bind(message.id.to_string()).bind(&message.key).execute(conn).await?;
                Ok(())
            })
        },
        stop.clone(),
    );
    stampede_kit::task::spawn("consumer", hearing);

    let events = |words: &[&str]| {
        let program = xtask::home::binaries(false).join("xtask");
        let said = Command::new(program).arg("events").args(words).args(["--nats", &nats]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    let letters = || serde_json::from_str::<Value>(&events(&["dead", "--json"])).unwrap()["letters"].clone();
    let letter = eventually(async || letters().get(0).cloned().ok_or("no letter yet".to_owned())).await;
    assert_eq!((&letter["consumer"], &letter["attempts"]), (&json!("mail-orders"), &json!(5)), "{letter}");
    assert_eq!((&letter["subject"], &letter["stream"]), (&json!("order.placed"), &json!("STAMPEDE")));
    assert!(letter["reason"].as_str().unwrap().contains("nobody knows this address"), "{letter}");
    assert!(events(&["dead"]).contains("after 5 attempts since"));
    let later = alice.order_one().await;
    let heard = async || {
        sqlx::query_scalar::<_, String>("SELECT about FROM heard ORDER BY about")
            .fetch_all(&db)
            .await
            .unwrap()
    };
    let sorted = |mut orders: Vec<String>| {
        orders.sort_unstable();
        orders
    };
    // The others go on, those before it and those after.
    eventually(async || match heard().await {
        orders if orders == sorted(vec![good.clone(), later.clone()]) => Ok(()),
        orders => Err(format!("{orders:?} heard")),
    })
    .await;
    eventually(async || {
        let metrics = stampede_kit::metrics::text();
        let line = metrics.lines().find(|line| line.starts_with("inbox_dead_letters{")).unwrap_or_default();
        if line.contains("mail-orders") && line.ends_with(" 1") { Ok(()) } else { Err(line.to_owned()) }
    })
    .await;

    cause.store(false, Ordering::SeqCst);
    assert_eq!(events(&["replay", letter["event"].as_str().unwrap()]), "1 put back\n");
    eventually(async || match heard().await {
        orders if orders == sorted(vec![bad.clone(), good.clone(), later.clone()]) => Ok(()),
        orders => Err(format!("{orders:?} heard")),
    })
    .await;
    assert_eq!(letters(), json!([]));
    assert_eq!(events(&["replay", "--all"]), "0 put back\n");
    stop.cancel();
}
