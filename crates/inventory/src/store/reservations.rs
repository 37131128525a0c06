//! Reservations and their lines.

use std::collections::HashMap;

use sqlx::PgConnection;
use stampede_types::ReservationId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{broken, cell};
use crate::domain::{CellKey, Ended, Line, Receipt, Reservation, ReservationKind, ReservationState, Shrunk};

struct Row {
    reservation_id: Uuid,
    kind: String,
    buyer_id: String,
    state: String,
    expires_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    remaining: Option<i64>,
    made_by: Option<i64>,
    pools: Vec<String>,
    skus: Vec<String>,
    asked: Vec<i64>,
    quantities: Option<Vec<i64>>,
}

impl Row {
    fn parse(self) -> Result<Reservation, sqlx::Error> {
        let kind = [ReservationKind::Hold, ReservationKind::Deduction, ReservationKind::Nothing]
            .into_iter()
            .find(|kind| kind.as_str() == self.kind)
            .ok_or_else(|| unknown("kind", &self.kind))?;
        let state = state(&self.state)?;
        let asked = lines(&self.pools, &self.skus, &self.asked)?;
        let lines = match &self.quantities {
            Some(quantities) => lines(&self.pools, &self.skus, quantities)?,
            None => asked.clone(),
        };
        Ok(Reservation {
            id: ReservationId::new(self.reservation_id),
            kind,
            buyer: match kind {
                ReservationKind::Nothing => None,
                ReservationKind::Hold | ReservationKind::Deduction => {
                    Some(self.buyer_id.parse().map_err(broken)?)
                }
            },
            state,
            asked,
            lines,
            expires_at: self.expires_at,
            created_at: self.created_at,
            made_by: self.made_by,
            receipt: self
                .remaining
                .zip(self.made_by)
                .map(|(remaining, version)| Receipt { remaining, version }),
        })
    }
}

/// Lines as they are stored: in the order of the cells.
pub(super) fn lines(pools: &[String], skus: &[String], quantities: &[i64]) -> Result<Vec<Line>, sqlx::Error> {
    let named = pools.iter().zip(skus).zip(quantities);
    named.map(|((pool, sku), quantity)| Ok(Line { cell: cell(pool, sku)?, quantity: *quantity })).collect()
}

pub(super) fn state(word: &str) -> Result<ReservationState, sqlx::Error> {
    [
        ReservationState::Pending,
        ReservationState::Committed,
        ReservationState::Released,
        ReservationState::Expired,
    ]
    .into_iter()
    .find(|state| state.as_str() == word)
    .ok_or_else(|| unknown("state", word))
}

fn unknown(what: &str, word: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a reservation has the unknown {what} {word:?}").into())
}

/// The cells these reservations have lines in; unknown ids are left out. They never change.
pub async fn cells(
    conn: &mut PgConnection,
    ids: &[ReservationId],
) -> Result<HashMap<ReservationId, Vec<CellKey>>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT reservation_id, pools, skus FROM reservation WHERE reservation_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| {
            let cells = r.pools.iter().zip(&r.skus).map(|(pool, sku)| cell(pool, sku));
            Ok((ReservationId::new(r.reservation_id), cells.collect::<Result<_, _>>()?))
        })
        .collect()
}

/// The reservations with these ids, lines included; unknown ids are left out.
pub async fn read(conn: &mut PgConnection, ids: &[ReservationId]) -> Result<Vec<Reservation>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT reservation_id, kind, buyer_id, state, expires_at, created_at, remaining, made_by,
                pools, skus, asked, quantities
         FROM reservation WHERE reservation_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// Inserts new reservations with their lines.
