//! Stories: a whole shop of five processes with Postgres, Redis and NATS of its own for each, used as its users would,
//! and hurt as the world would. Nothing here is faked, skipped or timed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "in a test a surprise is a failure"
)]

mod harness;
mod stories;
