//! Every SQL statement of the service: one statement, one function, taking the connection it runs on. It knows no rule.

pub mod orders;
pub mod place;
pub mod saga;

/// Whether the database answers.
pub async fn ping(executor: impl sqlx::PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("SELECT 1").fetch_one(executor).await.map(|_| ())
}
