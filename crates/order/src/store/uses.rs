//! Uses of promotions. Whoever holds an order's row moves its uses. A promotion with a limit or a budget counts what is taken in its
//! own row, one with a limit for each buyer in a row of the buyer's; the others touch no row that another order may wait for, and
//! neither does an order that is paid.

mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::domain::order::Order;
use crate::domain::promotion::uses::{Grants, UseState};
use rows::Moved;

/// Takes the rows that count the uses of these orders' promotions and says what may be taken.
pub async fn lock(conn: &mut PgConnection, orders: &[&Order]) -> Result<Grants, sqlx::Error> {
    let applied =
        || orders.iter().flat_map(|order| order.promotions.iter().map(move |one| (*order, &one.terms)));
    let counted: BTreeSet<String> =
        applied().filter(|(_, terms)| terms.is_counted()).map(|(_, terms)| terms.id.to_string()).collect();
    let left = rows::lock_promotions(&mut *conn, Vec::from_iter(counted)).await?;
    let limits: BTreeMap<(String, String), u32> = applied()
        .filter_map(|(order, terms)| {
            Some(((terms.id.to_string(), order.buyer.to_string()), terms.per_buyer_limit?))
        })
        .collect();
    Ok(Grants::new(left, rows::lock_buyers(conn, limits).await?))
}

/// How often this buyer has used each of these promotions; what he never used is absent.
pub async fn of_buyer(
    executor: impl PgExecutor<'_>,
    promotions: &[String],
    buyer: &str,
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT promotion_id, uses FROM promotion_buyer WHERE promotion_id = ANY($1) AND buyer_id = $2",
        promotions,
        buyer
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.promotion_id, row.uses.into())).collect())
}

/// Which of these orders are there already.
pub async fn placed(executor: impl PgExecutor<'_>, orders: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("SELECT order_id FROM orders WHERE order_id = ANY($1)", orders)
        .fetch_all(executor)
        .await
}

/// Takes the uses of new orders, for which `lock` has granted them. The CHECKs refuse whatever was counted wrong.
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
    // The rows are ours already: in which order they are written is irrelevant.
    sqlx::query!(
        "WITH new AS (
           SELECT order_id, promotion_id, buyer_id, amount
           FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bigint[]) AS new (order_id, promotion_id, buyer_id, amount)
         ), counted AS (
           UPDATE promotion SET uses_taken = uses_taken + taken.uses, budget_taken = budget_taken + taken.amount
           FROM (SELECT promotion_id, count(*) AS uses, sum(amount)::bigint AS amount FROM new GROUP BY promotion_id) AS taken
           WHERE promotion.promotion_id = taken.promotion_id AND (use_limit IS NOT NULL OR budget_minor IS NOT NULL)
         ), buyers AS (
           UPDATE promotion_buyer AS buyer SET uses = buyer.uses + taken.uses
           FROM (SELECT promotion_id, buyer_id, count(*)::integer AS uses FROM new GROUP BY promotion_id, buyer_id) AS taken
           WHERE buyer.promotion_id = taken.promotion_id AND buyer.buyer_id = taken.buyer_id
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

/// Brings the uses of an order to where its state says they are. Doing it again changes nothing. The caller holds the order's row
/// lock.
pub async fn follow(conn: &mut PgConnection, order: &Order) -> Result<(), sqlx::Error> {
    if order.promotions.is_empty() {
        return Ok(());
    }
    match UseState::of(order.state) {
        Some(UseState::Committed) => commit(conn, order.id.uuid()).await,
        Some(UseState::Released) => release(conn, &[order.id.uuid()]).await,
        Some(UseState::Reserved) | None => Ok(()),
    }
}

/// What was taken stays taken: no counter moves.
async fn commit(executor: impl PgExecutor<'_>, order: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE order_promotion SET state = $2, changed_at = now() WHERE order_id = $1 AND state = $3",
        order,
        UseState::Committed.as_str(),
        UseState::Reserved.as_str()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Gives back what these orders have taken and still have. The caller holds their row locks.
pub async fn release(conn: &mut PgConnection, orders: &[Uuid]) -> Result<(), sqlx::Error> {
    let from = UseState::Released.from();
    let moved = change(&mut *conn, orders, from, UseState::Released, -1).await?;
    rows::count(conn, moved).await
}

/// Takes the uses again that an order gave back when it ended, because late money revives it. False when somebody else has them:
/// then nothing was taken. The caller holds the order's row lock.
pub async fn retake(conn: &mut PgConnection, order: &Order) -> Result<bool, sqlx::Error> {
    if order.promotions.is_empty() {
        return Ok(true);
    }
    if lock(&mut *conn, &[order]).await?.take(order).is_err() {
        return Ok(false);
    }
    let moved = change(&mut *conn, &[order.id.uuid()], &[UseState::Released], UseState::Reserved, 1).await?;
    rows::count(conn, moved).await?;
    Ok(true)
}

/// Moves the uses that are in one of these states, each counting as so many from now on.
async fn change(
    executor: impl PgExecutor<'_>,
    orders: &[Uuid],
    from: &[UseState],
    to: UseState,
    each: i64,
) -> Result<Moved, sqlx::Error> {
    let from: Vec<String> = from.iter().map(|state| state.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"UPDATE order_promotion AS used SET state = $3, changed_at = now()
           FROM UNNEST($1::uuid[]) AS asked (order_id), promotion
           WHERE used.order_id = asked.order_id AND used.state = ANY($2) AND promotion.promotion_id = used.promotion_id
           RETURNING used.promotion_id, used.buyer_id, used.amount_minor,
                     (use_limit IS NOT NULL OR budget_minor IS NOT NULL) AS "counted!", per_buyer_limit"#,
        orders,
        &from,
        to.as_str()
    )
    .fetch_all(executor)
    .await?;
    let mut moved = Moved::default();
    for row in rows {
        if row.counted {
            let (uses, amount) = moved.promotions.entry(row.promotion_id.clone()).or_default();
            *uses += each;
            *amount += each * row.amount_minor;
        }
        if row.per_buyer_limit.is_some() {
            *moved.buyers.entry((row.promotion_id, row.buyer_id)).or_default() += each;
        }
    }
    Ok(moved)
}
