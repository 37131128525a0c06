//! Settlement in the database itself: whatever a hand writes, money is settled once, as its line and its fact say, and nothing of it
//! changes afterwards.

use sqlx::PgConnection;
use stampede_payment::reconcile::Decision;

use crate::bench::Bench;

/// A transfer of what no file has settled yet: the fact and the line of a wrong amount.
const TAKE: &str = "INSERT INTO settlement_transfer (settlement_id, provider, line, event_id, resolution_id, currency, bank_minor, fee_minor,
                                                     difference_minor, receivable_minor)
    SELECT '00000000-0000-0000-0000-000000000001', 'simulator', l.position, e.event_id, NULL, 'EUR', 9851, 150, 0, 10001
    FROM settlement_line l JOIN payment_event e ON e.provider_reference = l.reference";
const ENTRIES: &str = "INSERT INTO ledger_entry (settlement_id, account, side, amount_minor, currency)
    SELECT '00000000-0000-0000-0000-000000000001', account, side, amount, 'EUR' FROM (VALUES
        ('bank', 'DEBIT', 9851), ('provider_fees', 'DEBIT', 150), ('provider_receivable', 'CREDIT', 10001)) AS e (account, side, amount)";

/// The name of the rule that refuses these statements, in one transaction; None when it is committed.
async fn refused(bench: &Bench, statements: &[&str]) -> Option<String> {
    let mut tx = stampede_kit::postgres::begin(&bench.database.pool).await.unwrap();
    for statement in statements {
        if let Err(error) = run(&mut tx, statement).await {
            return Some(name(&error));
        }
    }
    tx.commit().await.err().as_ref().map(name)
}

async fn run(conn: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(conn).await.map(drop)
}

fn name(error: &sqlx::Error) -> String {
    let constraint = error.as_database_error().and_then(|database| database.constraint());
    constraint.map_or_else(|| error.to_string(), ToOwned::to_owned)
}

/// One captured payment, and a file that has it with a minor unit too much: nothing is booked yet.
async fn undecided() -> Bench {
    let bench = Bench::without_resolver().await;
    let name = bench.captured_as(bench.captured("tok_visa").await).await;
    bench.settle("f1", &format!("&wrong={name}")).await;
    bench
}

#[tokio::test]
async fn a_transfer_is_refused_that_does_not_balance_or_is_not_its_lines_and_its_facts() {
    let bench = undecided().await;
    let with = |from: &str, to: &str| TAKE.replace(from, to);
    for (statements, rule) in [
        (vec![with("0, 10001", "0, 10000")], "settlement_transfer_balanced"),
        // It balances, and says that the fact was a minor unit more than it is.
        (vec![TAKE.to_owned(), ENTRIES.to_owned()], "settlement_transfer_true"),
        (vec![TAKE.to_owned()], "settlement_transfer_booked"),
        // The fact as it is, and a minor unit less than the line has paid.
        (
            vec![
                with("9851, 150, 0, 10001", "9850, 150, 0, 10000"),
                ENTRIES.replace("9851", "9850").replace("10001", "10000"),
            ],
            "settlement_transfer_true",
        ),
        (vec![with("0, 10001", "-1, 10000")], "settlement_transfer_decided"),
        (vec![with("e.event_id, NULL", "NULL, NULL")], "settlement_transfer_owed"),
        (vec![with("l.position, e.event_id", "NULL, e.event_id")], "settlement_transfer_paid"),
        (vec![with("l.position, e.event_id", "NULL::bigint, NULL::uuid")], "settlement_transfer_moves"),
        (
            vec![TAKE.to_owned(), ENTRIES.replace("'bank', 'DEBIT', 9851", "'bank', 'DEBIT', 9850")],
            "settlement_transfer_booked",
        ),
        (vec![TAKE.to_owned(), ENTRIES.replace("'EUR'", "'USD'")], "settlement_transfer_booked"),
    ] {
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        assert_eq!(refused(&bench, &statements).await.as_deref(), Some(rule), "{statements:?}");
    }
}

