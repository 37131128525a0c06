//! Webhooks at the edges: before a capture, about nothing, unreadable, and what of them is written down.

use stampede_payment::{Decision, Error, Reason, Resolve, State};
use uuid::Uuid;

use crate::bench::{Bench, new_id};
use crate::webhook::message;

impl Bench {
    async fn text(&self, question: &'static str) -> Vec<String> {
        sqlx::query_scalar(question).fetch_all(&self.database.pool).await.unwrap()
    }

    /// Hears parked webhooks until none is left.
    async fn until_none_is_parked(&self) {
        while self.webhooks("PARKED").await > 0 {
            self.payments.hear_due().await.unwrap();
        }
    }
}

#[tokio::test]
async fn edge_case_10_a_refund_that_is_told_of_before_its_capture_waits_for_it() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    bench.desk(id, "refunded_by_hand", "r1", 500).await;
    assert_eq!(bench.webhooks("PARKED").await, 1);
    assert_eq!(bench.payments.get(id).await.unwrap().amounts().refunded_minor, 0);
    bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
    bench.until_none_is_parked().await;
    assert_eq!(bench.payments.get(id).await.unwrap().amounts().refunded_minor, 500);
}

#[tokio::test]
async fn what_was_applied_is_one_row_written_once_and_nothing_of_its_body_is_kept() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    bench.desk(id, "refunded_by_hand", "r1", 500).await;
    let row = bench.text("SELECT ctid::text || octet_length(payload) FROM webhook").await;
    assert_eq!(row, ["(0,1)0"], "a second version of the row is a second write under the payment's lock");
}

#[tokio::test]
async fn of_a_parked_webhook_no_card_number_is_kept_and_none_is_a_name() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    let card = "4111111111111111";
    let body =
        message(id, "e1", "dispute_opened", "d1", 700).replacen('{', &format!("{{\"card\":{card},"), 1);
    bench.receive(&body).await.unwrap();
    let kept = bench.text("SELECT convert_from(payload, 'UTF8') FROM webhook").await;
    assert!(!kept[0].contains(card) && kept[0].contains("d1"), "{kept:?}");
    let named = bench.receive(&message(id, "e2", "dispute_opened", card, 700)).await;
    assert!(matches!(named, Err(Error::Invalid { field: "payload", .. })), "{named:?}");
    // What was kept is heard as it was told.
    bench.authorize(id, 10_000, "tok_visa").await.unwrap();
    bench.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
    bench.until_none_is_parked().await;
    assert_eq!(bench.payments.get(id).await.unwrap().amounts().disputed_minor, 700);
}

#[tokio::test]
async fn what_this_program_cannot_read_waits_with_growing_pauses_and_is_a_persons_in_the_end() {
    let bench = Bench::without_resolver().await;
    let (young, old) = (new_id(), new_id());
    for (event, id, days) in [("e1", young, 0), ("e2", old, 4)] {
        sqlx::query(
            "INSERT INTO webhook (provider, event_id, payment_id, payload, state, received_at)
             VALUES ('simulator', $1, $2, 'gossip', 'PARKED', now() - make_interval(days => $3))",
        )
        .bind(event)
        .bind(id.uuid())
        .bind(days)
        .execute(&bench.database.pool)
        .await
        .unwrap();
    }
    assert_eq!(bench.payments.hear_due().await.unwrap(), 2);
    let states = bench.text("SELECT state FROM webhook ORDER BY event_id").await;
    assert_eq!(states, ["PARKED", "REFUSED"]);
    let page = bench.payments.stuck(0, "").await.unwrap();
    let waiting: Vec<_> = page.stuck.iter().map(|stuck| (stuck.case.payment, stuck.case.reason)).collect();
    assert_eq!(waiting, [(old, Reason::WebhookRefused)]);
}

#[tokio::test]
async fn what_is_told_of_a_payment_that_nobody_asked_for_is_a_conflict_with_a_way_out() {
    let bench = Bench::without_resolver().await;
    let id = new_id();
    bench.payments.void(id).await.unwrap();
    bench.desk(id, "dispute_opened", "d1", 700).await;
    assert_eq!(bench.payments.get(id).await.unwrap().standing().state, State::Conflicted);
    let page = bench.payments.stuck(0, "").await.unwrap();
    assert_eq!(page.stuck[0].possible, [Decision::KeepOurs, Decision::CloseByHand]);
    let keep = Resolve {
        id: Uuid::now_v7(),
        payment: id,
        reason: Reason::Conflict,
        decision: Decision::KeepOurs,
        note: "another shop's".into(),
    };
    let payment = bench.payments.resolve_stuck(&keep, "sam").await.unwrap().unwrap();
    assert_eq!(payment.standing().state, State::Voided);
}

#[tokio::test]
async fn a_void_that_is_refused_by_webhook_and_by_its_answer_is_one_contradiction() {
    let bench = Bench::told().await;
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa__void_declined_not_now__void_webhook_early").await.unwrap();
    let _ = bench.payments.void(id).await;
    bench.until_state(id, State::Conflicted).await;
    assert_eq!(bench.conflicts(id).await.len(), 1);
    bench.payments.resolve_due().await.unwrap();
    assert_eq!(bench.conflicts(id).await.len(), 1);
}
