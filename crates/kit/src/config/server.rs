//! The settings every server has. It never holds what only one service needs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Reader;
use crate::telemetry;

#[derive(Debug, Clone)]
pub struct Server {
    /// The service's name: its certificate's, its spans', its variables' prefix.
    pub service: &'static str,
    /// `listen`: gRPC over mTLS; the gateway's public port.
    pub listen: SocketAddr,
    /// `admin.listen`: plain HTTP for /healthz, /readyz and /metrics.
    pub admin: SocketAddr,
    /// `environment`: the second part of the SPIFFE path.
    pub environment: String,
    pub tls: Tls,
    pub jwt: Jwt,
    pub telemetry: telemetry::Settings,
    /// `drain_ms`: how long running calls may take to finish after SIGTERM.
    pub drain: Duration,
    pub limits: Limits,
}

/// PEM files; they are read again when they change.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `tls.cert`: our chain, leaf first.
    pub cert: PathBuf,
    /// `tls.key`: our private key.
    pub key: PathBuf,
    /// `tls.ca`: the roots we believe.
    pub ca: PathBuf,
    /// `tls.crl`: the revoked, when there is a list.
    pub crl: Option<PathBuf>,
}

/// PEM files of the public port, for the gateway; they are read again when they change.
#[derive(Debug, Clone)]
pub struct FrontTls {
    /// `front.cert`: the chain that callers see, leaf first.
    pub cert: PathBuf,
    /// `front.key`: its private key.
    pub key: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Jwt {
    /// `jwt.jwks`: a file path or an http(s) URL.
    pub jwks: String,
    /// `jwt.issuer`: what `iss` must be.
    pub issuer: String,
    /// `jwt.audience`: what `aud` must contain.
    pub audience: String,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `limits.concurrency`: calls in progress; more are refused at once.
    pub concurrency: usize,
    /// `limits.connections`: open connections.
    pub connections: usize,
    /// `limits.message_bytes`: the largest message taken.
    pub message_bytes: usize,
}

impl Server {
    /// Reads every common key; `None` when one is missing or wrong, which the reader then knows.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let listen = reader.required("listen");
        let admin = reader.required("admin.listen");
        let environment = reader.or("environment", "dev".to_owned());
        let tls = Tls::read(reader);
        let jwt = Jwt::read(reader);
        let telemetry = telemetry::Settings::read(reader);
        let drain = reader.or("drain_ms", Duration::from_secs(10));
        let limits = Limits {
            concurrency: reader.or("limits.concurrency", 4096),
            connections: reader.or("limits.connections", 10_000),
            message_bytes: reader.or("limits.message_bytes", 1024 * 1024),
        };
        Some(Self {
            service: reader.service(),
            listen: listen?,
            admin: admin?,
            environment,
            tls: tls?,
            jwt: jwt?,
            telemetry,
            drain,
            limits,
        })
    }
}

impl Tls {
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let cert = reader.required("tls.cert");
        let key = reader.required("tls.key");
        let ca = reader.required("tls.ca");
        let crl = reader.optional("tls.crl");
        Some(Self { cert: cert?, key: key?, ca: ca?, crl })
    }
}

impl FrontTls {
    /// Both or none; one alone is a problem that the reader then knows.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let (cert, key) = (reader.optional("front.cert"), reader.optional("front.key"));
        match (cert, key) {
            (Some(cert), Some(key)) => Some(Self { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                reader.refuse("front.key", "is missing beside front.cert");
                None
            }
            (None, Some(_)) => {
                reader.refuse("front.cert", "is missing beside front.key");
                None
            }
        }
    }
}

impl Jwt {
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let jwks = reader.required("jwt.jwks");
        let issuer = reader.or("jwt.issuer", "https://stampede.local".to_owned());
        let audience = reader.or("jwt.audience", "stampede".to_owned());
        Some(Self { jwks: jwks?, issuer, audience })
    }
}