pub async fn insert(conn: &mut PgConnection, made: &[Reservation]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = made.iter().map(|r| r.id.uuid()).collect();
    let kinds: Vec<&str> = made.iter().map(|r| r.kind.as_str()).collect();
    let buyers: Vec<&str> =
        made.iter().map(|r| r.buyer.as_ref().map_or("", |buyer| buyer.as_str())).collect();
    let states: Vec<&str> = made.iter().map(|r| r.state.as_str()).collect();
    let expiries: Vec<Option<OffsetDateTime>> = made.iter().map(|r| r.expires_at).collect();
    let created: Vec<OffsetDateTime> = made.iter().map(|r| r.created_at).collect();
    let resolved: Vec<Option<OffsetDateTime>> =
        made.iter().map(|r| (r.state != ReservationState::Pending).then_some(r.created_at)).collect();
    let remaining: Vec<Option<i64>> =
        made.iter().map(|r| r.receipt.map(|receipt| receipt.remaining)).collect();
    let made_by: Vec<Option<i64>> = made.iter().map(|r| r.made_by).collect();
    // An array of arrays of different lengths is no array: each goes as its literal.
    let pools: Vec<String> = made.iter().map(|r| literal(&r.asked, |line| line.cell.pool.as_str())).collect();
    let skus: Vec<String> = made.iter().map(|r| literal(&r.asked, |line| line.cell.sku.as_str())).collect();
    let asked: Vec<String> = made.iter().map(|r| literal(&r.asked, |line| line.quantity)).collect();
    sqlx::query!(
        "INSERT INTO reservation
             (reservation_id, kind, buyer_id, state, expires_at, created_at, resolved_at, remaining, made_by,
              pools, skus, asked)
         SELECT id, kind, buyer, state, expiry, created, resolved, remaining, made_by,
                pools::text[], skus::text[], asked::bigint[]
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                     $7::timestamptz[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[])
              AS r (id, kind, buyer, state, expiry, created, resolved, remaining, made_by, pools, skus, asked)",
        &ids,
        &kinds as &[&str],
        &buyers as &[&str],
        &states as &[&str],
        &expiries as &[Option<OffsetDateTime>],
        &created,
        &resolved as &[Option<OffsetDateTime>],
        &remaining as &[Option<i64>],
        &made_by as &[Option<i64>],
        &pools,
        &skus,
        &asked
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An array as Postgres reads it. Names of cells have neither quotes nor backslashes.
fn literal<'a, T: std::fmt::Display>(lines: &'a [Line], of: impl Fn(&'a Line) -> T) -> String {
    let quoted: Vec<String> = lines.iter().map(|line| format!("\"{}\"", of(line))).collect();
    format!("{{{}}}", quoted.join(","))
}

/// Lets pending reservations hold less; how many were still pending.
pub async fn shrink(
    conn: &mut PgConnection,
    shrunk: &[Shrunk],
    at: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = shrunk.iter().map(|shrunk| shrunk.id.uuid()).collect();
    let quantities: Vec<String> =
        shrunk.iter().map(|shrunk| literal(&shrunk.lines, |line| line.quantity)).collect();
    let done = sqlx::query!(
        "UPDATE reservation r SET quantities = s.quantities::bigint[]
         FROM unnest($1::uuid[], $2::text[]) AS s (reservation_id, quantities)
         WHERE r.reservation_id = s.reservation_id AND r.resolved_at IS NULL AND r.expires_at > $3",
        &ids,
        &quantities,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Puts the expiry of a pending reservation off.
pub async fn extend(
    conn: &mut PgConnection,
    id: ReservationId,
    expires_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE reservation SET expires_at = $2
         WHERE reservation_id = $1 AND resolved_at IS NULL AND expires_at < $2",
        id.uuid(),
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends pending reservations; how many were still pending. Less than asked for means that somebody passed the lock.
/// Pending is asked by its other name, `resolved_at IS NULL`, so that rows are found by id and not among all pending ones.
pub async fn end(conn: &mut PgConnection, ended: &[Ended], at: OffsetDateTime) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = ended.iter().map(|ended| ended.id.uuid()).collect();
    let states: Vec<&str> = ended.iter().map(|ended| ended.state.as_str()).collect();
    let by: Vec<i64> = ended.iter().map(|ended| ended.by).collect();
    let sold: Vec<Option<String>> = ended
        .iter()
        .map(|ended| ended.lines.as_ref().map(|lines| literal(lines, |line| line.quantity)))
        .collect();
    let done = sqlx::query!(
        "UPDATE reservation r SET state = e.state, resolved_at = $4, ended_by = e.ended_by,
                                  quantities = coalesce(e.sold::bigint[], r.quantities)
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $5::text[]) AS e (reservation_id, state, ended_by, sold)
         WHERE r.reservation_id = e.reservation_id AND r.resolved_at IS NULL
           AND (r.expires_at > $4) = (e.state <> 'EXPIRED')",
        &ids,
        &states as &[&str],
        &by,
        at,
        &sold as &[Option<String>]
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Milliseconds until the next pending reservation ends; below zero when it is overdue, nothing when none is pending.
pub async fn next_due_ms(conn: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    // By the index's order: a minimum may be planned as a walk through all of them.
    sqlx::query_scalar!(
        r#"SELECT (extract(epoch FROM expires_at - now()) * 1000)::bigint AS "left_ms!" FROM reservation
           WHERE state = 'PENDING' ORDER BY expires_at LIMIT 1"#
    )
    .fetch_optional(conn)
    .await
}

/// Pending reservations past their expiry, the longest overdue first. Nothing is locked: whoever resolves them decides.
pub async fn due(conn: &mut PgConnection, limit: i64) -> Result<Vec<ReservationId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT reservation_id FROM reservation WHERE state = 'PENDING' AND expires_at <= now()
         ORDER BY expires_at LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(ReservationId::new).collect())
}
