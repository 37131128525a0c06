//! A payment as a whole: its intent with its attempts and events, and its parts when it has several tenders. Whoever locks a part has
//! locked its whole first, so that nobody waits for one while he holds another.

use sqlx::PgConnection;
use stampede_types::PaymentId;

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

async fn complete(conn: &mut PgConnection, intent: Option<Payment>) -> Result<Option<Payment>, sqlx::Error> {
    let Some(mut payment) = intent else { return Ok(None) };
    if payment.is_whole() {
        payment.parts = intents::parts(conn, payment.id).await?;
        for part in &mut payment.parts {
            with_facts(conn, part).await?;
        }
    } else {
        with_facts(conn, &mut payment).await?;
    }
    Ok(Some(payment))
}

async fn with_facts(conn: &mut PgConnection, payment: &mut Payment) -> Result<(), sqlx::Error> {
    payment.attempts = attempts::of_payment(conn, payment.id).await?;
    payment.events = events::of_payment(conn, payment.id).await?;
    Ok(())
}
