//! Promotions as rows: their terms and what has been taken of them. Uses are written in `uses.rs`, and counted here only for who
//! asks how many there are.

use std::sync::Arc;

use prost::Message as _;
use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::applied;
use crate::domain::promotion::{Candidate, Coupon, Promotion};
use crate::wire;

/// A promotion with what has been taken of it, by orders paid or not; nothing where it has neither a limit nor a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    pub terms: Arc<Promotion>,
    pub uses_taken: i64,
    /// Minor units.
    pub budget_taken: i64,
}

/// Uses by orders that are not paid yet, and by those that are: counted up to `COUNTED_AT_MOST` of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    pub reserved: i64,
    pub committed: i64,
}

/// Uses of a kind that are counted for one promotion.
pub const COUNTED_AT_MOST: i64 = 10_000;

/// Where a page of promotions ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub priority: i64,
    pub id: String,
}

struct Row {
    terms: Vec<u8>,
    uses_taken: i64,
    budget_taken: i64,
}

/// Whoever adds a promotion that applies by itself counts them first: one at a time, until the end of the transaction.
pub async fn lock_automatic(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT FROM (SELECT pg_advisory_xact_lock(hashtextextended('promotion_automatic', 0))) AS locked"
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// False when there is a promotion with this id.
pub async fn insert(executor: impl PgExecutor<'_>, terms: &Promotion) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO promotion (promotion_id, priority, coupon, closes_at, terms, per_buyer_limit, use_limit, budget_minor)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT ON CONSTRAINT promotion_once DO NOTHING",
        &*terms.id,
        i64::from(terms.priority),
        terms.conditions.coupon.as_ref().map(Coupon::as_str),
        terms.closes_at,
        wire::promotion::message(terms).encode_to_vec(),
        terms.per_buyer_limit.map(i32::try_from).transpose().map_err(super::orders::out_of_range)?,
        terms.use_limit,
        terms.budget.map(stampede_types::Money::amount_minor)
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn by_id(executor: impl PgExecutor<'_>, id: &str) -> Result<Option<Level>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT terms, uses_taken, budget_taken FROM promotion WHERE promotion_id = $1",
        id
    )
    .fetch_optional(executor)
    .await?;
    row.map(Row::into_level).transpose()
}

/// By priority, then id. The beginning is always given, so that every page is one range of the index.
pub async fn page(
    executor: impl PgExecutor<'_>,
    after: Option<&After>,
    size: i64,
) -> Result<Vec<Level>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT terms, uses_taken, budget_taken FROM promotion WHERE (priority, promotion_id) > ($1, $2)
         ORDER BY priority, promotion_id LIMIT $3",
        after.map_or(i64::MIN, |after| after.priority),
        after.map_or("", |after| after.id.as_str()),
        size
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Row::into_level).collect()
}

/// Those that apply by themselves and have not closed, by priority.
pub async fn automatic(
    executor: impl PgExecutor<'_>,
    at: OffsetDateTime,
    most: i64,
) -> Result<Vec<Level>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT terms, uses_taken, budget_taken FROM promotion WHERE coupon IS NULL AND (closes_at IS NULL OR closes_at > $1)
         ORDER BY priority, promotion_id LIMIT $2",
        at,
        most
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Row::into_level).collect()
}

/// Those that want one of these coupons, at most so many.
pub async fn by_coupons(
    executor: impl PgExecutor<'_>,
    coupons: &[Coupon],
    most: i64,
) -> Result<Vec<Level>, sqlx::Error> {
    let coupons: Vec<String> = coupons.iter().map(|coupon| coupon.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT terms, uses_taken, budget_taken FROM promotion WHERE coupon = ANY($1) ORDER BY priority, promotion_id LIMIT $2",
        &coupons,
        most
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Row::into_level).collect()
}

/// The uses of each of these promotions, in their order.
pub async fn uses(executor: impl PgExecutor<'_>, promotions: &[Level]) -> Result<Vec<Uses>, sqlx::Error> {
    let ids: Vec<String> = promotions.iter().map(|level| level.terms.id.to_string()).collect();
    let rows = sqlx::query!(
        r#"SELECT reserved.uses AS "reserved!", committed.uses AS "committed!"
           FROM UNNEST($1::text[]) WITH ORDINALITY AS asked (promotion_id, place)
           CROSS JOIN LATERAL (SELECT count(*) AS uses FROM (
             SELECT FROM order_promotion used WHERE used.promotion_id = asked.promotion_id AND used.state = 'RESERVED' LIMIT $2) AS first
           ) AS reserved
           CROSS JOIN LATERAL (SELECT count(*) AS uses FROM (
             SELECT FROM order_promotion used WHERE used.promotion_id = asked.promotion_id AND used.state = 'COMMITTED' LIMIT $2) AS first
           ) AS committed
           ORDER BY asked.place"#,
        &ids,
        COUNTED_AT_MOST
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| Uses { reserved: row.reserved, committed: row.committed }).collect())
}

impl Level {
    /// What is left of it for a buyer who has used it so often.
    #[must_use]
    pub fn candidate(&self, used_by_buyer: i64) -> Candidate {
        let of_all = self.terms.use_limit.map(|limit| limit - self.uses_taken);
        let of_buyer = self.terms.per_buyer_limit.map(|limit| i64::from(limit) - used_by_buyer);
        Candidate {
            terms: self.terms.clone(),
            uses_left: [of_all, of_buyer].into_iter().flatten().min(),
            budget_left: self.terms.budget.map(|budget| budget.amount_minor() - self.budget_taken),
        }
    }
}

impl Row {
    fn into_level(self) -> Result<Level, sqlx::Error> {
        Ok(Level {
            terms: Arc::new(applied::terms(&self.terms)?),
            uses_taken: self.uses_taken,
            budget_taken: self.budget_taken,
        })
    }
}
