//! What waits for a person: cases that were written when they happened, attempts that are asked about for long, webhooks parked for
//! long; and what a provider claims and nobody has decided about.

use std::time::Duration;

use sqlx::PgConnection;
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::page::Place;
use crate::domain::stuck::{Claim, Reason};

/// A payment that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub payment: PaymentId,
    pub reason: Reason,
    pub detail: String,
    pub since: OffsetDateTime,
}

struct CaseRow {
    payment_id: Uuid,
    reason: String,
    detail: String,
    since: OffsetDateTime,
}

struct ClaimRow {
    conflict_id: i64,
    attempt_id: Option<Uuid>,
    kind: Option<String>,
    provider: Option<String>,
    provider_reference: Option<String>,
    amount_minor: Option<i64>,
    reason: String,
    at: OffsetDateTime,
}

impl Case {
    /// Where it is in the list.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place { since: self.since, payment: self.payment, reason: self.reason }
    }
}

/// It waits from now on, unless it does already.
///
/// # Errors
/// The database's.
pub async fn open(
    conn: &mut PgConnection,
    payment: PaymentId,
    reason: Reason,
    detail: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO payment_case (payment_id, reason, detail) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT payment_case_once DO NOTHING",
        payment.uuid(),
        reason.as_str(),
        detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It does not wait for this reason any more.
///
/// # Errors
/// The database's.
pub async fn close(conn: &mut PgConnection, payment: PaymentId, reason: Reason) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM payment_case WHERE payment_id = $1 AND reason = $2",
        payment.uuid(),
        reason.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What waits behind `after`, longest first; of one payment when `only` says so. Each part is one stretch of an index of few rows.
///
/// # Errors
/// The database's.
pub async fn list(
    conn: &mut PgConnection,
    after: Option<Place>,
    only: Option<PaymentId>,
    (unknown_after, parked_after): (Duration, Duration),
    limit: i64,
) -> Result<Vec<Case>, sqlx::Error> {
    let (since, payment, reason) = after.map_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil(), ""), |place| {
        (place.since, place.payment.uuid(), place.reason.as_str())
    });
    let rows = sqlx::query_as!(
        CaseRow,
        r#"SELECT payment_id AS "payment_id!", reason AS "reason!", detail AS "detail!", since AS "since!" FROM (
               SELECT payment_id, reason, detail, since FROM payment_case c
               WHERE reason <> 'REFUND_REFUSED' OR EXISTS (
                   SELECT FROM payment_intent i WHERE i.payment_id = c.payment_id
                   AND i.refunded_minor + i.refund_pending_minor + i.disputed_minor < i.captured_minor)
               UNION ALL
               SELECT payment_id, 'UNKNOWN', 'what became of ' || string_agg(DISTINCT operation, ', ') || ' is not known', min(created_at)
               FROM payment_attempt WHERE state IN ('SENT', 'LOST') AND created_at < now() - make_interval(secs => $5)
               GROUP BY payment_id
               UNION ALL
               SELECT payment_id, 'WEBHOOK_PARKED', 'webhooks wait: ' || coalesce(string_agg(DISTINCT why, ', '), ''), min(received_at)
               FROM webhook WHERE state = 'PARKED' AND received_at < now() - make_interval(secs => $6) GROUP BY payment_id
           ) AS waiting
           WHERE (since, payment_id, reason) > ($1, $2, $3) AND ($4::uuid IS NULL OR payment_id = $4)
           ORDER BY since, payment_id, reason LIMIT $7"#,
        since,
        payment,
        reason,
        only.map(PaymentId::uuid),
        unknown_after.as_secs_f64(),
        parked_after.as_secs_f64(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Case::try_from).collect()
}

/// How many payments wait, by reason.
///
/// # Errors
/// The database's.
pub async fn counts(
    conn: &mut PgConnection,
    (unknown_after, parked_after): (Duration, Duration),
) -> Result<Vec<(Reason, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT reason AS "reason!", count(*) AS "count!" FROM payment_case GROUP BY reason
           UNION ALL
           SELECT 'UNKNOWN', count(DISTINCT payment_id) FROM payment_attempt
           WHERE state IN ('SENT', 'LOST') AND created_at < now() - make_interval(secs => $1)
           UNION ALL
           SELECT 'WEBHOOK_PARKED', count(DISTINCT payment_id) FROM webhook
           WHERE state = 'PARKED' AND received_at < now() - make_interval(secs => $2)"#,
        unknown_after.as_secs_f64(),
        parked_after.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.reason.parse().map_err(unknown)?, row.count))).collect()
}

/// What the provider claimed of the payment and nobody has decided about, oldest first.
///
/// # Errors
/// The database's.
pub async fn claims(conn: &mut PgConnection, payment: PaymentId) -> Result<Vec<Claim>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ClaimRow,
        "SELECT conflict_id, attempt_id, kind, provider, provider_reference, amount_minor, reason, at FROM payment_conflict
         WHERE payment_id = $1
           AND conflict_id > (SELECT coalesce(max(claim), 0) FROM payment_resolution WHERE payment_id = $1)
         ORDER BY conflict_id",
        payment.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Claim::try_from).collect()
}

impl TryFrom<CaseRow> for Case {
    type Error = sqlx::Error;

    fn try_from(row: CaseRow) -> Result<Self, sqlx::Error> {
        let CaseRow { payment_id, reason, detail, since } = row;
        let reason = reason.parse().map_err(unknown)?;
        Ok(Self { payment: PaymentId::new(payment_id), reason, detail, since })
    }
}

impl TryFrom<ClaimRow> for Claim {
    type Error = sqlx::Error;

    fn try_from(row: ClaimRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.conflict_id,
            attempt: row.attempt_id,
            kind: row.kind.map(|kind| kind.parse()).transpose().map_err(unknown)?,
            provider: row.provider,
            reference: row.provider_reference,
            amount_minor: row.amount_minor,
            reason: row.reason,
            at: row.at,
        })
    }
}
