//! The durable pieces against real servers: Postgres and NATS as `cargo xtask test` starts them.

#![expect(
    clippy::unwrap_used,
    reason = "everything here is a test; clippy knows only the functions that say so"
)]

mod idempotency;
mod inbox;
mod letters;
mod outbox;
mod postgres;
mod proxy;
mod support;
