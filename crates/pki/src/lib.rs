//! The development certificate authority and token issuer: who may be called what, for how long, is
//! written in `certs/*.json`. It never ships, never reads the clock (the caller says what time it is) and
//! never puts a name into a certificate that the signing profile does not permit.

pub mod authority;
pub mod folder;
pub mod profile;
pub mod tokens;

mod error;
mod files;

pub use authority::{Authority, Issued, Leaf, Revocation};
pub use error::Error;
pub use folder::Folder;
pub use profile::{Policy, Profile, Request, Usage};
pub use tokens::{Claims, Issuer};

/// What every fallible call here returns.
pub type Result<T> = std::result::Result<T, Error>;
