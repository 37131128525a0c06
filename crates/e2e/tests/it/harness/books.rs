//! What is true of a shop when a story has ended: stock conserved, money conserved, nothing stuck, everything told.

use serde_json::Value;
use sqlx::PgPool;

use super::shop::{Shop, eventually};

/// Money as the provider sees it, over all payments, in minor units.
#[derive(Debug, PartialEq, Eq)]
pub struct Money {
    pub captured: i64,
    pub refunded: i64,
    /// Authorised and neither captured nor voided: a buyer's money held for nothing.
    pub dangling: i64,
}

impl Shop {
    /// Units of the shelf and the campaign together, as (held, committed), from the ledger.
    pub async fn units_gone(&self) -> (i64, i64) {
        let (held, committed): (i64, i64) =
            sqlx::query_as("SELECT sum(held)::bigint, sum(committed)::bigint FROM stock")
                .fetch_one(&self.database("inventory").await)
                .await
                .unwrap();
        (held, committed)
    }

    /// Money by the provider's own account, not by ours.
    pub async fn money_at_provider(&self) -> Money {
        let url = format!("http://{}/v1/truth", self.stack.address("psp-simulator").unwrap());
        let truth: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        // Before the first payment there is no currency to speak of.
        let total = |key: &str| truth["by_currency"]["EUR"][key].as_i64().unwrap_or(0);
        assert!(truth["payments"].is_u64(), "the provider's truth has another shape: {truth}");
        Money {
            captured: total("captured_minor"),
            refunded: total("refunded_minor"),
            dangling: total("authorized_minor") - total("captured_minor") - total("voided_minor"),
        }
    }

    /// Waits until units sold, money kept, ledgers and outboxes all say the same.
    pub async fn settles(&self, held: i64, committed: i64, kept_minor: i64) {
        eventually(async || {
            let units = self.units_gone().await;
            let money = self.money_at_provider().await;
            let backlog = self.untold().await;
            let fits = units == (held, committed)
                && money.captured - money.refunded == kept_minor
                && money.dangling == 0
                && backlog == 0;
            let said = format!("units {units:?}, want ({held}, {committed}); {money:?}, want {kept_minor} kept; {backlog} events untold");
            if fits { Ok(()) } else { Err(said) }
        })
        .await;
        are_whole(
            &self.database("order").await,
            &self.database("inventory").await,
            &self.database("payment").await,
        )
        .await;
    }

    async fn untold(&self) -> i64 {
        let mut backlog = 0;
        for service in ["order", "inventory", "payment"] {
            let (waiting,): (i64,) = sqlx::query_as("SELECT count(*) FROM outbox_waiting")
                .fetch_one(&self.database(service).await)
                .await
                .unwrap();
            backlog += waiting;
        }
        backlog
    }
}

/// The books of every service, each against itself: what a story ends with, and a history.
pub async fn are_whole(orders: &PgPool, inventory: &PgPool, payments: &PgPool) {
    levels_follow_from_movements(inventory).await;
    money_is_booked(payments).await;
    uses_follow_their_orders(orders).await;
}

async fn levels_follow_from_movements(inventory: &PgPool) {
    let wrong: Vec<(String, String)> = sqlx::query_as(
        "SELECT s.sku_id, s.pool FROM stock s LEFT JOIN movement m USING (sku_id, pool)
             GROUP BY s.sku_id, s.pool, s.on_hand, s.held, s.committed
             HAVING (s.on_hand, s.held, s.committed) IS DISTINCT FROM
                    (coalesce(sum(m.on_hand_delta), 0)::bigint, coalesce(sum(m.held_delta), 0)::bigint,
                     coalesce(sum(m.committed_delta), 0)::bigint)",
    )
    .fetch_all(inventory)
    .await
    .unwrap();
    assert_eq!(wrong, [], "levels that do not follow from their movements");
}

async fn money_is_booked(payments: &PgPool) {
    let mut payments = payments.acquire().await.unwrap();
    let found = xtask::books::check::differences(&mut payments).await.unwrap();
    assert_eq!(found, [], "the books of the payment service");
}

/// Every use of a promotion stands where its order stands, and every counter is the sum of its uses.
async fn uses_follow_their_orders(orders: &PgPool) {
    let (astray,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM order_promotion u JOIN orders o USING (order_id)
             WHERE u.state <> CASE
               WHEN o.state IN ('CONFIRMED', 'FULFILLING', 'SHIPPED', 'DELIVERED', 'COMPLETED') THEN 'COMMITTED'
               WHEN o.state IN ('EXPIRED', 'CANCELLED', 'REJECTED') THEN 'RELEASED' ELSE u.state END",
        )
        .fetch_one(orders)
        .await
        .unwrap();
    assert_eq!(astray, 0, "uses that are not where their orders are");
    let (wrong,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM promotion p WHERE
               (use_limit IS NOT NULL OR budget_minor IS NOT NULL) AND (uses_taken, budget_taken) <>
               (SELECT count(*), coalesce(sum(amount_minor), 0)::bigint
                FROM order_promotion u WHERE u.promotion_id = p.promotion_id AND u.state <> 'RELEASED')",
    )
    .fetch_one(orders)
    .await
    .unwrap();
    assert_eq!(wrong, 0, "promotions whose counters are not the sums of their uses");
}
