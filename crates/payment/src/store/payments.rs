//! A payment as a whole: its intent with its attempts and events.

use sqlx::PgConnection;
use stampede_types::PaymentId;

use super::{attempts, events, intents};
use crate::domain::Payment;

/// The payment, locked until the transaction ends; None when there is none.
///
/// # Errors
/// The database's.
pub async fn lock(conn: &mut PgConnection, id: PaymentId) -> Result<Option<Payment>, sqlx::Error> {
    let intent = intents::lock(conn, id).await?;
    complete(conn, intent).await
}

/// The payment as it stands; None when there is none.
///
/// # Errors
/// The database's.
pub async fn read(conn: &mut PgConnection, id: PaymentId) -> Result<Option<Payment>, sqlx::Error> {
    let intent = intents::read(conn, id).await?;
    complete(conn, intent).await
}

async fn complete(conn: &mut PgConnection, intent: Option<Payment>) -> Result<Option<Payment>, sqlx::Error> {
    let Some(mut payment) = intent else { return Ok(None) };
    payment.attempts = attempts::of_payment(conn, payment.id).await?;
    payment.events = events::of_payment(conn, payment.id).await?;
    Ok(Some(payment))
}
