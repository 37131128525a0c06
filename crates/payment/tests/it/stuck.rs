//! What waits for a person is listed with what may be done, and every conflict has a way out that is kept with who decided.

use stampede_payment::{Decision, Error, Reason, Resolve, State, Stuck};
use stampede_types::PaymentId;
use uuid::Uuid;

use crate::bench::{Bench, eur, new_id};

/// Who decides in these tests.
const SAM: &str = "sam";

impl Bench {
    /// What waits of this payment.
    async fn waiting(&self, id: PaymentId) -> Vec<Stuck> {
        let page = self.payments.stuck(0, "").await.unwrap();
        page.stuck.into_iter().filter(|stuck| stuck.case.payment == id).collect()
    }

    async fn reasons(&self, id: PaymentId) -> Vec<Reason> {
        self.waiting(id).await.iter().map(|stuck| stuck.case.reason).collect()
    }

    async fn decide(&self, id: PaymentId, reason: Reason, decision: Decision) -> Result<State, Error> {
        let payment = self.payments.resolve_stuck(&command(id, reason, decision), SAM).await?;
        Ok(payment.unwrap().standing().state)
    }

    /// What others were told of it, oldest first.
    async fn subjects(&self, id: PaymentId) -> Vec<String> {
        sqlx::query_scalar("SELECT subject FROM outbox WHERE event_key = $1 ORDER BY position")
            .bind(id.to_string())
            .fetch_all(&self.database.pool)
            .await
            .unwrap()
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.database.pool).await.unwrap();
    }
}

fn command(payment: PaymentId, reason: Reason, decision: Decision) -> Resolve {
    Resolve { id: Uuid::now_v7(), payment, reason, decision, note: "looked it up".into() }
}

/// Captured, and then told of another amount: in conflict, with one claim.
async fn contradicted(bench: &Bench) -> PaymentId {
    let id = new_id();
    bench.authorize(id, 10_000, "tok_visa__capture_webhook_wrong_amount").await.unwrap();
    let _ = bench.payments.capture(id, Uuid::now_v7(), Some(eur(4_000))).await;
    bench.until_state(id, State::Conflicted).await;
    bench.until_webhooks("REFUSED", 1).await;
    id
}

#[tokio::test]
async fn a_conflict_is_listed_once_with_its_claim_and_news_of_it_is_written_with_it() {
    let bench = Bench::told().await;
    let id = contradicted(&bench).await;
    let waiting = bench.waiting(id).await;
    assert_eq!(waiting.len(), 1);
    let stuck = &waiting[0];
    assert_eq!((stuck.case.reason, stuck.claims.len()), (Reason::Conflict, 1));
    assert_eq!(stuck.claims[0].amount_minor, Some(4_001));
    assert_eq!(
        stuck.possible,
        [Decision::AskAgain, Decision::TakeTheirs, Decision::KeepOurs, Decision::CloseByHand]
    );
    assert!(bench.subjects(id).await.contains(&"payment.conflicted".to_owned()));
}

