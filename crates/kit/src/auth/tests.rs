//! Tokens, good and bad: each refusal has its own reason.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use stampede_pki::{Claims, Issuer};
use time::{Duration, OffsetDateTime};

use super::{Settings, Verifier};
use crate::clock::Clock;
use crate::contract::fixture::with_ask;

struct Bench {
    issuer: Issuer,
    clock: Clock,
    verifier: Arc<Verifier>,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::generate().unwrap();
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks()).unwrap();
        let clock = Clock::fixed(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let permissions = with_ask("message Ask {}").unwrap().permissions().clone();
        let verifier = Verifier::start(settings(&jwks), permissions, clock.clone()).await.unwrap();
        Bench { issuer, clock, verifier, folder }
    }

    fn token(&self, claims: &Claims) -> String {
        self.issuer.issue(claims, self.clock.now()).unwrap()
    }

    fn reason(&self, token: &str) -> &'static str {
        self.verifier.caller(&bearer(token)).map_or_else(|refusal| refusal.reason(), |_| "OK")
    }

    /// A token with a header and claims of one's own, signed by our key.
    fn forge(&self, header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let key = EncodingKey::from_ed_pem(self.issuer.key_pem().as_bytes()).unwrap();
        let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::EdDSA).unwrap();
        format!("{text}.{signature}")
    }
}

