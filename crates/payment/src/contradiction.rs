//! A provider contradicts itself or us: its claim is kept, the payment waits for a person, and others hear of it, all in the caller's
//! transaction. It believes nothing of the claim.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::domain::stuck::Reason;
use crate::domain::{Conflict, Payment};
use crate::event;
use crate::store::{events, stuck};

/// # Errors
/// The database's.
pub(crate) async fn note(
    conn: &mut PgConnection,
    payment: &Payment,
    provider: &str,
    conflict: &Conflict,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    tracing::error!(payment = %payment.id, reason = conflict.reason, "the provider contradicts itself or us");
    let number = events::insert_conflict(conn, payment.id, provider, conflict, at).await?;
    stuck::open(conn, payment.id, Reason::Conflict, conflict.reason).await?;
    event::publish_claim(conn, payment, number, conflict, at).await
}
