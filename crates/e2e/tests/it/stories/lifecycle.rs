//! Processes start, say what is wrong, and stop as a platform expects.

use std::process::Command;

use xtask::stack::NAMES;

use crate::harness::{Shop, UNIT_PRICE};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_was_begun_and_a_restart_keeps_the_data() {
    let mut shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    let paying = {
        let (alice, order) = (alice.clone(), order.clone());
        tokio::spawn(async move { alice.pay(&order).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    for service in NAMES.iter().rev() {
        shop.stack.stop(service).unwrap();
        let log = std::fs::read_to_string(shop.stack.log(service)).unwrap();
        assert!(!log.contains("panicked"), "{service}: {log}");
    }
    // Asked before the stop: answered, or refused whole.
    let answer = paying.await;
    for service in NAMES {
        shop.start(service);
    }
    if answer.is_ok_and(|a| a.body["state"] == "ORDER_STATE_CONFIRMED") {
        assert_eq!(alice.get(&format!("/v1/orders/{order}")).await.ok()["state"], "ORDER_STATE_CONFIRMED");
    }
    alice.pay(&order).await.ok();
    alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_of_one_service_live_and_die_apart() {
    let mut shop = Shop::of(&[], &[("inventory", 3)]).await;
    let addresses = ["inventory", "inventory-2", "inventory-3"].map(|name| shop.stack.address(name).unwrap());
    assert_eq!(addresses.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{addresses:?}");

    shop.stack.kill9("inventory-2").unwrap();
    assert!(!shop.stack.is_alive("inventory-2"));
    let alice = shop.buyer("alice");
    let order = alice.order_one().await;
    alice.pay(&order).await.ok();

    shop.start("inventory-2");
    assert_eq!(shop.stack.address("inventory-2").unwrap(), addresses[1]);
    assert!(shop.stack.log("inventory-2").is_file());
    shop.settles(0, 1, UNIT_PRICE).await;
}

#[test]
fn a_wrong_configuration_is_reported_whole_and_exits_with_two() {
    let binary = xtask::home::binaries(false).join("order");
    let output = Command::new(binary)
        .env_clear()
        .env("ORDER_DRAIN_MS", "soon")
        .env("ORDER_TYPO", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for name in ["ORDER_LISTEN", "ORDER_DATABASE_URL", "ORDER_DRAIN_MS", "ORDER_TYPO"] {
        assert!(said.contains(name), "{name} is not in:\n{said}");
    }
}
