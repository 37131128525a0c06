//! The gateway over real parts: certificates of a real authority, services that are kit apps with the real contract, tokens of a
//! real issuer. Only what the services decide is made up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod bad_input;
mod docs;
mod feed;
mod grpc;
mod house;
mod limits;
mod lines;
mod probe;
mod rest;
mod rpc;
mod services;
