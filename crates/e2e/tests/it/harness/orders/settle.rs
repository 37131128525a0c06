//! After the noise: everything that must come right by itself comes right, and what waits for a person gets one.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgPool;
use stampede_proto::order::v1::ReviewResolution;
use uuid::Uuid;
use xtask::loadtest::gate::Gate;

use super::model::till::{Basket, PROMOTIONS};
use super::program::{Board, Client};
use super::record::{Answer, Call, cell};
use crate::harness::eventually;
use crate::harness::history::books::Books as Stock;
use crate::harness::history::record::Units;
use crate::harness::stage::Stage;

/// Orders that are looked at at once.
const AT_ONCE: usize = 16;

/// What has still to happen by itself, in order's database: each a reason to wait.
const WAITS: [(&str, &str); 5] = [
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
    quiet(stage, board).await;
    let (orders, payments) = (stage.database("order").await, stage.database("payment").await);
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

/// Staff decide about whatever waits for them: done by hand where that may be said, else once more. How many waited.
async fn decide(board: &Board) -> Result<usize, String> {
    let reviews = board.counter.reviews().await.map_err(|status| format!("{status:?}"))?;
    for review in &reviews {
        let by_hand = ReviewResolution::StepDone;
        let resolution =
            if review.possible().any(|way| way == by_hand) { by_hand } else { ReviewResolution::Retry };
        let order = review.order.as_ref().and_then(|order| order.order_id.parse().ok());
        board.resolve(order, Call::Resolve { id: Uuid::new_v4(), resolution }).await;
    }
    Ok(reviews.len())
}

async fn nothing_is_pending(payments: &PgPool) {
    eventually(async || {
        let open =
            "SELECT count(*) FROM payment_intent WHERE state IN ('PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')
                      OR capture_pending_minor + refund_pending_minor > 0";
        let untold = "SELECT count(*) FROM outbox_waiting";
        let left =
            [some(payments, "payments unknown", open).await, some(payments, "events untold", untold).await];
        let left: Vec<String> = left.into_iter().flatten().collect();
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

async fn gate_equals_ledger(stage: &Stage) {
    let url = stage.stack.lock().unwrap().servers().redis_url();
    let ledger = stage.database("inventory").await;
    eventually(async || {
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
                    if reason == "COUPON_INVALID" || reason == "PROMOTION_USED_UP" => {}
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
