//! Rebuilding over a real Postgres: what is broken by hand is found, named and mended; what is sound is left alone.

use sqlx::{AssertSqlSafe, PgConnection};
use stampede_kit::testing::{self, TestDatabase};

use super::*;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/inventory");

/// Ten on hand, two held by alice and three sold to bob in a campaign, four on the shelf.
async fn books() -> (TestDatabase, PgConnection) {
    let database = testing::database(&MIGRATIONS).await;
    let mut conn = PgConnection::connect(database.url.expose()).await.unwrap();
    sql(
        &mut conn,
        "INSERT INTO sku (sku_id, title, amount_minor, currency, opened_with) VALUES ('tee', 'Tee', 1, 'EUR', 4);
         INSERT INTO campaign (campaign_id, title, opens_at, closes_at) VALUES ('flash', 'Flash', now(), now() + interval '1 day');
         INSERT INTO campaign_item VALUES ('flash', 1, 'tee', 1, 'EUR', 10, 5);
         INSERT INTO stock (pool, sku_id, on_hand, held, committed, version)
         VALUES ('flash', 'tee', 10, 2, 3, 4), ('shelf', 'tee', 4, 0, 0, 1);
         INSERT INTO movement (sequence, pool, sku_id, kind, on_hand_delta, held_delta, committed_delta)
         VALUES (1, 'shelf', 'tee', 'OPEN', 4, 0, 0), (2, 'flash', 'tee', 'OPEN', 10, 0, 0),
                (3, 'flash', 'tee', 'HOLD', 0, 2, 0), (4, 'flash', 'tee', 'DEDUCT', 0, 0, 3);
         INSERT INTO reservation (reservation_id, kind, buyer_id, state, expires_at, created_at, resolved_at, made_by, pools, skus, asked)
         VALUES (gen_random_uuid(), 'HOLD', 'alice', 'PENDING', now() + interval '1 day', now(), NULL, 3, '{flash}', '{tee}', '{2}'),
                (gen_random_uuid(), 'DEDUCTION', 'bob', 'COMMITTED', NULL, now(), now(), 4, '{flash}', '{tee}', '{3}');
         INSERT INTO buyer_quota VALUES ('flash', 'tee', 'alice', 2, 5), ('flash', 'tee', 'bob', 3, 5)",
    )
    .await;
    (database, conn)
}

async fn sql(conn: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(conn).await.unwrap();
}

async fn said(conn: &mut PgConnection) -> Vec<String> {
    let report = compare(conn).await.unwrap();
    assert_eq!(report.differences, i64::try_from(report.listed.len()).unwrap());
    assert_eq!(check_passes(&report), report.differences == 0);
    let line = |d: &Difference| {
        format!("{}/{} {}{} {:?} {} {:?}", d.pool, d.sku_id, d.number, d.buyer, d.ledger, d.against, d.other)
    };
    report.listed.iter().map(line).collect()
}

#[tokio::test]
async fn sound_books_have_nothing_to_say_and_broken_ones_name_each_number() {
    let (_database, mut conn) = books().await;
    let none: Vec<String> = Vec::new();
    assert_eq!(said(&mut conn).await, none);
    for (breaks, mends, wanted) in [
        (
            "UPDATE stock SET held = held + 1 WHERE pool = 'flash'",
            "UPDATE stock SET held = held - 1 WHERE pool = 'flash'",
            vec!["flash/tee HELD Some(3) movements Some(2)", "flash/tee HELD Some(3) reservations Some(2)"],
        ),
        (
            "UPDATE movement SET on_hand_delta = 5 WHERE sequence = 1",
            "UPDATE movement SET on_hand_delta = 4 WHERE sequence = 1",
            vec!["shelf/tee ON_HAND Some(4) movements Some(5)"],
        ),
        (
            "UPDATE reservation SET asked = '{4}' WHERE buyer_id = 'bob'",
            "UPDATE reservation SET asked = '{3}' WHERE buyer_id = 'bob'",
            vec![
                "flash/tee COMMITTED Some(3) reservations Some(4)",
                "flash/tee QUOTAbob Some(3) reservations Some(4)",
            ],
        ),
        (
            "UPDATE buyer_quota SET used = 1 WHERE buyer_id = 'alice'",
            "UPDATE buyer_quota SET used = 2 WHERE buyer_id = 'alice'",
            vec!["flash/tee QUOTAalice Some(1) reservations Some(2)"],
        ),
    ] {
        sql(&mut conn, breaks).await;
        assert_eq!(said(&mut conn).await, wanted, "{breaks}");
        sql(&mut conn, mends).await;
        assert_eq!(said(&mut conn).await, none, "{mends}");
    }
}

#[tokio::test]
async fn levels_become_what_the_movements_say_and_nothing_else_changes() {
    let (_database, mut conn) = books().await;
    sql(&mut conn, "UPDATE stock SET held = 0, committed = 1, on_hand = 12 WHERE pool = 'flash'").await;

    let report = rebuild(&mut conn).await.unwrap();
    assert!(report.changed && check_passes(&report));
    assert_eq!(report.listed.len(), 3, "{:?}", report.listed);
    let levels: Vec<(String, i64, i64, i64)> =
        sqlx::query_as("SELECT pool, on_hand, held, committed FROM stock ORDER BY pool")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    assert_eq!(levels, [("flash".to_owned(), 10, 2, 3), ("shelf".to_owned(), 4, 0, 0)]);
    let again = rebuild(&mut conn).await.unwrap();
    assert!(!again.changed && check_passes(&again) && again.listed.is_empty());
}

#[tokio::test]
async fn nothing_is_rebuilt_while_an_inventory_is_connected_or_what_the_movements_say_cannot_be() {
    let (database, mut conn) = books().await;
    sql(&mut conn, "UPDATE stock SET held = 1 WHERE pool = 'flash'").await;
    let mut seller = PgConnection::connect(database.url.expose()).await.unwrap();
    sql(&mut seller, "SET application_name = 'inventory'").await;
    let refused = rebuild(&mut conn).await.unwrap_err().to_string();
    assert!(refused.contains("an inventory is connected"), "{refused}");
    seller.close().await.unwrap();

    sql(&mut conn, "UPDATE movement SET held_delta = 99 WHERE sequence = 3").await;
    let refused = rebuild(&mut conn).await.unwrap_err().to_string();
    assert!(refused.contains("nothing was changed"), "{refused}");
    let held: i64 =
        sqlx::query_scalar("SELECT held FROM stock WHERE pool = 'flash'").fetch_one(&mut conn).await.unwrap();
    assert_eq!(held, 1);
}
