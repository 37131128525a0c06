//! Shipments and how far each line has come. The caller holds the order's row lock.

use sqlx::{PgConnection, PgExecutor};
use stampede_types::OrderId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::orders::out_of_range;
use crate::domain::fulfilment::{MAX_PARTS, Shipment, Units};
use crate::domain::order::Order;

struct ShipmentRow {
    order_id: Uuid,
    shipment_id: Uuid,
    line_numbers: Vec<i32>,
    quantities: Vec<i32>,
    shipped_at: OffsetDateTime,
    delivered_at: Option<OffsetDateTime>,
}

/// The shipments of these orders with the order each belongs to, oldest first.
pub async fn of_orders(
    executor: impl PgExecutor<'_>,
    orders: &[Uuid],
) -> Result<Vec<(Uuid, Shipment)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ShipmentRow,
        "SELECT found.order_id, shipment_id, line_numbers, quantities, shipped_at, delivered_at
         FROM UNNEST($1::uuid[]) AS asked (order_id)
         CROSS JOIN LATERAL (SELECT * FROM shipment WHERE shipment.order_id = asked.order_id LIMIT $2) AS found
         ORDER BY shipped_at, shipment_id",
        orders,
        MAX_PARTS as i64
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ShipmentRow::into_shipment).collect()
}

/// The fingerprint of what was shipped under this id, for whatever order.
pub async fn fingerprint(
    executor: impl PgExecutor<'_>,
    shipment: Uuid,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("SELECT fingerprint FROM shipment WHERE shipment_id = $1", shipment)
        .fetch_optional(executor)
        .await
}

/// Writes a shipment and when it left. `None` when the id was taken meanwhile, for another order.
pub async fn insert(
    conn: &mut PgConnection,
    order: OrderId,
    shipment: Uuid,
    fingerprint: &[u8],
    units: &[Units],
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    let (numbers, quantities) = columns(units)?;
    sqlx::query_scalar!(
        "INSERT INTO shipment (shipment_id, order_id, fingerprint, line_numbers, quantities)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT shipment_once DO NOTHING
         RETURNING shipped_at",
        shipment,
        order.uuid(),
        fingerprint,
        &numbers,
        &quantities
    )
    .fetch_optional(conn)
    .await
}

/// Counts units as shipped; the checks of the table refuse more than was ordered.
pub async fn count_shipped(
    conn: &mut PgConnection,
    order: &Order,
    units: &[Units],
) -> Result<(), sqlx::Error> {
    let (numbers, quantities) = columns(units)?;
    let ordered = |units: &Units| i32::try_from(order.lines[units.line].quantity.get()).map_err(out_of_range);
    let ordered: Vec<i32> = units.iter().map(ordered).collect::<Result<_, _>>()?;
    sqlx::query!(
        "INSERT INTO line_count (order_id, line_no, ordered, shipped)
         SELECT $1, line_no, ordered, quantity
         FROM UNNEST($2::integer[], $3::integer[], $4::integer[]) AS units (line_no, ordered, quantity)
         ON CONFLICT ON CONSTRAINT line_count_once DO UPDATE SET shipped = line_count.shipped + EXCLUDED.shipped",
        order.id.uuid(),
        &numbers,
        &ordered,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes that a shipment has arrived, and when. `None` when it was so before.
pub async fn deliver(conn: &mut PgConnection, shipment: Uuid) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"UPDATE shipment SET delivered_at = now() WHERE shipment_id = $1 AND delivered_at IS NULL
           RETURNING delivered_at AS "delivered_at!""#,
        shipment
    )
    .fetch_optional(conn)
    .await
}

/// Counts units as arrived; the checks of the table refuse more than was shipped.
pub async fn count_delivered(
    conn: &mut PgConnection,
    order: OrderId,
    units: &[Units],
) -> Result<(), sqlx::Error> {
    let (numbers, quantities) = columns(units)?;
    sqlx::query!(
        "UPDATE line_count SET delivered = delivered + units.quantity
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

/// Units as two columns of one length: the line's number, from 1, and how many of it.
pub(crate) fn columns(units: &[Units]) -> Result<(Vec<i32>, Vec<i32>), sqlx::Error> {
    let number = |units: &Units| i32::try_from(units.line + 1).map_err(out_of_range);
    let quantity = |units: &Units| i32::try_from(units.quantity).map_err(out_of_range);
    Ok((
        units.iter().map(number).collect::<Result<_, _>>()?,
        units.iter().map(quantity).collect::<Result<_, _>>()?,
    ))
}

pub(crate) fn units(numbers: &[i32], quantities: &[i32]) -> Result<Vec<Units>, sqlx::Error> {
    let unit = |(number, quantity): (&i32, &i32)| {
        Ok(Units {
            line: usize::try_from(number - 1).map_err(out_of_range)?,
            quantity: u32::try_from(*quantity).map_err(out_of_range)?,
        })
    };
    numbers.iter().zip(quantities).map(unit).collect()
}

impl ShipmentRow {
    fn into_shipment(self) -> Result<(Uuid, Shipment), sqlx::Error> {
        let shipment = Shipment {
            id: self.shipment_id,
            units: units(&self.line_numbers, &self.quantities)?,
            shipped_at: self.shipped_at,
            delivered_at: self.delivered_at,
        };
        Ok((self.order_id, shipment))
    }
}