#[tokio::test]
async fn a_line_and_a_fact_are_settled_once_and_what_is_booked_gets_no_further_entries() {
    let bench = undecided().await;
    bench.decide_one(Decision::TakeTheirs).await;
    let other = "00000000-0000-0000-0000-000000000002";
    let again = TAKE.replace("NULL, 'EUR', 9851, 150, 0, 10001", "NULL, 'EUR', 0, 0, 10000, 10000");
    for (columns, rule) in [
        ("l.position, e.event_id", "settlement_line_settled_once"),
        ("NULL, e.event_id", "settlement_fact_settled_once"),
    ] {
        let statement = again.replace("l.position, e.event_id", columns).replace(
            "e.event_id, NULL, 'EUR', 0, 0, 10000",
            "e.event_id, (SELECT resolution_id FROM settlement_resolution), 'EUR', 0, 0, 10000",
        );
        assert_eq!(refused(&bench, &[&statement]).await.as_deref(), Some(rule), "{other}");
    }
    // A balanced pair beside what is stated.
    let pair = "INSERT INTO ledger_entry (settlement_id, account, side, amount_minor, currency)
                SELECT settlement_id, account, side, 5, 'EUR' FROM settlement_transfer,
                (VALUES ('bank', 'CREDIT'), ('order_funds', 'DEBIT')) AS e (account, side)";
    assert_eq!(refused(&bench, &[pair]).await.as_deref(), Some("settlement_transfer_booked"));
    let both = "INSERT INTO ledger_entry (settlement_id, transfer_id, account, side, amount_minor, currency)
                SELECT settlement_id, event_id, 'order_funds', 'CREDIT', 5, 'EUR' FROM settlement_transfer";
    assert_eq!(refused(&bench, &[both]).await.as_deref(), Some("ledger_entry_of_one"));
    let neither =
        "INSERT INTO ledger_entry (account, side, amount_minor, currency) VALUES ('bank', 'DEBIT', 5, 'EUR')";
    assert_eq!(refused(&bench, &[neither]).await.as_deref(), Some("ledger_entry_of_one"));
}

#[tokio::test]
async fn a_decision_that_moves_money_is_committed_with_its_transfer_only() {
    let bench = undecided().await;
    let decision = "INSERT INTO settlement_resolution (resolution_id, difference_id, decision, actor, note)
                    SELECT gen_random_uuid(), difference_id, 'TAKE_THEIRS', 'eve', 'quick' FROM settlement_difference";
    assert_eq!(refused(&bench, &[decision]).await.as_deref(), Some("settlement_resolution_booked"));
}

#[tokio::test]
async fn a_decision_books_what_it_is_about_and_only_one_that_moves_money_does() {
    let bench = undecided().await;
    bench.decide_one(Decision::RejectLine).await;
    let take = TAKE.replace(
        "e.event_id, NULL, 'EUR', 9851, 150, 0, 10001",
        "e.event_id, (SELECT resolution_id FROM settlement_resolution), 'EUR', 9851, 150, -1, 10000",
    );
    let entries = ENTRIES.replace("'CREDIT', 10001", "'CREDIT', 10000").replace(
        "('bank', 'DEBIT', 9851)",
        "('bank', 'DEBIT', 9851), ('settlement_differences', 'CREDIT', 1)",
    );
    let rule = refused(&bench, &[&take, &entries]).await;
    assert_eq!(rule.as_deref(), Some("settlement_transfer_true"));
}

#[tokio::test]
async fn nothing_of_a_settlement_ever_changes_whatever_the_session_says() {
    let bench = undecided().await;
    bench.decide_one(Decision::TakeTheirs).await;
    for role in ["origin", "replica"] {
        for change in [
            "UPDATE settlement_transfer SET bank_minor = 1",
            "DELETE FROM settlement_transfer",
            "TRUNCATE settlement_transfer CASCADE",
            "UPDATE settlement_resolution SET actor = 'eve'",
            "DELETE FROM settlement_resolution",
            "TRUNCATE settlement_resolution CASCADE",
            "UPDATE settlement_line SET gross_minor = 1",
            "DELETE FROM settlement_line",
            "TRUNCATE settlement_line CASCADE",
            "UPDATE settlement_chunk SET content = ''",
            "DELETE FROM settlement_file",
            "TRUNCATE settlement_file CASCADE",
            "UPDATE settlement_difference SET closed = NULL",
            "UPDATE settlement_difference SET kind = 'DOUBLED'",
            "DELETE FROM settlement_difference",
            "UPDATE ledger_entry SET amount_minor = 1 WHERE settlement_id IS NOT NULL",
            "DELETE FROM ledger_entry WHERE settlement_id IS NOT NULL",
            "TRUNCATE ledger_entry",
            "TRUNCATE payment_event CASCADE",
        ] {
            let role = format!("SET LOCAL session_replication_role = {role}");
            let kept = refused(&bench, &[&role, change]).await.unwrap_or_default();
            assert!(kept.contains("append-only"), "{role}: {change}: {kept:?}");
        }
    }
}
