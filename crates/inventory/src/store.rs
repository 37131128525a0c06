//! Every SQL statement of inventory, one function each, on a borrowed connection. It never decides.

pub mod adjustments;
pub mod audit;
pub mod backorders;
pub mod campaigns;
pub mod feed;
pub mod imports;
pub mod levels;
pub mod pruning;
pub mod quotas;
pub mod reconciliation;
pub mod reservations;
pub mod returns;
pub mod skus;

use sqlx::{PgPool, Postgres, Transaction};
use stampede_kit::postgres::{Patience, begin_by_key};
use stampede_types::Pool;

use crate::domain::{CellKey, Level};

/// Begins a transaction of the ledger.
pub async fn begin(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_by_key(db, Patience::Long).await
}

/// Unique violation, serialization failure, deadlock: somebody else was first, and the same thing again meets what they did.
const RACES: [&str; 3] = ["23505", "40001", "40P01"];
/// Lock not available, query cancelled: somebody holds a row for longer than we wait. Trying again at once would wait again.
const BLOCKED: [&str; 2] = ["55P03", "57014"];

pub fn is_race(error: &sqlx::Error) -> bool {
    has_code(error, &RACES)
}

pub fn is_blocked(error: &sqlx::Error) -> bool {
    has_code(error, &BLOCKED)
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| codes.contains(&code.as_ref()))
}

/// A stored value that breaks the rule it was stored under.
fn broken<E: std::error::Error + Send + Sync + 'static>(error: E) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn cell(pool: &str, sku_id: &str) -> Result<CellKey, sqlx::Error> {
    Ok(CellKey { pool: Pool::from_stored(pool).map_err(broken)?, sku: sku_id.parse().map_err(broken)? })
}

/// Pools and SKUs side by side, as UNNEST takes them.
fn columns<'a>(cells: impl IntoIterator<Item = &'a CellKey>) -> (Vec<&'a str>, Vec<&'a str>) {
    cells.into_iter().map(|cell| (cell.pool.as_str(), cell.sku.as_str())).unzip()
}

/// A level as it is read.
struct LevelRow {
    pool: String,
    sku_id: String,
    on_hand: i64,
    held: i64,
    committed: i64,
    backorder: i64,
    version: i64,
}

impl LevelRow {
    fn parse(&self) -> Result<(CellKey, Level), sqlx::Error> {
        let level = Level {
            on_hand: self.on_hand,
            held: self.held,
            committed: self.committed,
            backorder: self.backorder,
            version: self.version,
        };
        Ok((cell(&self.pool, &self.sku_id)?, level))
    }
}
