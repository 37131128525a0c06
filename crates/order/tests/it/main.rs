//! The order service over real Postgres, NATS and mTLS. Inventory and payment are played by two small peers on the wire, which
//! keep their promises of the contract and lose answers when they are told to.

#![expect(
    clippy::unwrap_used,
    reason = "everything here is a test; clippy knows only the functions that say so"
)]

mod action;
mod bank;
mod cancel;
mod cart;
mod complete;
mod crash;
mod create;
mod expire;
mod gifts;
mod hear;
mod late;
mod late_review;
mod late_rivals;
mod list;
mod moment;
mod parcels;
mod pay;
mod process;
mod promotions;
mod quote;
mod recover;
mod refund_again;
mod returns;
mod review;
mod rivals;
mod ship;
mod ship_paid;
mod shop;
mod trouble;
mod uses;
mod uses_random;
mod warehouse;
mod warehouse_rest;
mod watch;
