//! The gateway over real parts: certificates of a real authority, services that are kit apps with the real contract, tokens of a
//! real issuer. Only what the services decide is made up.

mod auth;
mod bad_input;
mod docs;
mod feed;
mod grpc;
mod house;
mod limits;
mod rest;
mod services;
