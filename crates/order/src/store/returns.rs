//! Returns and the units of each line that are spoken for by them. The caller holds the order's row lock.

use sqlx::{PgConnection, PgExecutor};
use stampede_types::{Currency, Money, OrderId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::fulfilment::{columns, units};
use super::orders::parsed;
use crate::domain::fulfilment::{MAX_PARTS, Units};
use crate::domain::returns::{Return, Settled};

struct ReturnRow {
    order_id: Uuid,
    currency: String,
    return_id: Uuid,
    state: String,
    line_numbers: Vec<i32>,
    quantities: Vec<i32>,
    reason: String,
    restock: Option<bool>,
    refund_minor: Option<i64>,
    created_at: OffsetDateTime,
}

/// The returns of these orders with the order each belongs to, oldest first.
pub async fn of_orders(
    executor: impl PgExecutor<'_>,
    orders: &[Uuid],
    currencies: &[String],
) -> Result<Vec<(Uuid, Return)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ReturnRow,
        r#"SELECT asked.order_id AS "order_id!", asked.currency AS "currency!", return_id, state, line_numbers, quantities,
                  reason, restock, refund_minor, created_at
           FROM UNNEST($1::uuid[], $2::text[]) AS asked (order_id, currency)
           CROSS JOIN LATERAL (
             SELECT * FROM order_return WHERE order_return.order_id = asked.order_id LIMIT $3) AS found
           ORDER BY created_at, return_id"#,
        orders,
        currencies,
        MAX_PARTS as i64
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ReturnRow::into_return).collect()
}

/// The order a return belongs to.
pub async fn order_of(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<OrderId>, sqlx::Error> {
    let order = sqlx::query_scalar!("SELECT order_id FROM order_return WHERE return_id = $1", id)
        .fetch_optional(executor)
        .await?;
    Ok(order.map(OrderId::new))
}

/// The fingerprint of what was asked for under this id, for whatever order.
pub async fn fingerprint(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("SELECT fingerprint FROM order_return WHERE return_id = $1", id)
        .fetch_optional(executor)
        .await
}

/// Writes a new return and when it was made. `None` when the id was taken meanwhile, for another order.
pub async fn insert(
    conn: &mut PgConnection,
    order: OrderId,
    back: &Return,
    fingerprint: &[u8],
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    let (numbers, quantities) = columns(&back.units)?;
    sqlx::query_scalar!(
        "INSERT INTO order_return (return_id, order_id, fingerprint, state, line_numbers, quantities, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT order_return_once DO NOTHING
         RETURNING created_at",
        back.id,
        order.uuid(),
        fingerprint,
        back.state.as_str(),
        &numbers,
        &quantities,
        back.reason
    )
    .fetch_optional(conn)
    .await
}

/// Writes where a return stands.
pub async fn change(conn: &mut PgConnection, back: &Return) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE order_return SET state = $2, restock = $3, refund_minor = $4, updated_at = now() WHERE return_id = $1",
        back.id,
        back.state.as_str(),
        back.settled.map(|settled| settled.restock),
        back.settled.map(|settled| settled.refund.amount_minor())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts units as spoken for; the checks of the table refuse more than has arrived.
pub async fn count(conn: &mut PgConnection, order: OrderId, units: &[Units]) -> Result<(), sqlx::Error> {
    let (numbers, quantities) = columns(units)?;
    sqlx::query!(
        "UPDATE line_count SET returned = returned + units.quantity
         FROM UNNEST($2::integer[], $3::integer[]) AS units (line_no, quantity)
         WHERE line_count.order_id = $1 AND line_count.line_no = units.line_no",
        order.uuid(),
        &numbers,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The units of a rejected return may be asked for again.
pub async fn uncount(conn: &mut PgConnection, order: OrderId, units: &[Units]) -> Result<(), sqlx::Error> {
    let (numbers, quantities) = columns(units)?;
    sqlx::query!(
        "UPDATE line_count SET returned = returned - units.quantity
         FROM UNNEST($2::integer[], $3::integer[]) AS units (line_no, quantity)
         WHERE line_count.order_id = $1 AND line_count.line_no = units.line_no",
        order.uuid(),
        &numbers,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl ReturnRow {
    fn into_return(self) -> Result<(Uuid, Return), sqlx::Error> {
        let currency: Currency = parsed(&self.currency)?;
        let settled = self
            .restock
            .zip(self.refund_minor)
            .map(|(restock, minor)| Settled { refund: Money::new(minor, currency), restock });
        let back = Return {
            id: self.return_id,
            state: parsed(&self.state)?,
            units: units(&self.line_numbers, &self.quantities)?,
            reason: self.reason,
            settled,
            created_at: self.created_at,
        };
        Ok((self.order_id, back))
    }
}
