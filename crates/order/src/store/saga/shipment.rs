//! The shipment whose money is being taken, beside its saga's row and gone with it.

use sqlx::{PgConnection, PgExecutor};
use stampede_types::OrderId;
use uuid::Uuid;

use crate::domain::fulfilment::Units;
use crate::store::fulfilment::{columns, units};
use crate::store::orders::out_of_range;

/// What is about to leave, and what is taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueShipment {
    pub shipment: Uuid,
    pub fingerprint: Vec<u8>,
    pub units: Vec<Units>,
    /// Above 0, in the order's currency.
    pub amount_minor: i64,
    /// Captures that the provider refused.
    pub refused: u32,
    /// The class of the last refusal; empty for none.
    pub decline: String,
}

struct DueRow {
    shipment_id: Uuid,
    fingerprint: Vec<u8>,
    line_numbers: Vec<i32>,
    quantities: Vec<i32>,
    amount_minor: i64,
    refused: i32,
    decline: String,
}

/// Writes what is about to leave. The caller has just begun the saga.
pub async fn insert_due_shipment(
    conn: &mut PgConnection,
    order: OrderId,
    due: &DueShipment,
) -> Result<(), sqlx::Error> {
    let (numbers, quantities) = columns(&due.units)?;
    sqlx::query!(
        "INSERT INTO saga_shipment (order_id, shipment_id, fingerprint, line_numbers, quantities, amount_minor)
         VALUES ($1, $2, $3, $4, $5, $6)",
        order.uuid(),
        due.shipment,
        due.fingerprint,
        &numbers,
        &quantities,
        due.amount_minor
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What of this order is about to leave.
pub async fn due_shipment(
    executor: impl PgExecutor<'_>,
    order: OrderId,
) -> Result<Option<DueShipment>, sqlx::Error> {
    let row = sqlx::query_as!(
        DueRow,
        "SELECT shipment_id, fingerprint, line_numbers, quantities, amount_minor, refused, decline FROM saga_shipment
         WHERE order_id = $1",
        order.uuid()
    )
    .fetch_optional(executor)
    .await?;
    row.map(DueRow::into_due).transpose()
}

/// The provider has refused: the next capture is asked for under another id. The caller holds the saga's claim.
pub async fn shipment_refused(
    conn: &mut PgConnection,
    order: OrderId,
    decline: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE saga_shipment SET refused = refused + 1, decline = $2 WHERE order_id = $1",
        order.uuid(),
        decline
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl DueRow {
    fn into_due(self) -> Result<DueShipment, sqlx::Error> {
        Ok(DueShipment {
            shipment: self.shipment_id,
            fingerprint: self.fingerprint,
            units: units(&self.line_numbers, &self.quantities)?,
            amount_minor: self.amount_minor,
            refused: u32::try_from(self.refused).map_err(out_of_range)?,
            decline: self.decline,
        })
    }
}