fn settings(jwks: &Path) -> Settings {
    Settings {
        jwks: jwks.display().to_string(),
        issuer: "https://stampede.local".to_owned(),
        audience: "stampede".to_owned(),
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn alice() -> Claims {
    Claims::new("alice", ["buyer", "of-the-month"])
}

#[tokio::test]
async fn a_good_token_gives_its_subject_and_what_its_roles_grant() {
    let bench = Bench::new().await;
    let token = bench.token(&alice());

    for _ in 0..2 {
        let caller = bench.verifier.caller(&bearer(&token)).unwrap();
        assert_eq!(&*caller.subject, "alice");
        assert!(caller.may("PERMISSION_ORDER_WRITE") && !caller.may("PERMISSION_ORDER_ADMIN"));
        assert!(!format!("{caller:?}").contains(&token), "a token must not be printed");
    }
}

#[tokio::test]
async fn every_way_to_be_wrong_has_its_own_reason() {
    let bench = Bench::new().await;
    let foreign = Issuer::generate().unwrap();
    let now = bench.clock.now();
    let expired = bench.issuer.issue(&alice(), now - Duration::hours(2)).unwrap();
    let early = bench.issuer.issue(&alice(), now + Duration::hours(2)).unwrap();
    let issuer = bench.token(&Claims { issuer: "https://elsewhere".to_owned(), ..alice() });
    let audience = bench.token(&Claims { audience: "elsewhere".to_owned(), ..alice() });

    assert_eq!(bench.verifier.caller(&HeaderMap::new()).unwrap_err().reason(), "TOKEN_MISSING");
    assert_eq!(bench.reason(&expired), "TOKEN_EXPIRED");
    assert_eq!(bench.reason(&early), "TOKEN_INVALID");
    assert_eq!(bench.reason(&issuer), "TOKEN_ISSUER");
    assert_eq!(bench.reason(&audience), "TOKEN_AUDIENCE");
    assert_eq!(bench.reason(&foreign.issue(&alice(), now).unwrap()), "TOKEN_INVALID");
    for malformed in ["x", "a.b.c", "", "a.b", &"x".repeat(10_000)] {
        assert_eq!(bench.reason(malformed), "TOKEN_INVALID", "{malformed}");
    }
}

#[tokio::test]
async fn the_algorithm_comes_from_the_key_and_never_from_the_token() {
    let bench = Bench::new().await;
    let good = bench.token(&alice());
    let claims = good.split('.').nth(1).unwrap();
    let kid = bench.issuer.kid();
    let head =
        |alg: &str| URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT", "kid": kid }).to_string());

    assert_eq!(bench.reason(&format!("{}.{claims}.", head("none"))), "TOKEN_INVALID");
    // The public key as an HMAC secret: the classic confusion.
    let jwks: serde_json::Value = serde_json::from_str(&bench.issuer.jwks()).unwrap();
    let public = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
    let text = format!("{}.{claims}", head("HS256"));
    let hmac = EncodingKey::from_secret(&public);
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &hmac, Algorithm::HS256).unwrap();
    assert_eq!(bench.reason(&format!("{text}.{signature}")), "TOKEN_INVALID");
}

#[tokio::test]
async fn a_token_without_a_key_id_or_a_claim_is_invalid() {
    let bench = Bench::new().await;
    let now = bench.clock.now().unix_timestamp();
    let header = json!({ "alg": "EdDSA", "kid": bench.issuer.kid() });
    let claims = json!({
        "iss": "https://stampede.local", "aud": ["x", "stampede"], "sub": "a", "exp": now + 60, "nbf": now, "jti": "1",
    });

    assert_eq!(bench.reason(&bench.forge(&header, &claims)), "OK");
    assert_eq!(bench.reason(&bench.forge(&json!({ "alg": "EdDSA" }), &claims)), "TOKEN_INVALID");
    for claim in ["iss", "aud", "sub", "exp", "nbf", "jti"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(claim);
        assert_eq!(bench.reason(&bench.forge(&header, &without)), "TOKEN_INVALID", "without {claim}");
    }
}

#[tokio::test]
async fn a_remembered_token_expires_all_the_same() {
    let bench = Bench::new().await;
    let token = bench.token(&alice());
    assert_eq!(bench.reason(&token), "OK");
    bench.clock.advance(std::time::Duration::from_secs(3700));
    assert_eq!(bench.reason(&token), "TOKEN_EXPIRED");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_takes_its_tokens_with_it() {
    let bench = Bench::new().await;
    let token = bench.token(&alice());
    assert_eq!(bench.reason(&token), "OK");

    let next = Issuer::generate().unwrap();
    std::fs::write(bench.folder.path().join("jwks.json"), next.jwks()).unwrap();
    let (keys, stop) = (bench.verifier.keys().clone(), tokio_util::sync::CancellationToken::new());
    let stopped = stop.clone();
    let following = async move { keys.follow(stopped).await };
    let seen = async {
        while bench.reason(&token) == "OK" {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        stop.cancel();
    };
    tokio::join!(following, seen);
    assert_eq!(bench.reason(&token), "TOKEN_INVALID");
    assert_eq!(bench.reason(&next.issue(&alice(), bench.clock.now()).unwrap()), "OK");
}

#[tokio::test]
async fn keys_come_from_a_url_too_and_until_they_do_nothing_is_verified() {
    let bench = Bench::new().await;
    let jwks = bench.issuer.jwks();
    let router = axum::Router::new().route("/jwks.json", axum::routing::get(|| async { jwks }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let there = Settings { jwks: url.clone(), ..settings(Path::new("")) };
    let absent = Settings { jwks: format!("{url}.gone"), ..settings(Path::new("")) };
    crate::task::spawn("jwks server", axum::serve(listener, router).into_future());
    let permissions = with_ask("message Ask {}").unwrap().permissions().clone();
    let token = bearer(&bench.token(&alice()));

    let verifier = Verifier::start(there, permissions.clone(), bench.clock.clone()).await.unwrap();
    verifier.caller(&token).unwrap();
    let verifier = Verifier::start(absent, permissions, bench.clock.clone()).await.unwrap();
    assert!(!verifier.is_ready());
    assert_eq!(verifier.caller(&token).unwrap_err().reason(), "UNAVAILABLE");
}

#[tokio::test]
async fn a_key_set_without_a_key_of_ours_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let permissions = with_ask("message Ask {}").unwrap().permissions().clone();
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}"#] {
        std::fs::write(&path, bad).unwrap();
        assert!(
            Verifier::start(settings(&path), permissions.clone(), Clock::system()).await.is_err(),
            "{bad}"
        );
    }
}
