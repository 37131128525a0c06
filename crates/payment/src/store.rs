//! Every SQL statement of the service, one function each. It never decides anything and never commits.

pub mod attempts;
pub mod differences;
pub mod events;
pub mod intents;
pub mod ledger;
pub mod payments;
pub mod resolutions;
pub mod settlement_files;
pub mod settlement_lines;
pub mod settlements;
pub mod stuck;
mod tenders;
pub mod webhooks;

use sqlx::{PgPool, Postgres, Transaction};

/// Statements of a group find their rows by key, whatever the statistics say, by a plan that is made once: it is the same for any values.
/// A group waits for nobody who holds a row for longer than any of ours does.
const BEGIN_GROUP: &str = "BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
                           SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL lock_timeout = '100ms'";

/// The same for one step, which waits as long as the session allows.
const BEGIN_ONE: &str = "BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
                         SET LOCAL plan_cache_mode = force_generic_plan";

/// Begins the transaction of so many steps.
///
/// # Errors
/// The database's.
pub async fn begin_steps(db: &PgPool, steps: usize) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let statement = if steps > 1 { BEGIN_GROUP } else { BEGIN_ONE };
    stampede_kit::postgres::begin_with(db, statement).await
}

/// A stored text that this version does not know.
fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
