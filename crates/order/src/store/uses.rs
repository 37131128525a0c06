//! Uses of promotions. Every writer takes the rows of the promotions first, in the order of their ids, so that no two wait for
//! each other in a circle; each promotion's row is written once a statement, however many orders use it.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::domain::order::Order;
use crate::domain::promotion::uses::{Grants, Left, UseState};

/// Takes the promotions' row locks and says what is left of each.
pub async fn lock(
    executor: impl PgExecutor<'_>,
    promotions: &[String],
) -> Result<HashMap<String, Left>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT promotion_id, use_limit - uses_reserved - uses_committed AS uses,
                  budget_minor - budget_reserved - budget_committed AS budget, per_buyer_limit
           FROM promotion WHERE promotion_id = ANY($1) ORDER BY promotion_id FOR NO KEY UPDATE"#,
        promotions
    )
    .fetch_all(executor)
    .await?;
    let left = |uses, budget, per_buyer| Left { uses, budget, per_buyer };
    Ok(rows
        .into_iter()
        .map(|row| (row.promotion_id, left(row.uses, row.budget, row.per_buyer_limit)))
        .collect())
}

/// How often each of these buyers has used each of these promotions, by (promotion, buyer); who never did is absent.
pub async fn of_buyers(
    executor: impl PgExecutor<'_>,
    promotions: &[String],
    buyers: &[String],
) -> Result<HashMap<(String, String), i64>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT promotion_id, buyer_id, uses FROM promotion_buyer
         WHERE promotion_id = ANY($1) AND buyer_id = ANY($2)",
        promotions,
        buyers
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.promotion_id, row.buyer_id), row.uses.into())).collect())
}

/// Which of these orders are there already.
pub async fn placed(executor: impl PgExecutor<'_>, orders: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("SELECT order_id FROM orders WHERE order_id = ANY($1)", orders)
        .fetch_all(executor)
        .await
}

/// Takes the uses of new orders, whose promotions' rows are ours. The CHECKs refuse whatever was counted wrong.
pub async fn reserve(conn: &mut PgConnection, orders: &[&Order]) -> Result<(), sqlx::Error> {
    let (mut ids, mut promotions, mut buyers, mut amounts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for order in orders {
        for applied in &order.promotions {
            ids.push(order.id.uuid());
            promotions.push(applied.terms.id.to_string());
            buyers.push(order.buyer.to_string());
            amounts.push(applied.discount.amount_minor());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "WITH new AS (
           SELECT order_id, promotion_id, buyer_id, amount
           FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bigint[]) AS new (order_id, promotion_id, buyer_id, amount)
         ), counted AS (
           UPDATE promotion SET uses_reserved = uses_reserved + taken.uses, budget_reserved = budget_reserved + taken.amount
           FROM (SELECT promotion_id, count(*) AS uses, sum(amount)::bigint AS amount FROM new GROUP BY promotion_id) AS taken
           WHERE promotion.promotion_id = taken.promotion_id
         ), buyers AS (
           INSERT INTO promotion_buyer (promotion_id, buyer_id, uses, use_limit)
           SELECT new.promotion_id, new.buyer_id, count(*)::integer, promotion.per_buyer_limit
           FROM new JOIN promotion ON promotion.promotion_id = new.promotion_id
           WHERE promotion.per_buyer_limit IS NOT NULL
           GROUP BY new.promotion_id, new.buyer_id, promotion.per_buyer_limit
           ON CONFLICT ON CONSTRAINT promotion_buyer_once DO UPDATE SET uses = promotion_buyer.uses + EXCLUDED.uses
         )
         INSERT INTO order_promotion (order_id, promotion_id, buyer_id, amount_minor, state)
         SELECT order_id, promotion_id, buyer_id, amount, $5 FROM new",
        &ids,
        &promotions,
        &buyers,
        &amounts,
        UseState::Reserved.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Brings the uses of an order to where its state says they are. Doing it again changes nothing.
pub async fn follow(conn: &mut PgConnection, order: &Order) -> Result<(), sqlx::Error> {
    let to = match UseState::of(order.state) {
        Some(to) if !order.promotions.is_empty() => to,
        Some(_) | None => return Ok(()),
    };
    if order.promotions.len() > 1 {
        lock(&mut *conn, &promotions_of(order)).await?;
    }
    change(conn, order, to.from(), to).await
}

/// Takes the uses again that an order gave back when it ended, because late money revives it. False when somebody else has them:
/// then nothing was taken. The caller holds the order's row lock.
pub async fn retake(conn: &mut PgConnection, order: &Order) -> Result<bool, sqlx::Error> {
    if order.promotions.is_empty() {
        return Ok(true);
    }
    let ids = promotions_of(order);
    let left = lock(&mut *conn, &ids).await?;
    let used = of_buyers(&mut *conn, &ids, &[order.buyer.to_string()]).await?;
    if Grants::new(left, used).take(order).is_err() {
        return Ok(false);
    }
    change(conn, order, &[UseState::Released], UseState::Reserved).await?;
    Ok(true)
}

/// Moves the uses that are in one of these states, and every counter with them.
async fn change(
    conn: &mut PgConnection,
    order: &Order,
    from: &[UseState],
    to: UseState,
) -> Result<(), sqlx::Error> {
    let from: Vec<String> = from.iter().map(|state| state.as_str().to_owned()).collect();
    sqlx::query!(
        "WITH old AS (
           SELECT order_id, promotion_id, buyer_id, amount_minor,
                  ($3 = 'RESERVED')::integer - (state = 'RESERVED')::integer AS reserved,
                  ($3 = 'COMMITTED')::integer - (state = 'COMMITTED')::integer AS committed
           FROM order_promotion WHERE order_id = $1 AND state = ANY($2) FOR UPDATE
         ), moved AS (
           UPDATE order_promotion AS row SET state = $3, changed_at = now() FROM old
           WHERE row.order_id = old.order_id AND row.promotion_id = old.promotion_id
         ), counted AS (
           UPDATE promotion SET uses_reserved = uses_reserved + old.reserved, uses_committed = uses_committed + old.committed,
                  budget_reserved = budget_reserved + old.reserved * old.amount_minor,
                  budget_committed = budget_committed + old.committed * old.amount_minor
           FROM old WHERE promotion.promotion_id = old.promotion_id
         )
         UPDATE promotion_buyer AS buyer SET uses = uses + old.reserved + old.committed
         FROM old WHERE buyer.promotion_id = old.promotion_id AND buyer.buyer_id = old.buyer_id
           AND old.reserved + old.committed <> 0",
        order.id.uuid(),
        &from,
        to.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn promotions_of(order: &Order) -> Vec<String> {
    order.promotions.iter().map(|applied| applied.terms.id.to_string()).collect()
}
