//! Verifies tokens: signature by the key the JWKS names (its algorithm comes from the key, never from the token), issuer,
//! audience and times. Verified tokens are remembered until they expire, because a signature costs 30 microseconds.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Validation, decode, decode_header};
use moka::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tonic::Code;

use super::Caller;
use super::jwks::{ALGORITHM, Jwks};
use crate::clock::Clock;
use crate::contract::{PermissionSet, Permissions};
use crate::refusal::{Refusal, reason};

/// Verified tokens remembered at once.
const CACHED_TOKENS: u64 = 100_000;
/// Longer is not a token of ours.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far two clocks of this house may differ.
const LEEWAY_SECONDS: i64 = 5;

/// What a token has to say, and where the keys are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A file path or an http(s) URL.
    pub jwks: String,
    pub issuer: String,
    pub audience: String,
}

/// Turns an `authorization` header into a [`Caller`].
pub struct Verifier {
    settings: Settings,
    keys: Arc<Jwks>,
    permissions: Arc<Permissions>,
    clock: Clock,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

struct Verified {
    /// Which load of the keys it was verified with: a key that is withdrawn takes its tokens with it.
    generation: u64,
    subject: Arc<str>,
    permissions: PermissionSet,
    not_before: i64,
    expires: i64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    nbf: i64,
    /// Names the token, so that one can be told from another.
    jti: String,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Verifier {
    /// Loads the keys. A key file has to be there; a URL may answer later (see [`Verifier::is_ready`]).
    pub async fn start(
        settings: Settings,
        permissions: Arc<Permissions>,
        clock: Clock,
    ) -> anyhow::Result<Arc<Self>> {
        let keys = Jwks::open(&settings.jwks).await?;
        let verified = Cache::builder().max_capacity(CACHED_TOKENS).build();
        Ok(Arc::new(Verifier { settings, keys, permissions, clock, verified }))
    }

    /// Whether any key is loaded.
    pub fn is_ready(&self) -> bool {
        self.keys.loaded().is_ready()
    }

    pub(crate) fn keys(&self) -> &Arc<Jwks> {
        &self.keys
    }

    /// The user who calls. TOKEN_MISSING without a bearer token, another TOKEN_ reason when it is not good.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        self.optional_caller(headers)?
            .ok_or_else(|| refused(reason::TOKEN_MISSING, "this call needs a bearer token"))
    }

    /// The same where a token may be left out; one that is there has to be good.
    pub fn optional_caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let token = bearer(header)?;
        let verified = self.verify(token)?;
        Ok(Some(Caller::new(verified.subject.clone(), verified.permissions.clone(), header.clone())))
    }

    fn verify(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let generation = self.keys.loaded().generation;
        if let Some(known) = self.verified.get(&digest)
            && known.generation == generation
        {
            return self.in_time(&known).map(|()| known);
        }
        let fresh = Arc::new(self.check(token, generation)?);
        self.in_time(&fresh)?;
        self.verified.insert(digest, fresh.clone());
        Ok(fresh)
    }

    fn check(&self, token: &str, generation: u64) -> Result<Verified, Refusal> {
        let header = decode_header(token).map_err(|_| invalid("the token is malformed"))?;
        if header.alg != ALGORITHM {
            return Err(invalid("the token is signed with an algorithm that is not ours"));
        }
        let kid = header.kid.ok_or_else(|| invalid("the token names no key"))?;
        let keys = self.keys.loaded();
        if !keys.is_ready() {
            return Err(Refusal::unavailable("the keys that verify tokens are not loaded yet"));
        }
        let key = keys.get(&kid).ok_or_else(|| invalid("the token's key is not one of ours"))?;
        let claims = decode::<Claims>(token, key, &signature_only())
            .map_err(|_| invalid("the token's signature or claims are not good"))?
            .claims;
        if claims.jti.is_empty() {
            return Err(invalid("the token has no id"));
        }
        if claims.iss != self.settings.issuer {
            return Err(refused(reason::TOKEN_ISSUER, "the token is from another issuer"));
        }
        if !claims.aud.includes(&self.settings.audience) {
            return Err(refused(reason::TOKEN_AUDIENCE, "the token is for another audience"));
        }
        if claims.sub.is_empty() {
            return Err(invalid("the token names no subject"));
        }
        Ok(Verified {
            generation,
            subject: Arc::from(claims.sub),
            permissions: self.permissions.granted_by(claims.roles.iter().map(String::as_str)),
            not_before: claims.nbf,
            expires: claims.exp,
        })
    }

    fn in_time(&self, verified: &Verified) -> Result<(), Refusal> {
        let now = self.clock.now().unix_timestamp();
        if now >= verified.expires.saturating_add(LEEWAY_SECONDS) {
            return Err(refused(reason::TOKEN_EXPIRED, "the token has expired"));
        }
        if now.saturating_add(LEEWAY_SECONDS) < verified.not_before {
            return Err(invalid("the token is not valid yet"));
        }
        Ok(())
    }
}

impl Audience {
    fn includes(&self, wanted: &str) -> bool {
        match self {
            Audience::One(audience) => audience == wanted,
            Audience::Many(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

/// Issuer, audience and times are checked here, by our clock and with a reason each.
fn signature_only() -> Validation {
    let mut validation = Validation::new(ALGORITHM);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn bearer(header: &HeaderValue) -> Result<&str, Refusal> {
    let text = header.to_str().map_err(|_| invalid("the authorization header is not text"))?;
    let (scheme, token) =
        text.split_once(' ').ok_or_else(|| invalid("the authorization header holds no token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid("the authorization scheme is not Bearer"));
    }
    let token = token.trim();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(invalid("the token's length is not that of a token"));
    }
    Ok(token)
}

fn invalid(message: &str) -> Refusal {
    refused(reason::TOKEN_INVALID, message)
}

fn refused(reason: &'static str, message: &str) -> Refusal {
    Refusal::new(Code::Unauthenticated, reason, message)
}
