//! The process as its peers meet it: real TLS, real HTTP/2, real certificates and tokens, on loopback.

#![expect(clippy::unwrap_used, reason = "in a test what cannot be done is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test starts what it watches itself")]

mod channel;
mod desk;
mod drain;
mod front;
mod house;
mod load;
mod rules;
mod trust;
