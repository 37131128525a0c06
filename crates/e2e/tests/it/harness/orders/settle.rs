//! After the noise: everything that must come right by itself comes right, and what waits for a person gets one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use stampede_proto::order::v1::{Review, ReviewResolution};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xtask::loadtest::gate::Gate;

use super::model::till::{Basket, PROMOTIONS};
use super::program::{Board, Client};
use super::record::{Answer, Call, cell};
use crate::harness::history::books::Books as Stock;
use crate::harness::history::record::Units;
use crate::harness::stage::Stage;
use crate::harness::{eventually, within};

/// Orders that are looked at at once.
const AT_ONCE: usize = 16;
/// What the gate has put aside for a call that a server's death has ended is found by a lap around the ledger, of which one a minute
/// begins, and believed to be stale ten seconds later.
const MENDED_WITHIN: Duration = Duration::from_secs(150);
/// How often staff look for late money.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What has still to happen by itself, in order's database: each a reason to wait.
const WAITS: [(&str, &str); 6] = [
    (
        "payments that were given up",
        "SELECT count(*) FROM given_up_payment
         WHERE next_at <= now() OR parked_at IS NOT NULL OR giving_back_minor IS NOT NULL",
    ),
    ("sagas on their way", "SELECT count(*) FROM saga WHERE parked_at IS NULL"),
    ("orders on their way", "SELECT count(*) FROM orders WHERE state IN ('AWAITING_PAYMENT', 'CANCELLING')"),
    ("orders to complete", "SELECT count(*) FROM orders WHERE state = 'DELIVERED' AND open_returns = 0"),
    ("events untold", "SELECT count(*) FROM outbox_waiting"),
    (
        "events unheard",
        "SELECT count(*) FROM outbox o WHERE NOT EXISTS (SELECT FROM heard h WHERE h.event_id = o.event_id)",
    ),
];

/// Waits until nothing happens any more, then looks at every order for the last time, and takes every use that is left.
pub async fn settle(stage: &Stage, board: &Arc<Board>, clients: &mut Vec<Client>, seed: u64) {
    let (orders, payments) = (stage.database("order").await, stage.database("payment").await);
    what_came_back_is_heard(board, &orders, &payments).await;
    quiet(stage, board).await;
    // What is asked for now and finds money begins something.
    late_money_is_looked_for(&orders).await;
    quiet(stage, board).await;
    let used = uses_left_are_given(board, &orders, clients.len() as u64, seed).await;
    clients.extend(used);
    quiet(stage, board).await;
    nothing_is_pending(&payments).await;
    gate_equals_ledger(stage).await;
    for some in clients.chunks_mut(AT_ONCE) {
        let known = some.iter_mut().filter(|client| client.order().is_some());
        futures::future::join_all(known.map(|client| client.until_known(Call::Look))).await;
    }
}

