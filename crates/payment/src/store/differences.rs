//! What files and books do not agree about, and what persons have decided. What a difference says and a decision never change.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::differences::{Decide, Difference};
use crate::domain::reconcile::{Decision, DifferenceKind, Line, Owed};

/// A line that does not agree.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub kind: DifferenceKind,
    /// The line's number in the store.
    pub line: i64,
    pub event: Option<Uuid>,
}

struct Row {
    position: i64,
    difference_id: Uuid,
    provider: String,
    file_id: String,
    kind: String,
    opened_at: OffsetDateTime,
    line_position: Option<i64>,
    line_file: Option<String>,
    line: Option<i32>,
    line_kind: Option<String>,
    reference: Option<String>,
    payment: Option<String>,
    gross_minor: Option<i64>,
    fee_minor: Option<i64>,
    net_minor: Option<i64>,
    currency: Option<String>,
    occurred_at: Option<OffsetDateTime>,
    event_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    provider_reference: Option<String>,
    owed_minor: Option<i64>,
    owed_currency: Option<String>,
    settled: bool,
}

/// Opens differences that this file has shown.
///
/// # Errors
/// The database's.
pub async fn open(
    conn: &mut PgConnection,
    provider: &str,
    file: &str,
    found: &[Found],
) -> Result<(), sqlx::Error> {
    let kinds: Vec<_> = found.iter().map(|found| found.kind.as_str().to_owned()).collect();
    let lines: Vec<_> = found.iter().map(|found| found.line).collect();
    let events: Vec<_> = found.iter().map(|found| found.event).collect();
    sqlx::query!(
        "INSERT INTO settlement_difference (provider, file_id, kind, line, event_id)
         SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[], $5::uuid[])",
        provider,
        file,
        &kinds,
        &lines,
        &events as &[Option<Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Facts that were missing are in a file now.
///
/// # Errors
/// The database's.
pub async fn found_after_all(conn: &mut PgConnection, events: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE settlement_difference SET closed = 'FOUND'
         WHERE event_id = ANY ($1) AND kind = 'MISSING_THERE' AND closed IS NULL",
        events,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens differences for facts that no file has: those since the files before, and those that were left unsettled by a decision. Facts a
/// little older than the files before are looked at too: they were written while those were matched. How many were opened.
///
/// # Errors
/// The database's.
pub async fn open_missing(
    conn: &mut PgConnection,
    provider: &str,
    file: &str,
    overlap: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let opened = sqlx::query!(
        "WITH period AS (
             SELECT period_end AS until,
                    coalesce((SELECT greatest(max(period_end) - make_interval(secs => $3), min(period_start)) FROM settlement_file
                              WHERE provider = $1 AND state = 'DONE'), period_start, '-infinity') AS since
             FROM settlement_file WHERE provider = $1 AND file_id = $2),
         candidate AS (
             SELECT e.event_id FROM payment_event e, period p WHERE e.at < p.until AND e.at >= p.since
             UNION
             SELECT d.event_id FROM settlement_difference d JOIN settlement_resolution r USING (difference_id)
             WHERE d.provider = $1 AND d.event_id IS NOT NULL AND r.decision IN ('WAIT', 'REJECT_LINE', 'TAKE_THEIRS'))
         INSERT INTO settlement_difference (provider, file_id, kind, event_id)
         SELECT $1, $2, 'MISSING_THERE', e.event_id
         FROM candidate JOIN payment_event e USING (event_id), period p
         WHERE e.provider = $1 AND e.at < p.until AND e.amount_minor > 0 AND e.provider_reference IS NOT NULL
           AND settlement_owed(e.kind, e.amount_minor) IS NOT NULL
           AND NOT EXISTS (SELECT FROM settlement_transfer t WHERE t.event_id = e.event_id)
           AND NOT EXISTS (SELECT FROM settlement_difference d WHERE d.event_id = e.event_id
                           AND (d.closed IS NULL OR (d.kind, d.provider, d.file_id) = ('MISSING_THERE', $1, $2)))
         ORDER BY e.at LIMIT $4",
        provider,
        file,
        overlap.as_secs_f64(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(opened.rows_affected())
}

/// Differences behind this position that wait for a person, oldest first; one alone when `only` says so.
///
/// # Errors
/// The database's.
pub async fn list(
    conn: &mut PgConnection,
    after: i64,
    only: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Difference>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT d.position, d.difference_id, d.provider, d.file_id, d.kind, d.opened_at,
                  d.line AS line_position, l.file_id AS "line_file?", l.line AS "line?", l.kind AS "line_kind?",
                  l.reference AS "reference?", l.payment AS "payment?", l.gross_minor AS "gross_minor?", l.fee_minor AS "fee_minor?",
                  l.net_minor AS "net_minor?", l.currency AS "currency?", l.occurred_at AS "occurred_at?",
                  e.event_id AS "event_id?", e.payment_id AS "payment_id?", e.provider_reference,
                  settlement_owed(e.kind, e.amount_minor) AS owed_minor, i.currency AS owed_currency,
                  t.settlement_id IS NOT NULL AS "settled!"
           FROM settlement_difference d
           LEFT JOIN settlement_line l ON l.position = d.line
           LEFT JOIN payment_event e ON e.event_id = d.event_id
           LEFT JOIN payment_intent i ON i.payment_id = e.payment_id
           LEFT JOIN settlement_transfer t ON t.event_id = d.event_id
           WHERE d.closed IS NULL AND d.position > $1 AND ($2::uuid IS NULL OR d.difference_id = $2)
           ORDER BY d.position LIMIT $3"#,
        after,
        only,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Difference::try_from).collect()
}

/// How many wait for a person, by kind.
///
/// # Errors
/// The database's.
pub async fn counts(conn: &mut PgConnection) -> Result<Vec<(DifferenceKind, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT kind, count(*) AS "count!" FROM settlement_difference WHERE closed IS NULL GROUP BY kind"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.kind.parse().map_err(unknown)?, row.count))).collect()
}

/// What was decided under this id, and about which difference.
///
/// # Errors
/// The database's.
pub async fn decision(conn: &mut PgConnection, id: Uuid) -> Result<Option<(Uuid, Decision)>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT difference_id, decision FROM settlement_resolution WHERE resolution_id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok((row.difference_id, row.decision.parse().map_err(unknown)?))).transpose()
}

/// Writes a decision and closes its difference. False when its id is there already; another transaction with the same id waits here.
///
/// # Errors
/// The database's.
pub async fn close(conn: &mut PgConnection, command: &Decide, actor: &str) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query!(
        "WITH decided AS (
             INSERT INTO settlement_resolution (resolution_id, difference_id, decision, actor, note)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT settlement_resolution_once DO NOTHING RETURNING difference_id)
         UPDATE settlement_difference d SET closed = 'DECIDED' FROM decided WHERE d.difference_id = decided.difference_id",
        command.id,
        command.difference,
        command.decision.as_str(),
        actor,
        command.note,
    )
    .execute(conn)
    .await?;
    Ok(closed.rows_affected() == 1)
}

