//! Stories: a whole shop of five processes with Postgres, Redis and NATS of its own for each, used as its users would,
//! and hurt as the world would. Nothing here is faked, skipped or timed.

mod harness;
mod stories;
