//! The intent's row: what was agreed, and what is derived from events and attempts.

use sqlx::PgConnection;
use stampede_types::{Money, OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::{CaptureMode, Method, Payment, Terms, Token};

struct Row {
    payment_id: Uuid,
    order_id: Option<Uuid>,
    currency: Option<String>,
    amount_minor: Option<i64>,
    method_kind: Option<String>,
    method_token: Option<String>,
    capture_mode: String,
    void_requested: bool,
    conflict: Option<String>,
    decline: Option<String>,
    fallbacks: Vec<String>,
    created_at: OffsetDateTime,
}

/// Writes a new payment's intent; false when its id is taken. Waits for whoever is inserting the same id.
///
/// # Errors
/// The database's.
pub async fn insert(conn: &mut PgConnection, payment: &Payment) -> Result<bool, sqlx::Error> {
    let terms = payment.terms.as_ref();
    let inserted = sqlx::query!(
        "INSERT INTO payment_intent (payment_id, order_id, currency, amount_minor, method_kind, method_token, fingerprint,
                                     capture_mode, state, void_requested, fallbacks, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
         ON CONFLICT ON CONSTRAINT payment_intent_once DO NOTHING",
        payment.id.uuid(),
        terms.map(|terms| terms.order.uuid()),
        terms.map(|terms| terms.amount.currency().to_string()),
        terms.map(|terms| terms.amount.amount_minor()),
        terms.map(|terms| terms.method.kind.as_str()),
        terms.map(|terms| terms.method.token.expose()),
        terms.map(|terms| terms.fingerprint().to_vec()),
        terms.map_or(CaptureMode::Manual, |terms| terms.capture).as_str(),
        payment.standing().state.as_str(),
        payment.void_requested,
        &payment.fallbacks,
        payment.created_at,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes what is derived. The ceilings are the database's: it refuses what no rule should have let through.
///
/// # Errors
/// A ceiling's constraint, or the database's.
pub async fn save(conn: &mut PgConnection, payment: &Payment, at: OffsetDateTime) -> Result<(), sqlx::Error> {
    save_decided(conn, payment, None, at).await
}

/// The same, by a decision that was written in this transaction: only that leads out of a conflict.
///
/// # Errors
/// A ceiling's constraint, or the database's.
pub async fn save_decided(
    conn: &mut PgConnection,
    payment: &Payment,
    resolution: Option<Uuid>,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let standing = payment.standing();
    // What a provider left behind holds is a fact too: the row has the sums of all of them, the state is that of what counts.
    let (amounts, pending) = (payment.totals(), standing.pending);
    sqlx::query!(
        "UPDATE payment_intent
         SET state = $2, void_requested = $3, conflict = $4, decline = $5, authorized_minor = $6,
             capture_pending_minor = $7, captured_minor = $8, voided_minor = $9, refund_pending_minor = $10,
             refunded_minor = $11, disputed_minor = $12, lost_minor = $13, version = version + 1, updated_at = $14,
             resolution_id = coalesce($15, resolution_id)
         WHERE payment_id = $1",
        payment.id.uuid(),
        standing.state.as_str(),
        payment.void_requested,
        payment.conflict,
        payment.decline,
        amounts.authorized_minor,
        pending.capture_minor,
        amounts.captured_minor,
        amounts.voided_minor,
        pending.refund_minor,
        amounts.refunded_minor,
        amounts.disputed_minor,
        amounts.lost_minor,
        at,
        resolution,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The intent alone, locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(conn: &mut PgConnection, id: PaymentId) -> Result<Option<Payment>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT payment_id, order_id, currency, amount_minor, method_kind, method_token, capture_mode, void_requested,
                conflict, decline, fallbacks, created_at
         FROM payment_intent WHERE payment_id = $1 FOR UPDATE",
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(Payment::try_from).transpose()
}

/// The intent alone.
///
/// # Errors
/// The database's.
pub async fn read(conn: &mut PgConnection, id: PaymentId) -> Result<Option<Payment>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT payment_id, order_id, currency, amount_minor, method_kind, method_token, capture_mode, void_requested,
                conflict, decline, fallbacks, created_at
         FROM payment_intent WHERE payment_id = $1",
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(Payment::try_from).transpose()
}

impl TryFrom<Row> for Payment {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let capture = row.capture_mode.parse().map_err(unknown)?;
        let terms = match (row.order_id, row.currency, row.amount_minor, row.method_kind, row.method_token) {
            (Some(order), Some(currency), Some(amount), Some(kind), Some(token)) => Some(Terms {
                order: OrderId::new(order),
                amount: Money::new(amount, currency.parse().map_err(unknown)?),
                method: Method { kind: kind.parse().map_err(unknown)?, token: Token::new(token) },
                capture,
            }),
            // The constraint `payment_intent_terms` allows all or none.
            (_, _, _, _, _) => None,
        };
        Ok(Self {
            id: PaymentId::new(row.payment_id),
            terms,
            void_requested: row.void_requested,
            conflict: row.conflict,
            decline: row.decline,
            fallbacks: row.fallbacks,
            attempts: Vec::new(),
            events: Vec::new(),
            created_at: row.created_at,
        })
    }
}
