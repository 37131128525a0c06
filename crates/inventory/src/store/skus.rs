//! SKUs.

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
