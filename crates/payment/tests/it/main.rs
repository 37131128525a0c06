//! The payment service over real Postgres and the real provider simulator, compared with the simulator's own truth.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where it stood")]

mod actions;
mod authorize;
mod bench;
mod books;
mod capture;
mod everything;
mod forget;
mod reauthorize;
mod refund;
mod routes;
mod settlement;
mod settlement_books;
mod settlement_import;
mod steps;
mod stripe;
mod stuck;
mod tenders;
mod told;
mod void;
mod webhook;
