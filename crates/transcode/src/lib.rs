//! REST for gRPC from descriptors alone: `google.api.http` routes, JSON to protobuf wire bytes and back, OpenAPI 3.1.
//!
//! Everything is compiled once from a [`prost_reflect::DescriptorPool`]; a call then goes from bytes to bytes in
//! one pass with no message built in between. Knows descriptors and no service; never does IO, never panics on input.
//!
//! ```
//! # use prost_reflect::DescriptorPool;
//! use stampede_transcode::{Found, RequestOptions, ResponseOptions, Router};
//! # let pool = DescriptorPool::global();
//! let router = Router::build(&pool)?;
//! match router.find(&http::Method::GET, "/v1/orders/42") {
//!     Found::Match(matched) => {
//!         let mut wire = Vec::new();
//!         matched.request(Some("view=FULL"), b"", &RequestOptions::default(), &mut wire)?;
//!         // Send `wire` to `matched.route.grpc_path()`; what comes back is JSON again with this:
//!         let mut json = Vec::new();
//!         matched.route.response(&wire, &ResponseOptions::default(), &mut json)?;
//!     }
//!     Found::MethodNotAllowed { allow } => println!("405, Allow: {allow}"),
//!     Found::NotFound => println!("404"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without routes, [`Schema`] does the JSON alone: [`Schema::to_wire`] and [`Schema::to_json`].
//!
//! # What grpc-gateway and Envoy's transcoder leave to be wished for
//!
//! - No generated code and no rebuild: a descriptor set is all it needs, and a route is as new as the set.
//! - An unknown field is an error, not silence; a field, a map key or a oneof given twice is one too.
//! - An error says where: the field path, the byte in the body and a sentence for the caller ([`TranscodeError`]).
//! - Two bindings that answer the same request are an error when the router is built ([`RouteError::Conflict`]), so a
//!   build script can refuse the contract.
//! - OpenAPI 3.1 of the same descriptors, comments and field rules included ([`openapi`]).
//! - Integers never pass through a float: `9007199254740993.0` is that number.
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! | --- | --- | --- |
//! | nesting of messages, both ways | [`MAX_DEPTH`] | [`ErrorKind::TooDeep`] |
//! | `google.protobuf.Any` in each other, in a request | [`MAX_NESTED_ANY`] | [`ErrorKind::TooDeep`] |
//! | query parameters | [`MAX_QUERY_PARAMETERS`] | [`ErrorKind::TooMany`] |
//! | segments of a path | [`MAX_PATH_SEGMENTS`] | [`Found::NotFound`] |
//! | a body, an answer | the caller's: memory is a small multiple of what is handed in | |
//!
//! Not transcoded: maps, `Struct`, `Value` and `Any` in a query string; extensions; `HttpBody`.
//!
//! How it is held to this: random messages of random contracts, damaged JSON and damaged wire bytes, all against
//! prost-reflect (tests/it/oracle, with a table of what differs on purpose; `cargo xtask fuzz`). How fast it is:
//! `cargo xtask bench transcode`.

mod calendar;
mod error;
mod names;
pub mod openapi;
mod percent;
mod plan;
mod request;
mod response;
mod route;
mod scan;
mod schema;
mod snippet;
mod wire;

pub use error::{ErrorKind, TranscodeError};
pub use request::{RequestOptions, UnknownFields};
pub use response::ResponseOptions;
pub use route::{Found, Match, Route, RouteError, Router};
pub use schema::{MessageId, Schema};

/// How deep messages may nest, map entries and the inside of `google.protobuf.Struct` counted as the wire nests
/// them. It is the recursion limit of the common decoders (prost, C++, Java), so what passes here is read there.
pub const MAX_DEPTH: usize = 100;

/// How many query parameters one request may carry.
pub const MAX_QUERY_PARAMETERS: usize = 256;

/// How many segments a request path may have.
pub const MAX_PATH_SEGMENTS: usize = 64;

/// How many `google.protobuf.Any` may nest in each other: each one may be scanned once for its `@type`.
pub const MAX_NESTED_ANY: usize = 8;
