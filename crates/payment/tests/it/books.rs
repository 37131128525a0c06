//! The books hold by themselves: the database refuses what no rule should have let through, and news leaves with the fact.

use prost::Message as _;
use stampede_proto::event::v1::{Event, event::Fact};
use uuid::Uuid;

use crate::bench::{Bench, eur, new_id};

#[tokio::test]
async fn a_transfer_that_does_not_balance_cannot_be_committed() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let payment = bench.authorize(id, 100, "tok_declined_do_not_honour").await.unwrap();
    let mut tx = stampede_kit::postgres::begin(&bench.database.pool).await.unwrap();
    for (account, side, amount) in [("provider_receivable", "DEBIT", 100_i64), ("order_funds", "CREDIT", 99)]
    {
        sqlx::query("INSERT INTO ledger_entry (transfer_id, account, side, amount_minor, currency) VALUES ($1, $2, $3, $4, 'EUR')")
            .bind(payment.events[0].id)
            .bind(account)
            .bind(side)
            .bind(amount)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let refused = tx.commit().await.unwrap_err();
    assert_eq!(
        refused.as_database_error().and_then(|error| error.constraint()),
        Some("ledger_transfer_balanced")
    );
}

#[tokio::test]
async fn a_fact_without_its_entries_cannot_be_committed_nor_one_booked_as_another_amount() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    for booked in [None, Some(99_i64), Some(100)] {
        let mut tx = stampede_kit::postgres::begin(&bench.database.pool).await.unwrap();
        let fact = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO payment_event (event_id, payment_id, kind, amount_minor, provider, at)
             VALUES ($1, $2, 'REFUNDED', 100, 'simulator', now())",
        )
        .bind(fact)
        .bind(id.uuid())
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO ledger_entry (transfer_id, account, side, amount_minor, currency)
             SELECT $1, account, side, $2, 'EUR'
             FROM (VALUES ('order_funds', 'DEBIT'), ('provider_receivable', 'CREDIT')) AS pair (account, side)
             WHERE $2 IS NOT NULL",
        )
        .bind(fact)
        .bind(booked)
        .execute(&mut *tx)
        .await
        .unwrap();
        let refused = tx.commit().await.err();
        let constraint = refused.as_ref().and_then(|error| error.as_database_error()?.constraint());
        assert_eq!(constraint, (booked != Some(100)).then_some("payment_event_booked"), "{booked:?}");
    }
}

#[tokio::test]
async fn no_session_setting_gets_around_the_guards_of_the_books() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    let mut conn = bench.database.pool.acquire().await.unwrap();
    sqlx::query("SET session_replication_role = replica").execute(&mut *conn).await.unwrap();
    for change in [
        "DELETE FROM ledger_entry",
        "UPDATE payment_event SET amount_minor = 1",
        "INSERT INTO ledger_entry (transfer_id, account, side, amount_minor, currency)
         SELECT transfer_id, 'dispute_losses', 'DEBIT', 1, 'EUR' FROM ledger_entry LIMIT 1",
    ] {
        let refused = sqlx::query(change).execute(&mut *conn).await;
        assert!(refused.is_err(), "{change}");
    }
}

#[tokio::test]
async fn facts_and_entries_never_change() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    for change in [
        "UPDATE payment_event SET amount_minor = 1",
        "DELETE FROM payment_event",
        "TRUNCATE payment_event CASCADE",
        "UPDATE ledger_entry SET amount_minor = 1",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
    ] {
        let refused = sqlx::query(change).execute(&bench.database.pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{change}: {refused}");
    }
}

#[tokio::test]
async fn the_ceilings_hold_whoever_writes() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    for (change, ceiling) in [
        ("UPDATE payment_intent SET captured_minor = 10001", "payment_captured_within_authorized"),
        ("UPDATE payment_intent SET capture_pending_minor = 1", "payment_captured_within_authorized"),
        ("UPDATE payment_intent SET refunded_minor = 10001", "payment_refunded_within_captured"),
        (
            "UPDATE payment_intent SET refunded_minor = 6000, refund_pending_minor = 6000",
            "payment_refunded_within_captured",
        ),
        ("UPDATE payment_intent SET refunded_minor = -1", "payment_amounts_not_negative"),
        ("UPDATE payment_intent SET disputed_minor = 10001", "payment_disputed_within_captured"),
        (
            "UPDATE payment_intent SET disputed_minor = 10, lost_minor = 11",
            "payment_disputed_within_captured",
        ),
        (
            "UPDATE payment_intent SET disputed_minor = 5000, refund_pending_minor = 6000",
            "payment_refund_beside_dispute",
        ),
        ("UPDATE payment_intent SET state = 'AUTHORIZED'", "payment_final_state_kept"),
    ] {
        let refused = sqlx::query(change).execute(&bench.database.pool).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().and_then(|error| error.constraint()),
            Some(ceiling),
            "{change}"
        );
    }
}

#[tokio::test]
async fn a_final_state_is_left_for_a_conflict_only() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    let to = async |state: &str| {
        let change = sqlx::query("UPDATE payment_intent SET state = $1").bind(state.to_owned());
        change.execute(&bench.database.pool).await.map_err(|error| {
            error.as_database_error().and_then(|error| error.constraint()).map(ToOwned::to_owned)
        })
    };
    let kept = Err(Some("payment_final_state_kept".to_owned()));
    for state in ["PROCESSING", "PARTIALLY_CAPTURED", "VOIDED", "EXPIRED"] {
        assert_eq!(to(state).await.map(drop), kept, "{state}");
    }
    to("CONFLICTED").await.unwrap();
    let undecided = Err(Some("payment_conflict_decided".to_owned()));
    assert_eq!(to("CAPTURED").await.map(drop), undecided);
}

#[tokio::test]
async fn every_fact_is_in_the_outbox_once_with_the_state_behind_it() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    let refund = Uuid::now_v7();
    bench.payments.refund(id, refund, Some(eur(1_000))).await.unwrap();
    bench.payments.refund(id, refund, Some(eur(1_000))).await.unwrap();
    let rows: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT subject, payload FROM outbox WHERE event_key = $1 ORDER BY position")
            .bind(id.to_string())
            .fetch_all(&bench.database.pool)
            .await
            .unwrap();
    let subjects: Vec<_> = rows.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["payment.authorized", "payment.captured", "payment.refund_pending", "payment.refunded"]
    );
    let states = rows.iter().map(|(_, payload)| match Event::decode(payload.as_slice()).unwrap().fact {
        Some(Fact::PaymentChanged(changed)) => changed.state().as_str_name().to_owned(),
        other => panic!("not a payment's event: {other:?}"),
    });
    assert_eq!(
        states.collect::<Vec<_>>(),
        [
            "PAYMENT_STATE_AUTHORIZED",
            "PAYMENT_STATE_CAPTURED",
            "PAYMENT_STATE_CAPTURED",
            "PAYMENT_STATE_CAPTURED"
        ]
    );
}
