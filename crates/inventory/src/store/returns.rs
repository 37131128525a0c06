//! Returns: committed units that came back, once a return id.

use sqlx::PgConnection;
use stampede_types::ReservationId;
use uuid::Uuid;

use super::reservations;
use crate::domain::Line;

/// A line of a reservation and how much of it has come back.
#[derive(Debug, Clone)]
pub struct Returnable {
    pub line: Line,
    pub returned: i64,
}

/// A return that was made: of which reservation, and what was asked for.
#[derive(Debug)]
pub struct Made {
    pub reservation: ReservationId,
    pub asked: serde_json::Value,
}

pub async fn find(conn: &mut PgConnection, return_id: Uuid) -> Result<Option<Made>, sqlx::Error> {
    let row = sqlx::query!("SELECT reservation_id, asked FROM stock_return WHERE return_id = $1", return_id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|r| Made { reservation: ReservationId::new(r.reservation_id), asked: r.asked }))
}

/// What a reservation has sold, line by line, and what has come back of it.
pub async fn lines(conn: &mut PgConnection, id: ReservationId) -> Result<Vec<Returnable>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT pools, skus, coalesce(quantities, asked) AS "quantities!", returned
           FROM reservation WHERE reservation_id = $1"#,
        id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let sold = reservations::lines(&row.pools, &row.skus, &row.quantities)?;
    let returned = row.returned.unwrap_or_else(|| vec![0; sold.len()]);
    Ok(sold.into_iter().zip(returned).map(|(line, returned)| Returnable { line, returned }).collect())
}

/// Notes the return and what has come back by now, line by line.
pub async fn insert(
    conn: &mut PgConnection,
    return_id: Uuid,
    id: ReservationId,
    asked: &serde_json::Value,
    returned: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH noted AS (INSERT INTO stock_return (return_id, reservation_id, asked) VALUES ($1, $2, $3))
         UPDATE reservation SET returned = $4 WHERE reservation_id = $2",
        return_id,
        id.uuid(),
        asked,
        returned
    )
    .execute(conn)
    .await?;
    Ok(())
}
