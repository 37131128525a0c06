//! The column `orders.lines`: what was ordered, as JSON that SQL can read too, so that an order is one row. Orders older than the column
//! have their lines in `order_line`, which nothing writes any more.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use stampede_types::{Currency, Money, Pool, Quantity};
use uuid::Uuid;

use super::orders::parsed;
use crate::domain::order::Line;

/// One line as it is stored. The names are the schema: SQL reads them.
#[derive(Serialize)]
struct Written<'a> {
    sku_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    campaign_id: &'a str,
    quantity: u32,
    title: &'a str,
    unit_price_minor: i64,
    discount_minor: i64,
    total_minor: i64,
}

#[derive(Deserialize)]
struct Stored {
    sku_id: String,
    /// Empty for the shelf.
    #[serde(default)]
    campaign_id: String,
    quantity: i32,
    title: String,
    unit_price_minor: i64,
    discount_minor: i64,
    total_minor: i64,
}

/// In the order they were asked for.
pub(super) fn column(lines: &[Line]) -> Result<String, sqlx::Error> {
    let written: Vec<Written<'_>> = lines.iter().map(Written::of).collect();
    serde_json::to_string(&written).map_err(|error| sqlx::Error::Encode(error.into()))
}

pub(super) fn read(column: &str, currency: Currency) -> Result<Vec<Line>, sqlx::Error> {
    let stored: Vec<Stored> =
        serde_json::from_str(column).map_err(|error| sqlx::Error::Decode(error.into()))?;
    stored.into_iter().map(|line| line.into_line(currency)).collect()
}

/// The lines of orders older than the column, with the order each belongs to, in the order they were asked for.
pub(super) async fn of_old_orders(
    executor: impl PgExecutor<'_>,
    orders: &[Uuid],
) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.order_id AS "order_id!", found.lines::text AS "lines!"
           FROM UNNEST($1::uuid[]) AS asked (order_id)
           CROSS JOIN LATERAL (
             SELECT jsonb_agg(jsonb_build_object(
                      'sku_id', sku_id, 'campaign_id', campaign_id, 'quantity', quantity, 'title', title,
                      'unit_price_minor', unit_price_minor, 'discount_minor', discount_minor,
                      'total_minor', total_minor) ORDER BY line_no) AS lines
             FROM order_line WHERE order_line.order_id = asked.order_id) AS found
           WHERE found.lines IS NOT NULL"#,
        orders
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.order_id, row.lines)).collect())
}

impl Written<'_> {
    fn of(line: &Line) -> Written<'_> {
        Written {
            sku_id: line.sku.as_str(),
            campaign_id: line.pool.campaign_id(),
            quantity: line.quantity.get(),
            title: &line.title,
            unit_price_minor: line.unit_price.amount_minor(),
            discount_minor: line.discount.amount_minor(),
            total_minor: line.total.amount_minor(),
        }
    }
}

impl Stored {
    fn into_line(self, currency: Currency) -> Result<Line, sqlx::Error> {
        Ok(Line {
            sku: parsed(&self.sku_id)?,
            pool: Pool::from_campaign_id(&self.campaign_id)
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
            quantity: Quantity::try_from(self.quantity).map_err(|error| sqlx::Error::Decode(error.into()))?,
            title: self.title,
            unit_price: Money::new(self.unit_price_minor, currency),
            discount: Money::new(self.discount_minor, currency),
            total: Money::new(self.total_minor, currency),
        })
    }
}
