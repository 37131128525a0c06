//! The intent's row: what was agreed, and what is derived from events and attempts.

mod write;

use sqlx::PgConnection;
use sqlx::types::Json;
use stampede_types::{Money, OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::tenders::TenderRow;
use super::unknown;
use crate::domain::{Method, Part, Payment, Terms, Token};

pub use write::{insert, insert_all, save, save_all, save_decided, save_whole};

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

/// The intents of those of these payments that nobody else holds and that are no parts, locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock_free(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Payment>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT payment_id, order_id, currency, amount_minor, method_kind, method_token, capture_mode, void_requested,
                conflict, decline, fallbacks, tenders AS "tenders: Json<Vec<TenderRow>>", part_of, place, created_at
         FROM payment_intent WHERE payment_id = ANY($1) AND part_of IS NULL ORDER BY payment_id FOR UPDATE SKIP LOCKED"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Payment::try_from).collect()
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