#[tokio::test]
async fn ours_is_kept_by_a_decision_that_says_who_and_why_and_money_moves_again() {
    let bench = Bench::told().await;
    let id = contradicted(&bench).await;
    assert!(matches!(bench.payments.refund(id, Uuid::now_v7(), None).await, Err(Error::Illegal(_))));
    let keep = command(id, Reason::Conflict, Decision::KeepOurs);
    let (one, two) =
        tokio::join!(bench.payments.resolve_stuck(&keep, SAM), bench.payments.resolve_stuck(&keep, SAM));
    for payment in [one.unwrap(), two.unwrap()] {
        assert_eq!(payment.unwrap().standing().state, State::PartiallyCaptured);
    }
    assert_eq!(bench.reasons(id).await, []);
    let made: Vec<(String, String, String)> =
        sqlx::query_as("SELECT decision, actor, note FROM payment_resolution WHERE payment_id = $1")
            .bind(id.uuid())
            .fetch_all(&bench.database.pool)
            .await
            .unwrap();
    assert_eq!(made, [("KEEP_OURS".to_owned(), SAM.to_owned(), "looked it up".to_owned())]);
    let resolved = bench.subjects(id).await.iter().filter(|subject| *subject == "payment.resolved").count();
    assert_eq!(resolved, 1);
    // The same id for something else, and a second decision about nothing.
    let other = Resolve { decision: Decision::CloseByHand, ..keep };
    assert!(matches!(bench.payments.resolve_stuck(&other, SAM).await, Err(Error::ResolutionReused)));
    let again = bench.decide(id, Reason::Conflict, Decision::KeepOurs).await;
    assert!(matches!(again, Err(Error::NotStuck)));
    bench.payments.refund(id, Uuid::now_v7(), Some(eur(1_000))).await.unwrap();
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn theirs_becomes_the_fact_with_its_entries_unless_the_books_cannot_hold_it() {
    let bench = Bench::told().await;
    let id = contradicted(&bench).await;
    let state = bench.decide(id, Reason::Conflict, Decision::TakeTheirs).await.unwrap();
    let payment = bench.payments.get(id).await.unwrap();
    assert_eq!((state, payment.amounts().captured_minor), (State::PartiallyCaptured, 4_001));
    assert_eq!(bench.balance(id, "provider_receivable").await, 4_001);
    assert_eq!(bench.balance(id, "%").await, 0);

    // All that was held is captured: there is no room for more.
    let full = new_id();
    bench.authorize(full, 10_000, "tok_visa__capture_webhook_wrong_amount").await.unwrap();
    let _ = bench.payments.capture(full, Uuid::now_v7(), None).await;
    bench.until_state(full, State::Conflicted).await;
    let refused = bench.decide(full, Reason::Conflict, Decision::TakeTheirs).await;
    assert!(matches!(refused, Err(Error::Impossible(_))), "{refused:?}");
    assert_eq!(bench.payments.get(full).await.unwrap().amounts().captured_minor, 10_000);
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_resolution WHERE payment_id = $1")
        .bind(full.uuid())
        .fetch_one(&bench.database.pool)
        .await
        .unwrap();
    assert_eq!(made, 0, "what is impossible is not decided");
}

#[tokio::test]
async fn the_provider_asked_again_ends_the_conflict_when_it_agrees() {
    let bench = Bench::told().await;
    let id = contradicted(&bench).await;
    // What it says when it is asked is true; only its webhook was wrong.
    let state = bench.decide(id, Reason::Conflict, Decision::AskAgain).await.unwrap();
    assert_eq!(state, State::PartiallyCaptured);
    assert_eq!(bench.reasons(id).await, []);
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn nothing_leads_out_of_a_conflict_but_a_decision_even_by_sql() {
    let bench = Bench::told().await;
    let id = contradicted(&bench).await;
    let by_hand = sqlx::query(
        "UPDATE payment_intent SET state = 'PARTIALLY_CAPTURED', conflict = NULL WHERE payment_id = $1",
    )
    .bind(id.uuid())
    .execute(&bench.database.pool)
    .await;
    let constraint = by_hand.unwrap_err().as_database_error().and_then(|e| e.constraint().map(str::to_owned));
    assert_eq!(constraint.as_deref(), Some("payment_conflict_decided"));
    bench.decide(id, Reason::Conflict, Decision::KeepOurs).await.unwrap();
    let changed = sqlx::query("UPDATE payment_resolution SET actor = 'nobody'").execute(&bench.database.pool);
    assert!(changed.await.is_err(), "a decision never changes");
}

#[tokio::test]
async fn what_is_unknown_for_long_is_a_persons_too_and_is_asked_for_or_closed() {
    let bench = Bench::without_resolver().await;
    let (asked, closed) = (new_id(), new_id());
    for id in [asked, closed] {
        let payment = bench.authorize(id, 10_000, "tok_timeout_after").await.unwrap();
        assert_eq!((payment.standing().state, bench.reasons(id).await), (State::Unknown, vec![]));
    }
    bench.sql("UPDATE payment_attempt SET created_at = now() - interval '11 minutes', next_ask_at = now() + interval '1 hour'").await;
    assert_eq!(bench.reasons(asked).await, [Reason::Unknown]);
    let state = bench.decide(closed, Reason::Unknown, Decision::CloseByHand).await.unwrap();
    assert_eq!((state, bench.reasons(closed).await), (State::Failed, vec![]));
    bench.decide(asked, Reason::Unknown, Decision::AskAgain).await.unwrap();
    assert_eq!(bench.payments.resolve_due().await.unwrap(), 1);
    assert_eq!(bench.payments.get(asked).await.unwrap().standing().state, State::Authorized);
    assert_eq!(bench.reasons(asked).await, []);
}

#[tokio::test]
async fn an_attempt_that_a_person_owns_is_still_asked_about_but_more_seldom() {
    let bench = Bench::without_resolver().await;
    let (young, old) = (new_id(), new_id());
    for id in [young, old] {
        bench.authorize(id, 10_000, "tok_outage_60000").await.unwrap();
    }
    sqlx::query(
        "UPDATE payment_attempt SET next_ask_at = now(),
         created_at = created_at - CASE payment_id WHEN $1 THEN interval '1 hour' ELSE interval '2 minutes' END",
    )
    .bind(old.uuid())
    .execute(&bench.database.pool)
    .await
    .unwrap();
    assert_eq!(bench.payments.resolve_due().await.unwrap(), 2);
    let wait = async |id: PaymentId| -> f64 {
        sqlx::query_scalar(
            "SELECT extract(epoch FROM next_ask_at - now())::float8 FROM payment_attempt WHERE payment_id = $1",
        )
        .bind(id.uuid())
        .fetch_one(&bench.database.pool)
        .await
        .unwrap()
    };
    assert!(wait(young).await <= 60.0);
    let long = wait(old).await;
    assert!((100.0..=300.0).contains(&long), "{long}");
}

#[tokio::test]
async fn a_refused_refund_and_a_lapsed_hold_wait_until_somebody_has_looked() {
    let bench = Bench::told().await;
    let id = bench.captured("tok_visa__refund_declined_closed_account").await;
    let declined = bench.payments.refund(id, Uuid::now_v7(), Some(eur(1_000))).await;
    assert!(matches!(declined, Err(Error::Declined(_))));
    let held = new_id();
    bench.authorize(held, 10_000, "tok_visa").await.unwrap();
    bench.psp.happens(held, "authorization_expired", "x1", 10_000).await;
    bench.until_state(held, State::Expired).await;
    for (id, reason) in [(id, Reason::RefundRefused), (held, Reason::HoldLapsed)] {
        let waiting = bench.waiting(id).await;
        let found: Vec<_> = waiting.iter().map(|stuck| (stuck.case.reason, stuck.possible.clone())).collect();
        assert_eq!(found, [(reason, vec![Decision::KeepOurs])]);
        let wrong = bench.decide(id, reason, Decision::TakeTheirs).await;
        assert!(matches!(wrong, Err(Error::Impossible(_))));
        bench.decide(id, reason, Decision::KeepOurs).await.unwrap();
        assert_eq!(bench.reasons(id).await, []);
    }
}

#[tokio::test]
async fn a_refused_refund_whose_money_went_back_by_another_one_waits_for_nobody() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa__refund_declined_closed_account").await;
    let _ = bench.payments.refund(id, Uuid::now_v7(), None).await;
    assert_eq!(bench.reasons(id).await, [Reason::RefundRefused]);
    bench.desk(id, "refunded_by_hand", "r1", 10_000).await;
    assert_eq!(bench.reasons(id).await, []);
}

#[tokio::test]
async fn pages_follow_each_other_in_the_order_of_waiting_and_an_alien_token_is_refused() {
    let bench = Bench::without_resolver().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = bench.captured("tok_visa__refund_declined_closed_account").await;
        let _ = bench.payments.refund(id, Uuid::now_v7(), None).await;
        ids.push(id);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = bench.payments.stuck(2, &token).await.unwrap();
        assert!(page.stuck.len() <= 2);
        seen.extend(page.stuck.iter().map(|stuck| stuck.case.payment));
        token = page.next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids);
    assert!(matches!(bench.payments.stuck(2, "nonsense").await, Err(Error::PageToken)));
}