async fn quiet(stage: &Stage, board: &Board) {
    let (order, inventory) = (stage.database("order").await, stage.database("inventory").await);
    eventually(async || {
        let reviews = decide(board).await?;
        let mut left = if reviews > 0 { vec![format!("{reviews} reviews")] } else { Vec::new() };
        for (what, sql) in WAITS {
            left.extend(some(&order, what, sql).await);
        }
        left.extend(some(&inventory, "stock events", "SELECT count(*) FROM outbox_waiting").await);
        let holds = "SELECT count(*) FROM reservation WHERE state = 'PENDING'";
        left.extend(some(&inventory, "holds", holds).await);
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

async fn some(db: &PgPool, what: &str, sql: &'static str) -> Option<String> {
    let count: i64 = sqlx::query_scalar(sql).fetch_one(db).await.unwrap();
    (count > 0).then(|| format!("{count} {what}"))
}

/// Staff decide about late money while everything goes on, until they are stopped.
pub async fn clerk(board: Arc<Board>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let reviews = board.counter.reviews().await.unwrap_or_default();
        for review in reviews.iter().filter(|review| !review.payment_id.is_empty()) {
            resolve(&board, review).await;
        }
    }
}

/// Staff decide about whatever waits for them. How many waited.
async fn decide(board: &Board) -> Result<usize, String> {
    let reviews = board.counter.reviews().await.map_err(|status| format!("{status:?}"))?;
    for review in &reviews {
        resolve(board, review).await;
    }
    Ok(reviews.len())
}

/// Done by hand where that may be said, else once more. Late money is given back once more first, but for every other payment.
async fn resolve(board: &Board, review: &Review) {
    let payment: Option<Uuid> = review.payment_id.parse().ok();
    let by_hand = ReviewResolution::StepDone;
    let first = payment.is_some_and(|id| {
        id.as_u128().is_multiple_of(2)
            && !review.decisions.iter().any(|made| made.payment_id == review.payment_id)
    });
    let may_be_done = review.possible().any(|way| way == by_hand);
    let resolution = if may_be_done && !first { by_hand } else { ReviewResolution::Retry };
    let order = review.order.as_ref().and_then(|order| order.order_id.parse().ok());
    board.resolve(order, Call::Resolve { id: Uuid::new_v4(), payment, resolution }).await;
}

/// What the banks sent back is known to payment, and the order service has been told.
async fn what_came_back_is_heard(board: &Board, orders: &PgPool, payments: &PgPool) {
    let sent_back = board.counter.bank.sent_back().await;
    eventually(async || {
        let told: Vec<Uuid> =
            sqlx::query_scalar("SELECT event_id FROM outbox WHERE subject = 'payment.refund_reversed'")
                .fetch_all(payments)
                .await
                .unwrap();
        let heard: i64 =
            sqlx::query_scalar("SELECT count(DISTINCT event_id) FROM inbox WHERE event_id = ANY($1)")
                .bind(&told)
                .fetch_one(orders)
                .await
                .unwrap();
        let all = told.len() == sent_back && usize::try_from(heard).unwrap() == sent_back;
        if all {
            Ok(())
        } else {
            Err(format!("{sent_back} came back, {} were told, {heard} heard", told.len()))
        }
    })
    .await;
}

/// Payments that were given up are looked at now, as they would be in time, each once at least.
async fn late_money_is_looked_for(orders: &PgPool) {
    let watched: Vec<(Uuid, i32)> = sqlx::query_as(
        "UPDATE given_up_payment SET next_at = now() WHERE parked_at IS NULL RETURNING payment_id, asked",
    )
    .fetch_all(orders)
    .await
    .unwrap();
    let (ids, asked): (Vec<Uuid>, Vec<i32>) = watched.into_iter().unzip();
    eventually(async || {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM given_up_payment g JOIN UNNEST($1::uuid[], $2::int[]) AS before (payment_id, asked)
             USING (payment_id) WHERE g.asked <= before.asked AND parked_at IS NULL AND giving_back_minor IS NULL",
        )
        .bind(&ids)
        .bind(&asked)
        .fetch_one(orders)
        .await
        .unwrap();
        if left == 0 { Ok(()) } else { Err(format!("{left} payments that were given up were not looked at")) }
    })
    .await;
}

async fn nothing_is_pending(payments: &PgPool) {
    eventually(async || {
        let open =
            "SELECT count(*) FROM payment_intent WHERE state IN ('PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')
                      OR capture_pending_minor + refund_pending_minor > 0";
        let left = [
            some(payments, "payments unknown", open).await,
            some(payments, "events untold", "SELECT count(*) FROM outbox_waiting").await,
            some(payments, "webhooks", "SELECT count(*) FROM webhook WHERE state = 'PARKED'").await,
        ];
        let left: Vec<String> = left.into_iter().flatten().collect();
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

async fn gate_equals_ledger(stage: &Stage) {
    let url = stage.stack.lock().unwrap().servers().redis_url();
    let ledger = stage.database("inventory").await;
    within(MENDED_WITHIN, async || {
        let mut gate = Gate::connect(&url).await.map_err(|error| error.to_string())?;
        for level in Stock::levels(&ledger).await {
            let pool = if level.cell.campaign.is_empty() { "shelf" } else { &level.cell.campaign };
            let free = gate.free(pool, &level.cell.sku).await.map_err(|error| error.to_string())?;
            // The gate says nothing of what it has not loaded.
            if free.is_some_and(|free| free != level.free) {
                return Err(format!("the gate has {free:?} where the ledger has {level:?}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Every use that the rows leave finds its order, and not one more: what a counter has lost or kept shows here.
async fn uses_left_are_given(board: &Arc<Board>, orders: &PgPool, number: u64, seed: u64) -> Vec<Client> {
    let taken: Vec<(String, i64)> = sqlx::query_as(
        "SELECT promotion_id, count(*) FROM order_promotion WHERE state <> 'RELEASED' GROUP BY promotion_id",
    )
    .fetch_all(orders)
    .await
    .unwrap();
    let taken: BTreeMap<String, i64> = taken.into_iter().collect();
    let mut clients: Vec<Client> = Vec::new();
    for known in PROMOTIONS.iter().filter(|known| known.use_limit.is_some()) {
        let left = known.use_limit.unwrap_or(0) - taken.get(known.id).copied().unwrap_or(0);
        let coupons: Vec<&'static str> = known.coupon.into_iter().collect();
        let basket = Basket { units: Units::from([(cell("mug", ""), 1)]), coupons };
        for at in 0..=left {
            let mut client = Client::new(board.clone(), seed, number + clients.len() as u64);
            let key = Uuid::new_v4();
            let answer = client.until_known(Call::Place { key, basket: basket.clone() }).await;
            match (&answer, at == left) {
                (Answer::Order(_), false) => {}
                (Answer::Refused { reason, .. }, true)
                    if reason == "COUPON_INVALID" || reason == "PROMOTION_USED_UP" =>
                {
                    // It may be had without, by the same key.
                    let basket = Basket { coupons: Vec::new(), ..basket.clone() };
                    let answer = client.until_known(Call::Place { key, basket }).await;
                    assert!(answer.view().is_some(), "the key of what was refused: {answer}");
                }
                (_, _) => {
                    panic!("of {left} uses of {known:?} that are left, number {at} was answered {answer}")
                }
            }
            clients.push(client);
        }
    }
    let placed = clients.iter_mut().filter(|client| client.order().is_some());
    futures::future::join_all(placed.map(|client| client.until_known(Call::Cancel))).await;
    clients
}
