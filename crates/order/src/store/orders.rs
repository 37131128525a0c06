//! Orders as they are read and changed. Lines never change, so reading those of old orders in a second statement sees the same ones.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use stampede_types::{Currency, Money, OrderId, PaymentId, ReservationId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{applied, lines, uses};
use crate::domain::order::{EndReason, Order};
use crate::domain::state::FulfilmentState;

/// An order with what must match when its key comes again.
#[derive(Debug, Clone)]
pub struct Stored {
    pub order: Order,
    pub fingerprint: Vec<u8>,
}

pub(super) struct OrderRow {
    pub(super) order_id: Uuid,
    pub(super) buyer_id: String,
    pub(super) state: String,
    pub(super) payment_state: String,
    pub(super) stock_state: String,
    pub(super) fulfilment_state: String,
    pub(super) currency: String,
    pub(super) subtotal_minor: i64,
    pub(super) discount_minor: i64,
    pub(super) shipping_minor: i64,
    pub(super) total_minor: i64,
    pub(super) refunded_minor: i64,
    pub(super) uncaptured_minor: i64,
    pub(super) promotions: Option<Vec<u8>>,
    /// Nothing for an order older than the column.
    pub(super) lines: Option<String>,
    pub(super) payment_id: Option<Uuid>,
    pub(super) payment_attempt: i32,
    pub(super) fingerprint: Vec<u8>,
    pub(super) decline: String,
    pub(super) reservation_id: Uuid,
    pub(super) end_reason: String,
    pub(super) expires_at: OffsetDateTime,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
    pub(super) version: i64,
}

/// The orders with these ids, each once, in no order.
pub async fn by_ids(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Stored>, sqlx::Error> {
    // One lookup an id. `= ANY` lets a plan made while the table was empty scan all of it, for each refusal of a sale.
    let rows = sqlx::query_as!(
        OrderRow,
        "SELECT found.order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency, subtotal_minor,
                discount_minor, shipping_minor, total_minor, refunded_minor, uncaptured_minor, promotions, lines::text, payment_id, payment_attempt, fingerprint,
                decline, reservation_id, end_reason, expires_at, created_at, updated_at, version
         FROM (SELECT DISTINCT UNNEST($1::uuid[])) AS asked (order_id)
         CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.order_id = asked.order_id LIMIT 1) AS found",
        ids
    )
    .fetch_all(&mut *conn)
    .await?;
    with_lines(conn, rows).await
}

/// Of these orders those that have come beyond the version given with them, each once, in no order.
pub async fn newer(conn: &mut PgConnection, known: &[(OrderId, i64)]) -> Result<Vec<Order>, sqlx::Error> {
    let (ids, versions): (Vec<Uuid>, Vec<i64>) =
        known.iter().map(|(id, version)| (id.uuid(), *version)).unzip();
    let rows = sqlx::query_as!(
        OrderRow,
        "SELECT found.order_id, buyer_id, state, payment_state, stock_state, fulfilment_state, currency, subtotal_minor,
                discount_minor, shipping_minor, total_minor, refunded_minor, uncaptured_minor, promotions, lines::text, payment_id, payment_attempt, fingerprint,
                decline, reservation_id, end_reason, expires_at, created_at, updated_at, version
         FROM UNNEST($1::uuid[], $2::bigint[]) AS known (order_id, told)
         CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.order_id = known.order_id LIMIT 1) AS found
         WHERE found.version > known.told",
        &ids,
        &versions
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(with_lines(conn, rows).await?.into_iter().map(|stored| stored.order).collect())
}

pub async fn by_id(conn: &mut PgConnection, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    Ok(by_ids(conn, &[id.uuid()]).await?.pop().map(|stored| stored.order))
}

/// Takes the order's row lock, which every change of an order takes first. Whether its time to pay has passed is told by
/// Postgres's clock.
pub async fn lock(conn: &mut PgConnection, id: OrderId) -> Result<Option<Locked>, sqlx::Error> {
    let Some(late) = lock_row(&mut *conn, id).await? else { return Ok(None) };
    let order = by_id(conn, id).await?;
    Ok(order.map(|order| Locked { order, late }))
}

#[derive(Debug)]
pub struct Locked {
    pub order: Order,
    pub late: bool,
}

async fn lock_row(executor: impl PgExecutor<'_>, id: OrderId) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT expires_at <= now() AS "late!" FROM orders WHERE order_id = $1 FOR UPDATE"#,
        id.uuid()
    )
    .fetch_optional(executor)
    .await
}

