//! The invariants after a measurement, straight from the stores: what was answered was sold, what was sold is in reservations and
//! in movements, nothing is oversold, nobody is over the limit. It only reads.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;

use super::shop::Sale;
use crate::loadtest::gate::Gate;

/// What the gate is told late, it is told within this.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// One pool, summed over the SKUs of a sale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Books {
    on_hand: i64,
    /// Held and committed, by the levels.
    sold: i64,
    /// By the reservations that hold or have sold units.
    reserved: i64,
    /// By the movements.
    moved: i64,
    moved_on_hand: i64,
    /// Cells in which more is sold than there was.
    oversold_cells: i64,
    buyers_over: i64,
}

impl Books {
    /// Every difference, as a sentence. `unknown` requests have no answer and may have sold or not.
    pub fn differences(&self, accepted: u64, unknown: u64) -> Vec<String> {
        let Books { on_hand, sold, reserved, moved, moved_on_hand, oversold_cells, buyers_over } = *self;
        let (accepted, unknown) =
            (i64::try_from(accepted).unwrap_or(i64::MAX), i64::try_from(unknown).unwrap_or(i64::MAX));
        let answered = (accepted..=accepted.saturating_add(unknown)).contains(&sold);
        [
            (oversold_cells > 0, format!("{oversold_cells} levels are oversold")),
            (!answered, format!("{accepted} deductions were accepted, {sold} units are sold")),
            (sold != reserved, format!("{sold} units are sold, {reserved} are in reservations")),
            (sold != moved, format!("{sold} units are sold, {moved} have moved")),
            (
                on_hand != moved_on_hand,
                format!("{on_hand} units are on hand, {moved_on_hand} have moved there"),
            ),
            (buyers_over > 0, format!("{buyers_over} buyers are over their limit")),
        ]
        .into_iter()
        .filter_map(|(wrong, sentence)| wrong.then_some(sentence))
        .collect()
    }
}

/// Reads the books of a sale; compares the gate too, which may be told a moment later.
pub async fn check(
    db: &PgPool,
    redis_url: &str,
    sale: &Sale,
    accepted: u64,
    unknown: u64,
) -> anyhow::Result<Vec<String>> {
    let books = read(db, sale).await?;
    let mut said = books.differences(accepted, unknown);
    if let [sku] = sale.skus.as_slice() {
        said.extend(gate(redis_url, sale, sku, books.on_hand - books.sold).await?);
    }
    Ok(said)
}

/// Units sold of it so far, by the levels alone.
pub async fn sold(db: &PgPool, sale: &Sale) -> anyhow::Result<u64> {
    let sold: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(held + committed), 0)::bigint FROM stock WHERE pool = $1 AND sku_id = ANY($2)",
    )
    .bind(sale.pool())
    .bind(&sale.skus)
    .fetch_one(db)
    .await
    .context("the levels could not be read")?;
    Ok(u64::try_from(sold)?)
}

async fn read(db: &PgPool, sale: &Sale) -> anyhow::Result<Books> {
    sqlx::query_as(
        "WITH cells AS (
             SELECT s.* FROM stock s WHERE s.pool = $1 AND s.sku_id = ANY($2)
         ), lines AS (
             -- As the view reservation_line, but a row of another pool is left alone: there may be millions.
             SELECT coalesce(l.quantity, l.asked) - coalesce(l.returned, 0) AS units
             FROM reservation r
             CROSS JOIN LATERAL unnest(r.pools, r.skus, r.asked, r.quantities, r.returned)
                  AS l (pool, sku_id, asked, quantity, returned)
             WHERE $1 = ANY (r.pools) AND r.state IN ('PENDING', 'COMMITTED') AND l.pool = $1 AND l.sku_id = ANY($2)
         ), moves AS (
             SELECT m.on_hand_delta, m.held_delta + m.committed_delta AS sold
             FROM movement m WHERE m.pool = $1 AND m.sku_id = ANY($2)
         )
         SELECT coalesce(sum(on_hand), 0)::bigint AS on_hand, coalesce(sum(held + committed), 0)::bigint AS sold,
                (SELECT coalesce(sum(units), 0) FROM lines)::bigint AS reserved,
                (SELECT coalesce(sum(sold), 0) FROM moves)::bigint AS moved,
                (SELECT coalesce(sum(on_hand_delta), 0) FROM moves)::bigint AS moved_on_hand,
                count(*) FILTER (WHERE held + committed > on_hand) AS oversold_cells,
                (SELECT count(*) FROM buyer_quota q
                 WHERE q.pool = $1 AND q.sku_id = ANY($2) AND q.used > q.max) AS buyers_over
         FROM cells",
    )
    .bind(sale.pool())
    .bind(&sale.skus)
    .fetch_one(db)
    .await
    .context("the books could not be read")
}

async fn gate(redis_url: &str, sale: &Sale, sku: &str, free: i64) -> anyhow::Result<Option<String>> {
    let mut gate = Gate::connect(redis_url).await?;
    let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
    loop {
        let at_gate = gate.free(sale.pool(), sku).await?;
        if at_gate.is_none_or(|at_gate| at_gate == free) {
            return Ok(None);
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(Some(format!("the gate has {at_gate:?} free, the ledger {free}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        Books { on_hand: 10, sold: 4, reserved: 4, moved: 4, moved_on_hand: 10, ..Books::default() }
    }

    #[test]
    fn books_that_agree_say_nothing() {
        assert_eq!(books().differences(4, 0), Vec::<String>::new());
        assert_eq!(books().differences(3, 1), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_said() {
        assert!(books().differences(5, 0)[0].starts_with("5 deductions were accepted, 4 units"));
        assert!(Books { reserved: 3, ..books() }.differences(4, 0)[0].contains("3 are in reservations"));
        assert!(Books { moved: 5, ..books() }.differences(4, 0)[0].contains("5 have moved"));
        assert!(Books { moved_on_hand: 9, ..books() }.differences(4, 0)[0].contains("9 have moved there"));
        assert_eq!(Books { oversold_cells: 1, buyers_over: 2, ..books() }.differences(4, 0).len(), 2);
    }
}
