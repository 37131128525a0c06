//! The same deductions beside more and more of what a shop collects: SKUs in the catalogue, reservations in the ledger. Each size
//! has a shop of its own, filled by SQL as the service would have left it, books included, while the service is down.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use sqlx::PgPool;

use super::cases::{Case, Session};
use super::report::{named, thousands};
use super::shop::Sale;
use crate::measure::Figures;

/// SKUs that are bought in turn where the load is spread.
const SPREAD: usize = 1_000;
/// Of each SKU that is filled in.
const UNITS: i64 = 1_000_000_000;
/// Filling ten million rows takes longer than a statement of the service may.
const FILL: &str =
    "SET statement_timeout = 0; SET synchronous_commit = off; SET maintenance_work_mem = '256MB'";

/// What there is more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// One is bought, of so many.
    Skus(u64),
    /// A thousand are bought in turn, of so many.
    SpreadSkus(u64),
    Reservations(u64),
}

/// In the order in which they are measured.
pub const SIZES: [Growth; 8] = [
    Growth::Skus(1),
    Growth::Skus(1_000),
    Growth::Skus(1_000_000),
    Growth::SpreadSkus(1_000),
    Growth::SpreadSkus(1_000_000),
    Growth::Reservations(1_000),
    Growth::Reservations(100_000),
    Growth::Reservations(10_000_000),
];

/// One size and what a deduction costs there.
#[derive(Debug, Clone, Serialize)]
pub struct Grown {
    pub growth: Growth,
    pub filled_in_s: f64,
    pub median: Figures,
}

impl Growth {
    fn kind(self) -> &'static str {
        match self {
            Growth::Skus(_) => "SKUs, one of them bought",
            Growth::SpreadSkus(_) => "SKUs, 1,000 of them bought",
            Growth::Reservations(_) => "reservations",
        }
    }

    pub const fn size(self) -> u64 {
        match self {
            Growth::Skus(size) | Growth::SpreadSkus(size) | Growth::Reservations(size) => size,
        }
    }

    /// Whether a round adds little to what is there, so that the next one finds the same shop.
    pub const fn is_large(self) -> bool {
        self.size() >= 1_000_000
    }

    /// Puts so much there and says how long it took.
    pub async fn fill(self, db: &PgPool) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut connection = db.acquire().await?.detach();
        sqlx::raw_sql(FILL).execute(&mut connection).await?;
        let size = i64::try_from(self.size())?;
        let (skus, reservations) = match self {
            Growth::Skus(_) | Growth::SpreadSkus(_) => (size, 0),
            Growth::Reservations(_) => (1, size),
        };
        sqlx::query(
            "WITH named AS (
                 INSERT INTO sku (sku_id, title, amount_minor, currency, opened_with)
                 SELECT 'fill-' || n, 'Filled in', 999, 'EUR', $2 FROM generate_series(0, $1 - 1) AS n
                 RETURNING sku_id
             ), opened AS (
                 INSERT INTO stock (pool, sku_id, on_hand, version)
                 SELECT 'shelf', sku_id, $2, nextval('movement_sequence') FROM named
                 RETURNING sku_id, version
             )
             INSERT INTO movement (sequence, pool, sku_id, kind, on_hand_delta)
             SELECT version, 'shelf', sku_id, 'OPEN', $2 FROM opened",
        )
        .bind(skus)
        .bind(UNITS)
        .execute(&mut connection)
        .await
        .context("filling in SKUs")?;
        if reservations > 0 {
            reserve(&mut connection, reservations).await.context("filling in reservations")?;
        }
        // What a shop of that size has had long ago: statistics, clean pages, nothing waiting to be written.
        sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
        Ok(began.elapsed())
    }

    /// Deductions in this shop, once.
    pub async fn measure(self, session: &mut Session) -> anyhow::Result<Figures> {
        match self {
            Growth::Skus(_) | Growth::Reservations(_) => session.measure(Case::Deduct).await,
            Growth::SpreadSkus(_) => {
                session.quiet().await?;
                let skus = (0..SPREAD).map(|n| format!("fill-{n}")).collect();
                let sale = Sale::of_shelf(skus, session.shop.buyers);
                session.sell(&sale).await
            }
        }
    }
}

/// Sold units of one SKU, ids in the order of their time.
async fn reserve(connection: &mut sqlx::PgConnection, count: i64) -> anyhow::Result<()> {
    sqlx::query(
        "WITH moved AS (
             UPDATE stock SET committed = committed + $1, version = nextval('movement_sequence')
             WHERE pool = 'shelf' AND sku_id = 'fill-0'
             RETURNING version
         ), noted AS (
             INSERT INTO movement (sequence, pool, sku_id, kind, committed_delta, members)
             SELECT version, 'shelf', 'fill-0', 'DEDUCT', $1, $1 FROM moved
         )
         INSERT INTO reservation (reservation_id, kind, buyer_id, state, created_at, resolved_at, remaining, made_by,
                                  pools, skus, asked)
         SELECT (lpad(to_hex(1600000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
                'DEDUCTION', 'buyer-' || lpad((n % 1000000)::text, 9, '0'), 'COMMITTED', now(), now(), 1, version,
                '{shelf}', '{fill-0}', '{1}'
         FROM moved, generate_series(1, $1) AS n",
    )
    .bind(count)
    .execute(connection)
    .await?;
    Ok(())
}

impl Grown {
    pub fn line(&self) -> String {
        format!(
            "{:>12} {:<28} {:>8}/s   {:.1} us beside the load ({}); filled in {:.1} s",
            thousands(self.growth.size() as f64),
            self.growth.kind(),
            thousands(self.median.answers_per_s()),
            self.median.cpu_us_served(),
            named(&self.median.cpu_us),
            self.filled_in_s
        )
    }
}

/// How much dearer the dearest size is than the cheapest, by what grows.
pub fn spreads(grown: &[Grown]) -> Vec<(&'static str, f64)> {
    let mut kinds: Vec<&'static str> = grown.iter().map(|grown| grown.growth.kind()).collect();
    kinds.dedup();
    kinds
        .into_iter()
        .filter_map(|kind| {
            let of_kind = grown.iter().filter(|grown| grown.growth.kind() == kind);
            let costs: Vec<f64> = of_kind.map(|grown| grown.median.cpu_us_served()).collect();
            let (low, high) =
                (costs.iter().copied().reduce(f64::min)?, costs.iter().copied().reduce(f64::max)?);
            (costs.len() > 1 && low > 0.0).then_some((kind, high / low))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(growth: Growth, us: f64) -> Grown {
        let cpu_us = [("postgres".to_owned(), us), ("client".to_owned(), 99.0)].into();
        Grown { growth, filled_in_s: 1.0, median: Figures { cpu_us, ..Figures::default() } }
    }

    #[test]
    fn growth_is_judged_by_the_cost_beside_the_load() {
        let all = [
            grown(Growth::Skus(1), 20.0),
            grown(Growth::Skus(1_000), 23.0),
            grown(Growth::Reservations(1_000), 20.0),
        ];
        assert_eq!(spreads(&all), [("SKUs, one of them bought", 1.15)]);
        assert!(all[1].line().contains("1,000 SKUs, one of them bought"), "{}", all[1].line());
    }
}
