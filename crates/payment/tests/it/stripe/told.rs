//! What Stripe tells by itself: signed with its own kind of key over the raw bytes, and applied like any provider's word.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_kit::clock::Clock;
use stampede_kit::testing;
use stampede_payment::{Crash, Desk, Error, Keys, MIGRATIONS, Payments, Routes, State, Stripe};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use super::contract::{self, Contract};
use crate::bench::{card, eur, new_id};

const SECRET: &str = "whsec_0123456789abcdefghijklmnopqrstuv";

fn signed(body: &str, secret: &str) -> String {
    let at = Clock::system().now().unix_timestamp().to_string();
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&at).chain_update(b".");
    format!("t={at},v1={},v0=00", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

fn event(kind: &str, object: Value) -> String {
    json!({ "id": format!("evt_{}", Uuid::now_v7()), "object": "event", "api_version": "2024-06-20", "type": kind,
            "created": contract::CREATED, "data": { "object": object } })
    .to_string()
}

async fn receive(payments: &Payments, kind: &str, object: Value) -> Result<(), Error> {
    let body = event(kind, object);
    payments.receive("stripe", body.as_bytes(), &signed(&body, SECRET)).await
}

#[tokio::test]
async fn a_payment_lives_by_what_stripe_tells_alone() {
    let database = testing::database(&MIGRATIONS).await;
    // Nobody answers there: every answer is lost.
    let contract = Contract::of([]).await;
    let stripe = Stripe::new(contract::config(&contract.url)).unwrap();
    let desk = Desk { provider: Arc::new(stripe), keys: Keys::of_texts([SECRET]).unwrap() };
    let providers = stampede_payment::Providers::new(vec![desk], Routes::all_to("stripe"));
    let pool = database.pool.clone();
    let payments = Payments::new(pool, providers, Clock::system(), Duration::from_secs(10), Crash::default());
    let id = new_id();
    let unknown = payments.authorize(card(id, 10_000, "tok_visa")).await.unwrap();
    assert_eq!(unknown.standing().state, State::Unknown);
    let ours = |mut object: Value, name: &str, key: Uuid| {
        object["metadata"] = json!({ "payment": id.to_string(), name: key.to_string() });
        object
    };
    let hold = |status: &str, captured| contract::charged(status, captured);

    let held = ours(hold("requires_capture", 0), "key", unknown.attempts[0].id);
    let body = event("payment_intent.amount_capturable_updated", held.clone());
    let forged = payments.receive("stripe", body.as_bytes(), &signed(&body, &SECRET.replace('0', "1"))).await;
    assert!(matches!(forged, Err(Error::Unsigned(_))));
    receive(&payments, "payment_intent.amount_capturable_updated", held).await.unwrap();
    assert_eq!(payments.get(id).await.unwrap().standing().state, State::Authorized);

    assert!(matches!(payments.capture(id, Uuid::now_v7(), None).await, Err(Error::Unknown)));
    let capture = payments.get(id).await.unwrap().attempts[1].id;
    receive(&payments, "payment_intent.succeeded", ours(hold("succeeded", 10_000), "capture", capture))
        .await
        .unwrap();
    assert_eq!(payments.get(id).await.unwrap().amounts().captured_minor, 10_000);

    let pending = payments.refund(id, Uuid::now_v7(), Some(eur(4_000))).await.unwrap();
    let refund = pending.attempts[2].id;
    receive(&payments, "refund.updated", ours(contract::refund("succeeded", refund), "key", refund))
        .await
        .unwrap();
    receive(&payments, "charge.refunded", hold("succeeded", 10_000)["latest_charge"].clone()).await.unwrap();
    assert_eq!(payments.get(id).await.unwrap().amounts().refunded_minor, 4_000);

    // What somebody does at Stripe's own desk names the hold, not our payment.
    let by_hand = json!({ "id": "re_hand", "amount": 1_000, "currency": "eur", "status": "succeeded",
                          "payment_intent": "pi_1", "metadata": {} });
    receive(&payments, "refund.created", by_hand.clone()).await.unwrap();
    receive(&payments, "refund.updated", by_hand).await.unwrap();
    let dispute = |status: &str| {
        json!({ "id": "dp_1", "amount": 2_000, "currency": "eur", "status": status, "charge": "ch_1",
                "payment_intent": "pi_1" })
    };
    receive(&payments, "charge.dispute.created", dispute("needs_response")).await.unwrap();
    receive(&payments, "charge.dispute.closed", dispute("lost")).await.unwrap();
    let amounts = payments.get(id).await.unwrap().amounts();
    assert_eq!((amounts.refunded_minor, amounts.disputed_minor, amounts.lost_minor), (5_000, 2_000, 2_000));
}

#[tokio::test]
async fn what_is_of_no_concern_is_taken_and_what_is_no_event_is_not() {
    let database = testing::database(&MIGRATIONS).await;
    let stripe = Stripe::new(contract::config("http://127.0.0.1:9")).unwrap();
    let desk = Desk { provider: Arc::new(stripe), keys: Keys::of_texts([SECRET]).unwrap() };
    let providers = stampede_payment::Providers::new(vec![desk], Routes::all_to("stripe"));
    let pool = database.pool.clone();
    let payments = Payments::new(pool, providers, Clock::system(), Duration::from_secs(1), Crash::default());
    receive(&payments, "customer.created", json!({ "id": "cus_1" })).await.unwrap();
    receive(&payments, "payment_intent.canceled", contract::intent("canceled")).await.unwrap();
    let malformed = receive(&payments, "charge.dispute.created", json!({ "id": 7 })).await;
    assert!(matches!(malformed, Err(Error::Invalid { field: "payload", .. })));
    let dispute = json!({ "id": "dp_1", "amount": 1, "currency": "eur", "status": "needs_response",
                          "payment_intent": "pi_unknown" });
    let early = receive(&payments, "charge.dispute.created", dispute).await;
    assert!(matches!(early, Err(Error::UnknownHold)), "it is told of again");
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM webhook").fetch_one(&database.pool).await.unwrap();
    assert_eq!(kept, 0);
}
