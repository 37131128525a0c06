//! The development token issuer: EdDSA JWTs and the JWKS that verifies them. A foreign or expired issuer in a
//! test is just another `Issuer`, or another `now`; nothing here verifies a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use crate::Result;

/// The issuer name services trust by default (`jwt.issuer`).
pub const ISSUER: &str = "https://stampede.local";
/// The audience services expect by default (`jwt.audience`).
pub const AUDIENCE: &str = "stampede";
/// How long a token lives unless its claims say otherwise.
pub const TTL: Duration = Duration::hours(1);

/// What a token says. Every field may be changed, so that a test can say something wrong.
#[derive(Debug, Clone)]
pub struct Claims {
    pub subject: String,
    pub roles: Vec<String>,
    pub issuer: String,
    pub audience: String,
    pub ttl: Duration,
}

/// A signing key with its key id.
pub struct Issuer {
    pem: String,
    key: EncodingKey,
    public: Vec<u8>,
    kid: String,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    roles: &'a [String],
}

impl Claims {
    /// The usual claims of `subject` in the given roles (`buyer`, `staff`, `auditor`).
    pub fn new<R: Into<String>>(subject: impl Into<String>, roles: impl IntoIterator<Item = R>) -> Claims {
        Claims {
            subject: subject.into(),
            roles: roles.into_iter().map(Into::into).collect(),
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            ttl: TTL,
        }
    }
}

impl Issuer {
    /// A new Ed25519 key.
    pub fn generate() -> Result<Issuer> {
        Issuer::from_key(&KeyPair::generate_for(&PKCS_ED25519)?)
    }

    /// The key of a PKCS#8 PEM file written by [`Issuer::key_pem`].
    pub fn from_pem(pem: &str) -> Result<Issuer> {
        Issuer::from_key(&KeyPair::from_pem_and_sign_algo(pem, &PKCS_ED25519)?)
    }

    fn from_key(pair: &KeyPair) -> Result<Issuer> {
        let public = pair.der_bytes().to_vec();
        let key = EncodingKey::from_ed_der(pair.serialized_der());
        Ok(Issuer { pem: pair.serialize_pem(), key, kid: thumbprint(&public), public })
    }

    /// The private key, PKCS#8 PEM.
    pub fn key_pem(&self) -> &str {
        &self.pem
    }

    /// The key id: the key's RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// This key alone as a JSON Web Key Set.
    pub fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        serde_json::json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x,
        }]})
        .to_string()
    }

    /// A signed token, valid from `now` for the claims' ttl.
    pub fn issue(&self, claims: &Claims, now: OffsetDateTime) -> Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        let payload = Payload {
            iss: &claims.issuer,
            aud: &claims.audience,
            sub: &claims.subject,
            iat: now.unix_timestamp(),
            nbf: now.unix_timestamp(),
            exp: (now + claims.ttl).unix_timestamp(),
            jti: format!("{:032x}", rand::random::<u128>()),
            roles: &claims.roles,
        };
        Ok(jsonwebtoken::encode(&header, &payload, &self.key)?)
    }
}

/// RFC 7638 over the members RFC 8037 names for OKP keys, in lexical order.
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()))
}

#[cfg(test)]
mod tests;
