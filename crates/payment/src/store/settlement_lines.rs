//! Lines of settlement files: what they say never changes, what became of them does.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::unknown;
use crate::domain::reconcile::{Line, Owed};

/// A line that is to be judged, with all that is needed for it.
#[derive(Debug, Clone)]
pub struct Unjudged {
    /// Its number in the store.
    pub position: i64,
    pub line: Line,
    pub owed: Option<Owed>,
    /// Another line has said the same and was not rejected.
    pub told_before: bool,
}

struct Row {
    position: i64,
    line: i32,
    kind: String,
    reference: String,
    payment: String,
    gross_minor: i64,
    fee_minor: i64,
    net_minor: i64,
    currency: String,
    occurred_at: OffsetDateTime,
    event_id: Option<Uuid>,
    owed_minor: Option<i64>,
    owed_currency: Option<String>,
    settled: bool,
    told_before: bool,
}

/// Writes lines that are judged with their own file.
///
/// # Errors
/// The database's.
pub async fn insert(
    conn: &mut PgConnection,
    provider: &str,
    file: &str,
    lines: &[Line],
) -> Result<(), sqlx::Error> {
    let numbers: Vec<_> = lines.iter().map(|line| line.number.cast_signed()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line.kind.as_str().to_owned()).collect();
    let references: Vec<_> = lines.iter().map(|line| line.reference.clone()).collect();
    let payments: Vec<_> = lines.iter().map(|line| line.payment.clone()).collect();
    let gross: Vec<_> = lines.iter().map(|line| line.gross_minor).collect();
    let fees: Vec<_> = lines.iter().map(|line| line.fee_minor).collect();
    let net: Vec<_> = lines.iter().map(|line| line.net_minor).collect();
    let currencies: Vec<_> = lines.iter().map(|line| line.currency.to_string()).collect();
    let times: Vec<_> = lines.iter().map(|line| line.occurred_at).collect();
    sqlx::query!(
        "INSERT INTO settlement_line (provider, file_id, judged_with, line, kind, reference, payment, gross_minor, fee_minor,
                                      net_minor, currency, occurred_at)
         SELECT $1, $2, $2, * FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[],
                                          $10::text[], $11::timestamptz[])",
        provider,
        file,
        &numbers,
        &kinds,
        &references,
        &payments,
        &gross,
        &fees,
        &net,
        &currencies,
        &times,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lines that a person has wait are judged again, with this file.
///
/// # Errors
/// The database's.
pub async fn look_again(conn: &mut PgConnection, provider: &str, file: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE settlement_line SET outcome = NULL, judged_with = $2 WHERE provider = $1 AND outcome = 'WAITING'",
        provider,
        file,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lines that are to be judged with this file, in their order.
///
/// # Errors
/// The database's.
pub async fn unjudged(
    conn: &mut PgConnection,
    provider: &str,
    file: &str,
    limit: i64,
) -> Result<Vec<Unjudged>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT l.position, l.line, l.kind, l.reference, l.payment, l.gross_minor, l.fee_minor, l.net_minor, l.currency,
                  l.occurred_at, e.event_id AS "event_id?", settlement_owed(e.kind, e.amount_minor) AS owed_minor,
                  i.currency AS owed_currency, t.settlement_id IS NOT NULL AS "settled!",
                  EXISTS (SELECT FROM settlement_line b
                          WHERE (b.provider, b.kind, b.reference) = (l.provider, l.kind, l.reference) AND b.position < l.position
                            AND CASE WHEN b.outcome IS NULL THEN b.judged_with = l.judged_with ELSE b.outcome <> 'REJECTED' END
                         ) AS "told_before!"
           FROM settlement_line l
           LEFT JOIN payment_event e
                  ON (e.provider, e.provider_reference, e.kind) = (l.provider, l.reference, settlement_fact(l.kind))
           LEFT JOIN payment_intent i ON i.payment_id = e.payment_id
           LEFT JOIN settlement_transfer t ON t.event_id = e.event_id
           WHERE l.provider = $1 AND l.judged_with = $2 AND l.outcome IS NULL
           ORDER BY l.position LIMIT $3"#,
        provider,
        file,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Unjudged::try_from).collect()
}

/// Writes what became of lines.
///
/// # Errors
/// The database's.
pub async fn set_outcomes(
    conn: &mut PgConnection,
    positions: &[i64],
    outcomes: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE settlement_line l SET outcome = o.outcome
         FROM unnest($1::bigint[], $2::text[]) AS o (position, outcome) WHERE l.position = o.position",
        positions,
        outcomes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl TryFrom<Row> for Unjudged {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let owed = match (row.event_id, row.owed_minor, row.owed_currency) {
            (Some(event), Some(minor), Some(currency)) => {
                let currency = currency.parse().map_err(unknown)?;
                Some(Owed { event, minor, currency, settled: row.settled })
            }
            (_, _, _) => None,
        };
        let line = Line {
            number: row.line.cast_unsigned(),
            kind: row.kind.parse().map_err(unknown)?,
            reference: row.reference,
            payment: row.payment,
            gross_minor: row.gross_minor,
            fee_minor: row.fee_minor,
            net_minor: row.net_minor,
            currency: row.currency.parse().map_err(unknown)?,
            occurred_at: row.occurred_at,
        };
        Ok(Self { position: row.position, line, owed, told_before: row.told_before })
    }
}
