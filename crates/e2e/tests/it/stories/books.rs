//! The books after a day of trade, and after somebody with the owner's rights has been at them.

use serde_json::json;
use xtask::books::check;

use crate::harness::{Shop, UNIT_PRICE};

#[tokio::test(flavor = "multi_thread")]
async fn the_books_agree_with_the_facts_and_whatever_is_changed_behind_their_guards_is_found() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    let (kept, cancelled) = (alice.order_one().await, alice.order_one().await);
    for order in [&kept, &cancelled] {
        alice.pay(order).await.ok();
    }
    alice.try_cancel(&cancelled).await.unwrap().ok();
    alice.sees(&cancelled, "ORDER_STATE_CANCELLED").await;
    shop.settles(0, 1, UNIT_PRICE).await;

    let payments = shop.database("payment").await;
    let mut conn = payments.acquire().await.unwrap();
    let mut found = async |tampering: &str, what: &str| {
        // Each is found for itself: what was tampered with before is still there.
        let before = check::differences(&mut conn).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(tampering.to_owned())).execute(&mut *conn).await.unwrap();
        let found = check::differences(&mut conn).await.unwrap();
        let is_new = found.iter().any(|found| found.what == what && !before.contains(found));
        assert!(is_new, "{tampering}: {}", json!(format!("{found:?}")));
    };
    found(
        "ALTER TABLE ledger_entry DISABLE TRIGGER USER; ALTER TABLE payment_event DISABLE TRIGGER USER",
        "a guard of the books is missing or off",
    )
    .await;
    found(
        "UPDATE payment_intent SET refunded_minor = refunded_minor + 1 WHERE captured_minor > refunded_minor",
        "a payment is not the sum of its facts",
    )
    .await;
    found("UPDATE payment_intent SET capture_pending_minor = 0, refund_pending_minor = 1 WHERE captured_minor > refunded_minor",
          "a payment reserves what no open attempt asks for").await;
    found(
        "UPDATE ledger_entry SET amount_minor = amount_minor + 1 WHERE entry_id = 1",
        "a transfer does not balance",
    )
    .await;
    found("DELETE FROM ledger_entry WHERE transfer_id = (SELECT max(transfer_id::text)::uuid FROM ledger_entry)",
          "a fact is not booked as it is").await;
}
