//! The intent's row: what was agreed, and what is derived from events and attempts.

use sqlx::PgConnection;
use sqlx::types::Json;
use stampede_types::{Money, OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::tenders::{TenderRow, rows};
use super::unknown;
use crate::domain::{CaptureMode, Method, Part, Payment, Terms, Token};

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
    tenders: Option<Json<Vec<TenderRow>>>,
    part_of: Option<Uuid>,
    place: Option<i32>,
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
                                     capture_mode, state, void_requested, fallbacks, tenders, part_of, place, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $14, $15, $12, $12)
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
        terms.and_then(rows) as _,
        payment.part_of.map(|part| part.whole.uuid()),
        payment.part_of.map(|part| place(part.place)).transpose()?,
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

/// Writes where a payment of several tenders stands. Its amounts are its parts'.
///
/// # Errors
/// The database's.
pub async fn save_whole(
    conn: &mut PgConnection,
    whole: &Payment,
    resolution: Option<Uuid>,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE payment_intent
         SET state = $2, void_requested = $3, decline = $4, version = version + 1, updated_at = $5,
             resolution_id = coalesce($6, resolution_id)
         WHERE payment_id = $1",
        whole.id.uuid(),
        whole.standing().state.as_str(),
        whole.void_requested,
        whole.decline,
        at,
        resolution,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The intent alone, locked until the transaction ends; None when it is a part: its whole is locked first.
///
/// # Errors
/// The database's.
pub async fn lock(conn: &mut PgConnection, id: PaymentId) -> Result<Option<Payment>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT payment_id, order_id, currency, amount_minor, method_kind, method_token, capture_mode, void_requested,
                conflict, decline, fallbacks, tenders AS "tenders: Json<Vec<TenderRow>>", part_of, place, created_at
         FROM payment_intent WHERE payment_id = $1 AND part_of IS NULL FOR UPDATE"#,
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
        r#"SELECT payment_id, order_id, currency, amount_minor, method_kind, method_token, capture_mode, void_requested,
                conflict, decline, fallbacks, tenders AS "tenders: Json<Vec<TenderRow>>", part_of, place, created_at
         FROM payment_intent WHERE payment_id = $1"#,
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(Payment::try_from).transpose()
}

/// What the payment is a part of; None when it is none.
///
/// # Errors
/// The database's.
pub async fn whole_of(conn: &mut PgConnection, id: PaymentId) -> Result<Option<PaymentId>, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT part_of FROM payment_intent WHERE payment_id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(found.flatten().map(PaymentId::new))
}

/// The intents of a payment's parts alone, in their order.
///
/// # Errors
/// The database's.
pub async fn parts(conn: &mut PgConnection, whole: PaymentId) -> Result<Vec<Payment>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT payment_id, order_id, currency, amount_minor, method_kind, method_token, capture_mode, void_requested,
                conflict, decline, fallbacks, tenders AS "tenders: Json<Vec<TenderRow>>", part_of, place, created_at
         FROM payment_intent WHERE part_of = $1 ORDER BY place"#,
        whole.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Payment::try_from).collect()
}

fn place(place: usize) -> Result<i32, sqlx::Error> {
    i32::try_from(place).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

impl TryFrom<Row> for Payment {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let capture = row.capture_mode.parse().map_err(unknown)?;
        let tenders = row.tenders.map(|rows| rows.0).unwrap_or_default();
        let part_of = match (row.part_of, row.place) {
            (Some(whole), Some(place)) => {
                let place = usize::try_from(place).map_err(unknown)?;
                Some(Part { whole: PaymentId::new(whole), place })
            }
            // The constraint `payment_part_has_place` allows both or none.
            (_, _) => None,
        };
        let terms = match (row.order_id, row.currency, row.amount_minor, row.method_kind, row.method_token) {
            (Some(order), Some(currency), Some(amount), Some(kind), Some(token)) => {
                let currency = currency.parse().map_err(unknown)?;
                Some(Terms {
                    order: OrderId::new(order),
                    amount: Money::new(amount, currency),
                    method: Method { kind: kind.parse().map_err(unknown)?, token: Token::new(token) },
                    tenders: tenders.into_iter().map(|row| row.tender(currency)).collect::<Result<_, _>>()?,
                    capture,
                })
            }
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
            part_of,
            parts: Vec::new(),
            created_at: row.created_at,
        })
    }
}
