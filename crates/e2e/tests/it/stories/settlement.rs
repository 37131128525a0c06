//! What the provider says it has paid out, through the gateway: staff import it and decide what does not agree, and the books are checked.

use serde_json::{Value, json};
use sqlx::PgPool;
use stampede_kit::clock::Clock;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use xtask::books::check;

use crate::harness::{Shop, UNIT_PRICE};

impl Shop {
    /// The provider's file of this name as a message, in one piece; `query` says what is wrong in it.
    async fn settlement(&self, payments: &PgPool, name: &str, query: &str) -> Value {
        let address = self.stack.address("psp-simulator").unwrap();
        let url = format!("http://{address}/v1/settlement?batch={name}{query}");
        let content = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let digest: String = sqlx::query_scalar("SELECT encode(sha256(convert_to($1, 'UTF8')), 'base64')")
            .bind(&content)
            .fetch_one(payments)
            .await
            .unwrap();
        json!({ "provider": "simulator", "fileId": name, "digest": digest, "chunks": 1, "content": content,
                "periodEnd": Clock::system().now().format(&Rfc3339).unwrap() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_import_what_the_provider_has_settled_and_decide_what_does_not_agree() {
    let shop = Shop::open().await;
    let alice = shop.buyer("alice");
    for _ in 0..2 {
        let order = alice.order_one().await;
        alice.pay(&order).await.ok();
        alice.sees(&order, "ORDER_STATE_CONFIRMED").await;
    }
    let payments = shop.database("payment").await;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT provider_reference FROM payment_event WHERE kind = 'CAPTURED' ORDER BY position",
    )
    .fetch_all(&payments)
    .await
    .unwrap();
    let file = shop.settlement(&payments, "day-1", &format!("&wrong={}", names[0])).await;
    assert_eq!(alice.post("/v1/settlements:import", &file).await.reason(), "PERMISSION_DENIED");
    let sam = shop.user("sam", "staff");
    let imported = sam.post("/v1/settlements:import", &file).await.ok();
    assert_eq!(imported["state"], "SETTLEMENT_FILE_STATE_DONE");
    assert_eq!(
        (&imported["lines"], &imported["matched"], &imported["differences"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(
        sam.post("/v1/settlements:import", &file).await.ok(),
        imported,
        "the same file changes nothing"
    );
    let mut other = shop.settlement(&payments, "day-1", "").await;
    other["periodEnd"] = file["periodEnd"].clone();
    assert_eq!(sam.post("/v1/settlements:import", &other).await.reason(), "SETTLEMENT_FILE_CONFLICT");
    let mut torn = shop.settlement(&payments, "day-2", "").await;
    torn["content"] = json!(torn["content"].as_str().unwrap().replace(",EUR,", ",euro,"));
    let torn = sam.post("/v1/settlements:import", &torn).await;
    assert_eq!(torn.reason(), "SETTLEMENT_FILE_INVALID");

    let listed = sam.get("/v1/settlement-differences").await.ok();
    let difference = &listed["differences"][0];
    assert_eq!(difference["kind"], "SETTLEMENT_DIFFERENCE_KIND_AMOUNT_DIFFERS");
    assert_eq!(difference["line"]["gross"]["amountMinor"], json!((UNIT_PRICE + 1).to_string()));
    let path = format!("/v1/settlement-differences/{}:resolve", difference["differenceId"].as_str().unwrap());
    let decision = json!({ "resolutionId": Uuid::now_v7(), "decision": "SETTLEMENT_DECISION_TAKE_THEIRS", "note": "called them" });
    for _ in 0..2 {
        sam.post(&path, &decision).await.ok();
    }
    assert_eq!(sam.get("/v1/settlement-differences").await.ok()["differences"], json!([]));
    shop.settles(0, 2, 2 * UNIT_PRICE).await;
    whatever_is_changed_behind_the_guards_is_found(&payments).await;
}

async fn whatever_is_changed_behind_the_guards_is_found(payments: &PgPool) {
    let mut conn = payments.acquire().await.unwrap();
    assert_eq!(check::differences(&mut conn).await.unwrap(), []);
    let disabled =
        "ALTER TABLE settlement_transfer DISABLE TRIGGER USER; ALTER TABLE ledger_entry DISABLE TRIGGER USER";
    for (tampering, what) in [
        (disabled, "a guard of the books is missing or off"),
        (
            "UPDATE settlement_transfer SET provider = 'simulator-b' WHERE resolution_id IS NULL",
            "a settlement is not its line's, its fact's or its decision's",
        ),
        (
            "UPDATE settlement_transfer SET bank_minor = bank_minor - 1, fee_minor = fee_minor + 1 WHERE resolution_id IS NULL",
            "a settlement is not booked as it is",
        ),
        (
            "UPDATE settlement_line SET outcome = 'REJECTED' WHERE outcome = 'TAKEN'",
            "what became of a line is not what is booked",
        ),
        (
            "UPDATE ledger_entry SET account = 'bank' WHERE account = 'provider_receivable' AND settlement_id IS NOT NULL
             AND entry_id = (SELECT max(entry_id) FROM ledger_entry WHERE account = 'provider_receivable')",
            "what providers owe is not what was captured, less what was given back and settled",
        ),
    ] {
        let before = check::differences(&mut conn).await.unwrap();
        sqlx::raw_sql(tampering).execute(&mut *conn).await.unwrap();
        let found = check::differences(&mut conn).await.unwrap();
        assert!(found.iter().any(|found| found.what == what && !before.contains(found)), "{what}: {found:?}");
    }
}
