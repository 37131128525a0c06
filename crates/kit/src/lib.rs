//! What every service is built with: the process (`App`), trust, the one tower stack, telemetry, and the durable pieces
//! (outbox, inbox, idempotency, group commit). It knows descriptors, never a service and never a message type.

pub mod app;
pub mod auth;
pub mod batch;
pub mod bucket;
pub mod client;
pub mod clock;
pub mod config;
pub mod context;
pub mod contract;
mod gathered;
pub mod idempotency;
pub mod inbox;
pub mod keyring;
pub mod lanes;
pub mod metrics;
pub mod nats;
pub mod outbox;
pub mod postgres;
pub mod refusal;
mod run;
mod secret;
mod stack;
pub mod statistics;
pub mod task;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
mod validate;
pub mod workers;

pub use app::App;
pub use context::Context;
pub use contract::Contract;
pub use refusal::Refusal;
pub use run::{process, run};
pub use secret::Secret;
