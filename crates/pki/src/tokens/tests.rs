//! A token is verified by its JWKS alone, and by no other.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use time::macros::datetime;

use super::*;

/// Expiry is left to the services' own tests: this verifier's clock cannot be set.
const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

fn verify(token: &str, jwks: &str) -> jsonwebtoken::errors::Result<Value> {
    let set: JwkSet = serde_json::from_str(jwks).unwrap();
    let kid = decode_header(token)?.kid.unwrap();
    let key =
        set.find(&kid).map(DecodingKey::from_jwk).unwrap_or_else(|| DecodingKey::from_jwk(&set.keys[0]))?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_exp = false;
    decode::<Value>(token, &key, &validation).map(|data| data.claims)
}

#[test]
fn the_jwks_verifies_what_its_key_signed() {
    let issuer = Issuer::generate().unwrap();
    let token = issuer.issue(&Claims::new("alice", ["buyer"]), NOW).unwrap();

    let claims = verify(&token, &issuer.jwks()).unwrap();
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["roles"], serde_json::json!(["buyer"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), 3600);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
}

#[test]
fn another_issuers_token_is_not_verified() {
    let (ours, foreign) = (Issuer::generate().unwrap(), Issuer::generate().unwrap());
    let token = foreign.issue(&Claims::new("mallory", ["staff"]), NOW).unwrap();
    assert_ne!(ours.kid(), foreign.kid());
    assert!(verify(&token, &ours.jwks()).is_err());
}

#[test]
fn a_key_read_back_is_the_same_issuer() {
    let issuer = Issuer::generate().unwrap();
    let again = Issuer::from_pem(issuer.key_pem()).unwrap();
    let token = again.issue(&Claims::new("alice", ["buyer"]), NOW).unwrap();
    assert_eq!(again.kid(), issuer.kid());
    verify(&token, &issuer.jwks()).unwrap();
}