impl TryFrom<Row> for Difference {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let owed = row.owed()?;
        let line = row.line()?;
        Ok(Self {
            position: row.position,
            id: row.difference_id,
            provider: row.provider,
            file: row.file_id,
            kind: row.kind.parse().map_err(unknown)?,
            opened_at: row.opened_at,
            line,
            line_position: row.line_position,
            line_file: row.line_file,
            owed,
            payment: row.payment_id,
            reference: row.provider_reference,
        })
    }
}

impl Row {
    fn owed(&self) -> Result<Option<Owed>, sqlx::Error> {
        let (Some(event), Some(minor), Some(currency)) =
            (self.event_id, self.owed_minor, &self.owed_currency)
        else {
            return Ok(None);
        };
        let currency = currency.parse().map_err(unknown)?;
        Ok(Some(Owed { event, minor, currency, settled: self.settled }))
    }

    fn line(&self) -> Result<Option<Line>, sqlx::Error> {
        let amounts = self.gross_minor.zip(self.fee_minor).zip(self.net_minor);
        let texts = self.line_kind.as_ref().zip(self.reference.as_ref()).zip(self.payment.as_ref());
        let (Some(number), Some(((kind, reference), payment)), Some(((gross_minor, fee_minor), net_minor))) =
            (self.line, texts, amounts)
        else {
            return Ok(None);
        };
        let (Some(currency), Some(occurred_at)) = (&self.currency, self.occurred_at) else { return Ok(None) };
        Ok(Some(Line {
            number: number.cast_unsigned(),
            kind: kind.parse().map_err(unknown)?,
            reference: reference.clone(),
            payment: payment.clone(),
            gross_minor,
            fee_minor,
            net_minor,
            currency: currency.parse().map_err(unknown)?,
            occurred_at,
        }))
    }
}
