//! Every SQL statement of the service, one function each. It never decides anything and never begins or commits.

pub mod attempts;
pub mod events;
pub mod intents;
pub mod ledger;
pub mod payments;

/// Whether the database answers.
///
/// # Errors
/// It does not.
pub async fn ping(db: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT 1 AS one").fetch_one(db).await.map(drop)
}

/// A stored text that this version does not know.
fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
