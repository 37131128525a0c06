//! The rows that count uses, which several orders may want at once. They are taken in one order everywhere: promotions by id, then
//! buyers by promotion and name, so that nobody waits in a circle. Each is written once a batch, however many orders use it.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, PgExecutor};

use crate::domain::promotion::uses::Left;
use crate::store::orders::out_of_range;

/// Uses that have moved, by the rows that count them.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Uses and minor units by promotion.
    pub promotions: BTreeMap<String, (i64, i64)>,
    /// Uses by (promotion, buyer).
    pub buyers: BTreeMap<(String, String), i64>,
}

/// Takes the rows of promotions and says what is left of each.
pub(super) async fn lock_promotions(
    executor: impl PgExecutor<'_>,
    promotions: Vec<String>,
) -> Result<HashMap<String, Left>, sqlx::Error> {
    if promotions.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT promotion_id, use_limit - uses_taken AS uses, budget_minor - budget_taken AS budget
           FROM promotion WHERE promotion_id = ANY($1) ORDER BY promotion_id FOR NO KEY UPDATE"#,
        &promotions
    )
    .fetch_all(executor)
    .await?;
    let left = |uses, budget| Left { uses, budget };
    Ok(rows.into_iter().map(|row| (row.promotion_id, left(row.uses, row.budget))).collect())
}

/// Takes the rows of buyers, by (promotion, buyer) with the limit, and says how often each has used it. Who has no row yet gets
/// one, so that two first uses meet here too.
pub(super) async fn lock_buyers(
    executor: impl PgExecutor<'_>,
    limits: BTreeMap<(String, String), u32>,
) -> Result<HashMap<(String, String), i64>, sqlx::Error> {
    if limits.is_empty() {
        return Ok(HashMap::new());
    }
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for ((promotion, buyer), limit) in limits {
        rows.0.push(promotion);
        rows.1.push(buyer);
        rows.2.push(i32::try_from(limit).map_err(out_of_range)?);
    }
    let used = sqlx::query!(
        "INSERT INTO promotion_buyer AS buyer (promotion_id, buyer_id, uses, use_limit)
         SELECT promotion_id, buyer_id, 0, use_limit
         FROM UNNEST($1::text[], $2::text[], $3::integer[]) AS asked (promotion_id, buyer_id, use_limit)
         ORDER BY promotion_id, buyer_id
         ON CONFLICT ON CONSTRAINT promotion_buyer_once DO UPDATE SET uses = buyer.uses
         RETURNING promotion_id, buyer_id, uses",
        &rows.0,
        &rows.1,
        &rows.2
    )
    .fetch_all(executor)
    .await?;
    Ok(used.into_iter().map(|row| ((row.promotion_id, row.buyer_id), row.uses.into())).collect())
}

/// Brings the counters to what has moved.
pub(super) async fn count(conn: &mut PgConnection, moved: Moved) -> Result<(), sqlx::Error> {
    if !moved.promotions.is_empty() {
        count_promotions(&mut *conn, moved.promotions).await?;
    }
    if !moved.buyers.is_empty() {
        count_buyers(conn, moved.buyers).await?;
    }
    Ok(())
}

async fn count_promotions(
    executor: impl PgExecutor<'_>,
    moved: BTreeMap<String, (i64, i64)>,
) -> Result<(), sqlx::Error> {
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for (promotion, (uses, amount)) in moved {
        rows.0.push(promotion);
        rows.1.push(uses);
        rows.2.push(amount);
    }
    // A row is written after it was taken, and they are taken by id.
    sqlx::query!(
        "WITH taken AS (
           SELECT promotion_id FROM promotion WHERE promotion_id = ANY($1) ORDER BY promotion_id FOR NO KEY UPDATE
         )
         UPDATE promotion SET uses_taken = uses_taken + moved.uses, budget_taken = budget_taken + moved.amount
         FROM taken JOIN UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS moved (promotion_id, uses, amount)
              ON moved.promotion_id = taken.promotion_id
         WHERE promotion.promotion_id = taken.promotion_id",
        &rows.0,
        &rows.1,
        &rows.2
    )
    .execute(executor)
    .await?;
    Ok(())
}

async fn count_buyers(
    executor: impl PgExecutor<'_>,
    moved: BTreeMap<(String, String), i64>,
) -> Result<(), sqlx::Error> {
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for ((promotion, buyer), uses) in moved {
        rows.0.push(promotion);
        rows.1.push(buyer);
        rows.2.push(i32::try_from(uses).map_err(out_of_range)?);
    }
    sqlx::query!(
        "WITH moved AS (
           SELECT promotion_id, buyer_id, uses
           FROM UNNEST($1::text[], $2::text[], $3::integer[]) AS moved (promotion_id, buyer_id, uses)
         ), taken AS (
           SELECT buyer.promotion_id, buyer.buyer_id FROM promotion_buyer AS buyer
           JOIN moved ON moved.promotion_id = buyer.promotion_id AND moved.buyer_id = buyer.buyer_id
           ORDER BY buyer.promotion_id, buyer.buyer_id FOR NO KEY UPDATE OF buyer
         )
         UPDATE promotion_buyer AS buyer SET uses = buyer.uses + moved.uses
         FROM taken JOIN moved ON moved.promotion_id = taken.promotion_id AND moved.buyer_id = taken.buyer_id
         WHERE buyer.promotion_id = taken.promotion_id AND buyer.buyer_id = taken.buyer_id",
        &rows.0,
        &rows.1,
        &rows.2
    )
    .execute(executor)
    .await?;
    Ok(())
}
