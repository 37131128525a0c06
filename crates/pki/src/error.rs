//! Everything that can go wrong while signing, one sentence each.

use std::path::PathBuf;

/// Why a certificate, list or token was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no signing profile permits the service {service:?}")]
    ServiceNotPermitted { service: String },
    #[error("the signing profile {profile:?} does not exist")]
    ProfileUnknown { profile: String },
    #[error("the signing profile {profile:?} does not permit the host {host:?} for the service {service:?}")]
    HostNotPermitted { profile: String, service: String, host: String },
    #[error("{name:?} is not a service or environment name: use a-z, 0-9 and '-', at most 63 characters")]
    NameMalformed { name: String },
    #[error("only ECDSA keys of 256 bits are issued, not {algo} of {size}")]
    KeyNotPermitted { algo: String, size: u16 },
    #[error("no certificate with the serial {serial} was issued here")]
    SerialUnknown { serial: String },
    #[error("a lifetime of {hours} hours is out of range")]
    LifetimeOutOfRange { hours: u32 },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("signing failed: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("making a token failed: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
}
