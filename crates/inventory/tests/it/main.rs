//! Inventory over a real Postgres and a real Redis. The services are called in the process; mTLS is `e2e`'s.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start tasks, read the clock, and a test that cannot go on has failed"
)]

mod apart;
mod audit;
mod audit_ask;
mod backorder;
mod bad_input;
mod catalogue;
mod close;
mod deduct;
mod events;
mod extend;
mod gate;
mod gate_buckets;
mod gate_cluster;
mod gate_model;
mod gate_scripts;
mod history;
mod import;
mod ledger;
mod part;
mod process;
mod prune;
mod redis_nodes;
mod reserve;
mod resolve;
mod shop;
mod sold_out;
mod stream;
mod update;
mod watch;
