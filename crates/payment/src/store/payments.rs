//! A payment as a whole: its intent with its attempts and events, and its parts when it has several tenders. Whoever locks a part has
//! locked its whole first, so that nobody waits for one while he holds another.

use sqlx::PgConnection;
use stampede_types::PaymentId;
use uuid::Uuid;

use super::{attempts, events, intents};
use crate::domain::Payment;

/// The payment, locked until the transaction ends, with its parts or beside its whole; None when there is none.
///
/// # Errors
/// The database's.
pub async fn lock(conn: &mut PgConnection, id: PaymentId) -> Result<Option<Payment>, sqlx::Error> {
    let intent = match intents::lock(conn, id).await? {
        Some(intent) => Some(intent),
        None => match intents::whole_of(conn, id).await? {
            // Nobody writes a part without its whole: with the one locked the other stands still.
            Some(whole) => {
                intents::lock(conn, whole).await?;
                intents::read(conn, id).await?
            }
            None => None,
        },
    };
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

/// Those of these payments that nobody else holds, locked until the transaction ends; no parts, and without those of one that has any.
///
/// # Errors
/// The database's.
pub async fn lock_free(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Payment>, sqlx::Error> {
    let mut payments = intents::lock_free(conn, ids).await?;
    with_facts(conn, payments.iter_mut().filter(|payment| !payment.is_whole()).collect()).await?;
    Ok(payments)
}

async fn complete(conn: &mut PgConnection, intent: Option<Payment>) -> Result<Option<Payment>, sqlx::Error> {
    let Some(mut payment) = intent else { return Ok(None) };
    if payment.is_whole() {
        payment.parts = intents::parts(conn, payment.id).await?;
        with_facts(conn, payment.parts.iter_mut().collect()).await?;
    } else {
        with_facts(conn, vec![&mut payment]).await?;
    }
    Ok(Some(payment))
}

async fn with_facts(conn: &mut PgConnection, payments: Vec<&mut Payment>) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = payments.iter().map(|payment| payment.id.uuid()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut attempts = attempts::of_payments(conn, &ids).await?;
    let mut events = events::of_payments(conn, &ids).await?;
    for payment in payments {
        payment.attempts = attempts.remove(&payment.id.uuid()).unwrap_or_default();
        payment.events = events.remove(&payment.id.uuid()).unwrap_or_default();
    }
    Ok(())
}
