//! REST for gRPC from descriptors alone: `google.api.http` routes, JSON to protobuf wire bytes and back, OpenAPI 3.1.
//!
//! Everything is compiled once from a [`prost_reflect::DescriptorPool`]; a call then goes from bytes to bytes in
//! one pass with no message built in between. Knows descriptors and no service; never does IO, never panics on input.
//!
//! ```
//! # use prost_reflect::DescriptorPool;
//! use stampede_transcode::{Found, RequestOptions, Router};
//! # let pool = DescriptorPool::global();
//! let router = Router::build(&pool)?;
//! match router.find(&http::Method::GET, "/v1/orders/42") {
//!     Found::Match(matched) => {
//!         let mut wire = Vec::new();
//!         matched.request(Some("view=FULL"), b"", &RequestOptions::default(), &mut wire)?;
//!     }
//!     Found::MethodNotAllowed { allow } => println!("405, Allow: {allow}"),
//!     Found::NotFound => println!("404"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