/// Writes what a step may change, and one version more; what the order has of promotions goes with its state. False when
/// somebody else changed the order since it was read.
pub async fn change(conn: &mut PgConnection, order: &Order) -> Result<bool, sqlx::Error> {
    let attempt = i32::try_from(order.payment_attempt).map_err(out_of_range)?;
    let open_returns = order.returns.iter().filter(|back| back.state.is_open()).count();
    let open_returns = i32::try_from(open_returns).map_err(out_of_range)?;
    let changed = sqlx::query!(
        "UPDATE orders SET state = $3, payment_state = $4, stock_state = $5, fulfilment_state = $6, payment_id = $7,
                payment_attempt = $8, decline = $9, delivered_at = $10, reservation_id = $11, end_reason = $12,
                open_returns = $13, refunded_minor = $14, uncaptured_minor = $15, updated_at = now(), version = version + 1
         WHERE order_id = $1 AND version = $2",
        order.id.uuid(),
        order.version,
        order.state.as_str(),
        order.payment_state.as_str(),
        order.stock_state.as_str(),
        order.fulfilment_state.as_str(),
        order.payment.map(PaymentId::uuid),
        attempt,
        order.decline,
        order.delivered_at(),
        order.reservation_id.uuid(),
        order.end_reason.map_or("", EndReason::as_str),
        open_returns,
        order.refunded.amount_minor(),
        order.uncaptured.amount_minor()
    )
    .execute(&mut *conn)
    .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    uses::follow(conn, order).await?;
    Ok(true)
}

pub(super) async fn with_lines(
    conn: &mut PgConnection,
    rows: Vec<OrderRow>,
) -> Result<Vec<Stored>, sqlx::Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let old: Vec<Uuid> = rows.iter().filter(|row| row.lines.is_none()).map(|row| row.order_id).collect();
    let mut elsewhere: HashMap<Uuid, String> = if old.is_empty() {
        HashMap::new()
    } else {
        lines::of_old_orders(&mut *conn, &old).await?.into_iter().collect()
    };
    let mut orders = rows
        .into_iter()
        .map(|row| {
            let lines = elsewhere.remove(&row.order_id);
            row.into_stored(lines)
        })
        .collect::<Result<Vec<_>, _>>()?;
    with_parts(conn, &mut orders).await?;
    Ok(orders)
}

/// What has left and what comes back of those orders of which anything has left: the others have nothing to look for.
async fn with_parts(conn: &mut PgConnection, orders: &mut [Stored]) -> Result<(), sqlx::Error> {
    let mut begun: HashMap<Uuid, &mut Order> = orders
        .iter_mut()
        .map(|stored| &mut stored.order)
        .filter(|order| order.fulfilment_state != FulfilmentState::None)
        .map(|order| (order.id.uuid(), order))
        .collect();
    if begun.is_empty() {
        return Ok(());
    }
    let (ids, currencies): (Vec<Uuid>, Vec<String>) =
        begun.iter().map(|(id, order)| (*id, order.total.currency().to_string())).unzip();
    for (order, shipment) in super::fulfilment::of_orders(&mut *conn, &ids).await? {
        if let Some(order) = begun.get_mut(&order) {
            order.shipments.push(shipment);
        }
    }
    for (order, back) in super::returns::of_orders(conn, &ids, &currencies).await? {
        if let Some(order) = begun.get_mut(&order) {
            order.returns.push(back);
        }
    }
    Ok(())
}

impl OrderRow {
    fn into_stored(self, elsewhere: Option<String>) -> Result<Stored, sqlx::Error> {
        let currency: Currency = parsed(&self.currency)?;
        // An order has at least one line.
        let lines = self.lines.or(elsewhere).ok_or(sqlx::Error::RowNotFound)?;
        let lines = lines::read(&lines, currency)?;
        let order = Order {
            id: OrderId::new(self.order_id),
            buyer: parsed(&self.buyer_id)?,
            state: parsed(&self.state)?,
            payment_state: parsed(&self.payment_state)?,
            stock_state: parsed(&self.stock_state)?,
            fulfilment_state: parsed(&self.fulfilment_state)?,
            lines,
            subtotal: Money::new(self.subtotal_minor, currency),
            discount: Money::new(self.discount_minor, currency),
            shipping: Money::new(self.shipping_minor, currency),
            total: Money::new(self.total_minor, currency),
            refunded: Money::new(self.refunded_minor, currency),
            uncaptured: Money::new(self.uncaptured_minor, currency),
            shipments: Vec::new(),
            returns: Vec::new(),
            promotions: applied::read(self.promotions, currency)?,
            payment: self.payment_id.map(PaymentId::new),
            payment_attempt: u32::try_from(self.payment_attempt).map_err(out_of_range)?,
            decline: self.decline,
            reservation_id: ReservationId::new(self.reservation_id),
            end_reason: if self.end_reason.is_empty() { None } else { Some(parsed(&self.end_reason)?) },
            expires_at: self.expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        };
        Ok(Stored { order, fingerprint: self.fingerprint })
    }
}

/// A stored word; one that is not ours means the schema and this program have parted.
pub(super) fn parsed<T>(word: &str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    word.parse().map_err(|error: T::Err| sqlx::Error::Decode(error.into()))
}

pub(super) fn out_of_range(error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
