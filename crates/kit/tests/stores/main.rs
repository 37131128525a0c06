//! The durable pieces against real servers: Postgres and NATS as `cargo xtask test` starts them.

mod idempotency;
mod inbox;
mod outbox;
mod postgres;
mod proxy;
mod support;
