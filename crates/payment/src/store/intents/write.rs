//! Writing intents, as many as there are in one statement. It never decides what is derived: the payment does.

use sqlx::PgConnection;
use sqlx::types::Json;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::tenders::rows;
use crate::domain::{Amounts, CaptureMode, Payment, Standing, Terms};

/// Writes a new payment's intent; false when its id is taken. Waits for whoever is inserting the same id.
///
/// # Errors
/// The database's.
pub async fn insert(conn: &mut PgConnection, payment: &Payment) -> Result<bool, sqlx::Error> {
    Ok(!insert_all(conn, &[payment]).await?.is_empty())
}

/// Writes the intents of new payments, in the order of their ids; those whose ids were not taken.
///
/// # Errors
/// The database's.
pub async fn insert_all(
    conn: &mut PgConnection,
    payments: &[&Payment],
) -> Result<Vec<PaymentId>, sqlx::Error> {
    let terms = || payments.iter().map(|payment| payment.terms.as_ref());
    let inserted = sqlx::query_scalar!(
        "INSERT INTO payment_intent (payment_id, order_id, currency, amount_minor, method_kind, method_token, fingerprint,
                                     capture_mode, state, void_requested, fallbacks, tenders, part_of, place, created_at, updated_at)
         SELECT id, order_id, currency, amount_minor, method_kind, method_token, fingerprint, capture_mode, state, void_requested,
                ARRAY(SELECT jsonb_array_elements_text(fallbacks)), tenders, part_of, place, created_at, created_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::text[],
                     $10::boolean[], $11::jsonb[], $12::jsonb[], $13::uuid[], $14::integer[], $15::timestamptz[])
              AS new (id, order_id, currency, amount_minor, method_kind, method_token, fingerprint, capture_mode, state,
                      void_requested, fallbacks, tenders, part_of, place, created_at)
         ORDER BY id
         ON CONFLICT ON CONSTRAINT payment_intent_once DO NOTHING
         RETURNING payment_id",
        &payments.iter().map(|payment| payment.id.uuid()).collect::<Vec<_>>(),
        &terms().map(|terms| Some(terms?.order.uuid())).collect::<Vec<_>>() as _,
        &terms().map(|terms| Some(terms?.amount.currency().to_string())).collect::<Vec<_>>() as _,
        &terms().map(|terms| Some(terms?.amount.amount_minor())).collect::<Vec<_>>() as _,
        &terms().map(|terms| Some(terms?.method.kind.as_str())).collect::<Vec<_>>() as _,
        &terms().map(|terms| Some(terms?.method.token.expose())).collect::<Vec<_>>() as _,
        &terms().map(|terms| Some(terms?.fingerprint().to_vec())).collect::<Vec<_>>() as _,
        &terms().map(capture_mode).collect::<Vec<_>>() as _,
        &payments.iter().map(|payment| payment.standing().state.as_str()).collect::<Vec<_>>() as _,
        &payments.iter().map(|payment| payment.void_requested).collect::<Vec<_>>(),
        &payments.iter().map(|payment| Json(&payment.fallbacks)).collect::<Vec<_>>() as _,
        &terms().map(|terms| rows(terms?)).collect::<Vec<_>>() as _,
        &payments.iter().map(|payment| Some(payment.part_of?.whole.uuid())).collect::<Vec<_>>() as _,
        &payments.iter().map(|payment| place(payment)).collect::<Result<Vec<_>, _>>()? as _,
        &payments.iter().map(|payment| payment.created_at).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?;
    Ok(inserted.into_iter().map(PaymentId::new).collect())
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
    save_all(conn, &[(payment, at)], resolution).await
}

/// The same for many.
///
/// # Errors
/// A ceiling's constraint, or the database's.
pub async fn save_all(
    conn: &mut PgConnection,
    payments: &[(&Payment, OffsetDateTime)],
    resolution: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    if payments.is_empty() {
        return Ok(());
    }
    // What a provider left behind holds is a fact too: the row has the sums of all of them, the state is that of what counts.
    let sums: Vec<Amounts> = payments.iter().map(|(payment, _)| payment.totals()).collect();
    let standings: Vec<Standing> = payments.iter().map(|(payment, _)| payment.standing()).collect();
    let sum = |of: fn(&Amounts) -> i64| sums.iter().map(of).collect::<Vec<_>>();
    sqlx::query!(
        "UPDATE payment_intent AS old
         SET state = new.state, void_requested = new.void_requested, conflict = new.conflict, decline = new.decline,
             authorized_minor = new.authorized, capture_pending_minor = new.capture_pending, captured_minor = new.captured,
             voided_minor = new.voided, refund_pending_minor = new.refund_pending, refunded_minor = new.refunded,
             disputed_minor = new.disputed, lost_minor = new.lost, version = version + 1, updated_at = new.at,
             resolution_id = coalesce($15, resolution_id)
         FROM UNNEST($1::uuid[], $2::text[], $3::boolean[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::timestamptz[])
              AS new (id, state, void_requested, conflict, decline, authorized, capture_pending, captured, voided, refund_pending,
                      refunded, disputed, lost, at)
         WHERE payment_id = new.id",
        &payments.iter().map(|(payment, _)| payment.id.uuid()).collect::<Vec<_>>(),
        &standings.iter().map(|standing| standing.state.as_str()).collect::<Vec<_>>() as _,
        &payments.iter().map(|(payment, _)| payment.void_requested).collect::<Vec<_>>(),
        &payments.iter().map(|(payment, _)| payment.conflict.as_deref()).collect::<Vec<_>>() as _,
        &payments.iter().map(|(payment, _)| payment.decline.as_deref()).collect::<Vec<_>>() as _,
        &sum(|sums| sums.authorized_minor),
        &standings.iter().map(|standing| standing.pending.capture_minor).collect::<Vec<_>>(),
        &sum(|sums| sums.captured_minor),
        &sum(|sums| sums.voided_minor),
        &standings.iter().map(|standing| standing.pending.refund_minor).collect::<Vec<_>>(),
        &sum(|sums| sums.refunded_minor),
        &sum(|sums| sums.disputed_minor),
        &sum(|sums| sums.lost_minor),
        &payments.iter().map(|(_, at)| *at).collect::<Vec<_>>(),
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

fn capture_mode(terms: Option<&Terms>) -> &'static str {
    terms.map_or(CaptureMode::Manual, |terms| terms.capture).as_str()
}

fn place(payment: &Payment) -> Result<Option<i32>, sqlx::Error> {
    let place = payment.part_of.map(|part| i32::try_from(part.place));
    place.transpose().map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
