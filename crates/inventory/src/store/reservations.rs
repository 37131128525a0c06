//! Reservations and their lines.

use sqlx::PgConnection;
use stampede_types::ReservationId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{broken, cell};
use crate::domain::{CellKey, Line, Receipt, Reservation, ReservationKind, ReservationState};

struct Row {
    reservation_id: Uuid,
    kind: String,
    buyer_id: String,
    state: String,
    expires_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    remaining: Option<i64>,
    version: Option<i64>,
    pools: Vec<String>,
    skus: Vec<String>,
    quantities: Vec<i64>,
}

impl Row {
    fn parse(self) -> Result<Reservation, sqlx::Error> {
        let kind = [ReservationKind::Hold, ReservationKind::Deduction, ReservationKind::Nothing]
            .into_iter()
            .find(|kind| kind.as_str() == self.kind)
            .ok_or_else(|| unknown("kind", &self.kind))?;
        let state = [
            ReservationState::Pending,
            ReservationState::Committed,
            ReservationState::Released,
            ReservationState::Expired,
        ]
        .into_iter()
        .find(|state| state.as_str() == self.state)
        .ok_or_else(|| unknown("state", &self.state))?;
        let named = self.pools.iter().zip(&self.skus).zip(self.quantities);
        let lines = named.map(|((pool, sku), quantity)| Ok(Line { cell: cell(pool, sku)?, quantity }));
        let mut lines = lines.collect::<Result<Vec<_>, sqlx::Error>>()?;
        // The order of the domain, which is not the order of the database's collation.
        lines.sort_by(|a, b| a.cell.cmp(&b.cell));
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
            lines,
            expires_at: self.expires_at,
            created_at: self.created_at,
            receipt: self
                .remaining
                .zip(self.version)
                .map(|(remaining, version)| Receipt { remaining, version }),
        })
    }
}

fn unknown(what: &str, word: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a reservation has the unknown {what} {word:?}").into())
}

/// The reservations with these ids, lines included; unknown ids are left out.
pub async fn read(conn: &mut PgConnection, ids: &[ReservationId]) -> Result<Vec<Reservation>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT r.reservation_id, r.kind, r.buyer_id, r.state, r.expires_at, r.created_at, r.remaining, r.version,
                  l.pools AS "pools!", l.skus AS "skus!", l.quantities AS "quantities!"
           FROM reservation r
           CROSS JOIN LATERAL (
               SELECT coalesce(array_agg(pool), '{}') AS pools, coalesce(array_agg(sku_id), '{}') AS skus,
                      coalesce(array_agg(quantity), '{}') AS quantities
               FROM reservation_line WHERE reservation_id = r.reservation_id
           ) l
           WHERE r.reservation_id = ANY($1)"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// Inserts new reservations with their lines.
pub async fn insert(conn: &mut PgConnection, made: &[Reservation]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = made.iter().map(|r| r.id.uuid()).collect();
    let kinds: Vec<String> = made.iter().map(|r| r.kind.as_str().to_owned()).collect();
    let buyers: Vec<String> =
        made.iter().map(|r| r.buyer.as_ref().map_or("", |buyer| buyer.as_str()).to_owned()).collect();
    let states: Vec<String> = made.iter().map(|r| r.state.as_str().to_owned()).collect();
    let expiries: Vec<Option<OffsetDateTime>> = made.iter().map(|r| r.expires_at).collect();
    let created: Vec<OffsetDateTime> = made.iter().map(|r| r.created_at).collect();
    let resolved: Vec<Option<OffsetDateTime>> =
        made.iter().map(|r| (r.state != ReservationState::Pending).then_some(r.created_at)).collect();
    let remaining: Vec<Option<i64>> =
        made.iter().map(|r| r.receipt.map(|receipt| receipt.remaining)).collect();
    let versions: Vec<Option<i64>> = made.iter().map(|r| r.receipt.map(|receipt| receipt.version)).collect();
    let lines = || made.iter().flat_map(|r| r.lines.iter().map(move |line| (r.id, line)));
    let line_ids: Vec<Uuid> = lines().map(|(id, _)| id.uuid()).collect();
    let (pools, skus) = super::columns(lines().map(|(_, line)| &line.cell));
    let quantities: Vec<i64> = lines().map(|(_, line)| line.quantity).collect();
    sqlx::query!(
        "WITH made AS (
             INSERT INTO reservation
                 (reservation_id, kind, buyer_id, state, expires_at, created_at, resolved_at, remaining, version)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                                  $6::timestamptz[], $7::timestamptz[], $8::bigint[], $9::bigint[])
         )
         INSERT INTO reservation_line (reservation_id, pool, sku_id, quantity)
         SELECT * FROM unnest($10::uuid[], $11::text[], $12::text[], $13::bigint[])",
        &ids,
        &kinds,
        &buyers,
        &states,
        &expiries as &[Option<OffsetDateTime>],
        &created,
        &resolved as &[Option<OffsetDateTime>],
        &remaining as &[Option<i64>],
        &versions as &[Option<i64>],
        &line_ids,
        &pools,
        &skus,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends pending reservations; how many were still pending. Less than asked for means that somebody passed the lock.
/// Pending is asked by its other name, `resolved_at IS NULL`, so that rows are found by id and not among all pending ones.
pub async fn resolve(
    conn: &mut PgConnection,
    resolved: &[(ReservationId, ReservationState)],
    at: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = resolved.iter().map(|(id, _)| id.uuid()).collect();
    let states: Vec<String> = resolved.iter().map(|(_, state)| state.as_str().to_owned()).collect();
    let done = sqlx::query!(
        "UPDATE reservation r SET state = e.state, resolved_at = $3
         FROM unnest($1::uuid[], $2::text[]) AS e (reservation_id, state)
         WHERE r.reservation_id = e.reservation_id AND r.resolved_at IS NULL
           AND (r.expires_at > $3) = (e.state <> 'EXPIRED')",
        &ids,
        &states,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
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

/// Pending holds on one cell: id, buyer and units, for loading the gate.
pub async fn pending_on(
    conn: &mut PgConnection,
    cell: &CellKey,
) -> Result<Vec<(ReservationId, String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT r.reservation_id, r.buyer_id, l.quantity FROM reservation r JOIN reservation_line l USING (reservation_id)
         WHERE r.state = 'PENDING' AND l.pool = $1 AND l.sku_id = $2",
        cell.pool.as_str(),
        cell.sku.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (ReservationId::new(r.reservation_id), r.buyer_id, r.quantity)).collect())
}
