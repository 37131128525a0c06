//! SKUs.

use std::collections::HashMap;

use sqlx::PgConnection;
use stampede_types::{Money, SkuId};
use time::OffsetDateTime;

use super::broken;

/// Something that can be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sku {
    pub id: SkuId,
    pub title: String,
    pub price: Money,
    /// Units the shelf was opened with.
    pub opened_with: i64,
    pub created_at: OffsetDateTime,
}

/// Something that shall be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSku {
    pub id: SkuId,
    pub title: String,
    pub price: Money,
    /// Units the shelf opens with.
    pub on_hand: i64,
}

struct Row {
    sku_id: String,
    title: String,
    amount_minor: i64,
    currency: String,
    opened_with: i64,
    created_at: OffsetDateTime,
}

impl Row {
    fn parse(self) -> Result<Sku, sqlx::Error> {
        Ok(Sku {
            id: self.sku_id.parse().map_err(broken)?,
            title: self.title,
            price: Money::new(self.amount_minor, self.currency.parse().map_err(broken)?),
            opened_with: self.opened_with,
            created_at: self.created_at,
        })
    }
}

/// Inserts the SKU unless one with its id is there; when it was inserted.
pub async fn insert(
    conn: &mut PgConnection,
    id: &SkuId,
    title: &str,
    price: Money,
    opened_with: i64,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    let currency = price.currency();
    sqlx::query_scalar!(
        "INSERT INTO sku (sku_id, title, amount_minor, currency, opened_with) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (sku_id) DO NOTHING RETURNING created_at",
        id.as_str(),
        title,
        price.amount_minor(),
        currency.as_str(),
        opened_with
    )
    .fetch_optional(conn)
    .await
}

/// The SKUs with these ids, in the order of their ids; unknown ones are left out.
pub async fn read(conn: &mut PgConnection, ids: &[SkuId]) -> Result<Vec<Sku>, sqlx::Error> {
    let ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT sku_id, title, amount_minor, currency, opened_with, created_at FROM sku
         WHERE sku_id = ANY($1) ORDER BY sku_id",
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// So many SKUs after this id.
pub async fn page(conn: &mut PgConnection, after: &str, limit: i64) -> Result<Vec<Sku>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT sku_id, title, amount_minor, currency, opened_with, created_at FROM sku
         WHERE sku_id > $1 ORDER BY sku_id LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// Inserts those whose ids are not there; which were inserted, and when.
pub async fn insert_many(
    conn: &mut PgConnection,
    skus: &[&NewSku],
) -> Result<HashMap<SkuId, OffsetDateTime>, sqlx::Error> {
    let ids: Vec<&str> = skus.iter().map(|sku| sku.id.as_str()).collect();
    let titles: Vec<&str> = skus.iter().map(|sku| sku.title.as_str()).collect();
    let amounts: Vec<i64> = skus.iter().map(|sku| sku.price.amount_minor()).collect();
    let currencies: Vec<String> = skus.iter().map(|sku| sku.price.currency().to_string()).collect();
    let on_hand: Vec<i64> = skus.iter().map(|sku| sku.on_hand).collect();
    let rows = sqlx::query!(
        "INSERT INTO sku (sku_id, title, amount_minor, currency, opened_with)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
         ON CONFLICT (sku_id) DO NOTHING RETURNING sku_id, created_at",
        &ids as &[&str],
        &titles as &[&str],
        &amounts,
        &currencies,
        &on_hand
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|r| Ok((r.sku_id.parse().map_err(broken)?, r.created_at))).collect()
}

/// The SKU, locked until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: &SkuId) -> Result<Option<Sku>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT sku_id, title, amount_minor, currency, opened_with, created_at FROM sku
         WHERE sku_id = $1 FOR NO KEY UPDATE",
        id.as_str()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::parse).transpose()
}

/// Sets title and price; when.
pub async fn update(conn: &mut PgConnection, sku: &Sku) -> Result<OffsetDateTime, sqlx::Error> {
    let currency = sku.price.currency();
    sqlx::query_scalar!(
        r#"UPDATE sku SET title = $2, amount_minor = $3, currency = $4 WHERE sku_id = $1 RETURNING now() AS "now!""#,
        sku.id.as_str(),
        sku.title,
        sku.price.amount_minor(),
        currency.as_str()
    )
    .fetch_one(conn)
    .await
}
