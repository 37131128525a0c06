//! Every SQL statement of the service, one function each. It never decides anything and never begins or commits.

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

/// A stored text that this version does not know.
fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
