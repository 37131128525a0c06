//! The crate as its users see it: real .proto files, and prost-reflect as the oracle for JSON.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "helpers of tests are tests")]

mod fuzz;
mod openapi;
mod oracle;
mod request;
mod response;
mod route;
mod rules;
mod support;
